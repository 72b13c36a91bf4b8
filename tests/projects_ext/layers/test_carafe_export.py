"""CARAFE's operator in compilers and exported programs."""

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from projects_ext.layers import CARAFEUpsample, carafe
from tests.procedural import procedural_array, procedural_noise

SIZE = (2, 8, 5, 7)
OTHER_SIZES = [(1, 8, 1, 3), (3, 8, 9, 4)]
# Opsets before 18 lack operators that the exporter writes.
OPSET = 18


@pytest.fixture
def module() -> CARAFEUpsample:
    module = CARAFEUpsample(8, compressed_channels=4, kernel_size=5, groups=2, scale=3)
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.copy_(torch.from_numpy(procedural_array(name, value.shape)))
    return module.eval()


def free_sizes() -> dict:
    """Number, height and width of the maps are left open."""
    return {"x": {axis: torch.export.Dim(name) for axis, name in ((0, "n"), (2, "h"), (3, "w"))}}


def test_operators_keep_the_rules_of_torch_library() -> None:
    x = procedural_noise("x", (2, 4, 3, 2)).double().requires_grad_()
    kernels = procedural_noise("kernels", (2, 18, 9, 6)).double().requires_grad_()
    gradient = procedural_noise("gradient", (2, 4, 9, 6)).double().requires_grad_()
    last = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    operators = torch.ops.projects_ext
    for features in (x, last):
        torch.library.opcheck(operators.carafe.default, (features, kernels, 3, 2, 3))
    for wanted in ((True, True), (True, False), (False, True)):
        values = (gradient, x, kernels, 3, 2, 3, *wanted)
        torch.library.opcheck(operators.carafe_gradients.default, values)


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_as_one_graph_with_its_gradients(module, dynamic: bool) -> None:
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for size in (SIZE, *OTHER_SIZES):
        results = []
        for form in (compiled, module):
            module.zero_grad()
            x = procedural_noise("x", size).requires_grad_()
            output = form(x)
            output.backward(procedural_noise("gradient", output.shape))
            results.append([output, x.grad, module.encoder.weight.grad.clone()])
        for found, expected in zip(*results, strict=True):
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("strict", [False, True])
def test_exported_program_needs_nothing_of_this_project(module, strict: bool) -> None:
    x = procedural_noise("x", SIZE)
    program = torch.export.export(module, (x,), dynamic_shapes=free_sizes(), strict=strict)
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert targets
    assert not [target for target in targets if "projects_ext" in target]
    for size in (SIZE, *OTHER_SIZES):
        x = procedural_noise("x", size)
        torch.testing.assert_close(program.module()(x), module(x))


class Operator(nn.Module):
    """The operator without the module, as a model."""

    def forward(self, x: Tensor, kernels: Tensor) -> Tensor:
        return carafe(x, kernels, 3, 1, 2)


def onnx_session(model: nn.Module, inputs: tuple, **options):
    """ONNX Runtime's session of the exported model, which has standard operators alone."""
    program = torch.onnx.export(
        model, inputs, dynamo=True, opset_version=OPSET, verbose=False, **options
    )
    proto = program.model_proto
    assert {node.domain for node in proto.graph.node} == {""}
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", OPSET)]
    assert not proto.functions
    content = proto.SerializeToString()
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def test_onnx_runtime_gives_the_same_for_any_size(module) -> None:
    session = onnx_session(module, (procedural_noise("x", SIZE),), dynamic_shapes=free_sizes())
    for size in (SIZE, *OTHER_SIZES):
        x = procedural_noise("x", size)
        (found,) = session.run(None, {"x": x.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), module(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_onnx_runtime_gives_the_same_for_the_operator(dtype: torch.dtype) -> None:
    inputs = procedural_noise("x", (1, 4, 3, 5)), procedural_noise("kernels", (1, 9, 6, 10))
    inputs = tuple(value.to(dtype) for value in inputs)
    session = onnx_session(Operator().eval(), inputs)
    names = [value.name for value in session.get_inputs()]
    (found,) = session.run(None, dict(zip(names, [v.numpy() for v in inputs], strict=True)))
    tolerance = 1e-5 if dtype == torch.float32 else 2e-3
    expected = carafe(*inputs, 3, 1, 2)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=tolerance, atol=tolerance)
