import json

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from projects_ext.gcnet.key_map import CONTEXT_NAMES
from projects_ext.layers import ContextBlock
from tests.golden_files import load_golden
from tests.procedural import procedural_array, procedural_noise
from tests.references.context_block import context_block

OPS = load_golden("ops")
CASES = {
    name: case
    for name, case in json.loads(str(OPS["meta"]))["cases"].items()
    if name.startswith("context_block")
}
FUSIONS = [("channel_add",), ("channel_mul",), ("channel_mul", "channel_add")]


def build(channels: int = 8, ratio: float = 0.5, **options) -> ContextBlock:
    """With procedural weights, in float64."""
    module = ContextBlock(channels, ratio=ratio, **options).double()
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.copy_(torch.from_numpy(procedural_array(name, value.shape)))
    return module


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_reference_implementation_with_all_gradients(case: str) -> None:
    options = CASES[case]
    module = ContextBlock(
        options["in_channels"],
        ratio=options["ratio"],
        pooling=options["pooling_type"],
        fusions=options["fusion_types"],
    )
    theirs = {ours: name for name, ours in CONTEXT_NAMES.items()}
    parameters = dict(module.named_parameters())
    names = {}
    for name in parameters:
        part, _, rest = name.partition(".")
        names[f"{theirs[part]}.{rest}"] = name
    with torch.no_grad():
        for name, ours in names.items():
            value = procedural_array(name, parameters[ours].shape)
            parameters[ours].copy_(torch.from_numpy(value))
    x = procedural_noise(f"public/{case}/input", options["input"]).requires_grad_()
    output = module(x)
    output.backward(procedural_noise(f"public/{case}/grad", options["input"]))

    found = {"output": output, "input_grad": x.grad}
    found.update({f"param_grad.{name}": parameters[ours].grad for name, ours in names.items()})
    assert {f"{case}.{field}" for field in found} == {f for f in OPS if f.startswith(f"{case}.")}
    for field, value in found.items():
        expected = OPS[f"{case}.{field}"]
        # The bias of the mask moves no softmax: its gradient is rounding alone.
        tolerance = max(1e-4 * np.abs(expected).max(), 1e-4)
        np.testing.assert_allclose(value.detach().numpy(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("fusions", FUSIONS)
@pytest.mark.parametrize("pooling", ["att", "avg"])
@pytest.mark.parametrize("shape", [(2, 8, 3, 5), (1, 8, 1, 1)])
def test_is_its_definition(shape, pooling, fusions) -> None:
    module = build(pooling=pooling, fusions=fusions)
    x = procedural_noise("definition", shape).double()
    torch.testing.assert_close(module(x), context_block(module, x))


@pytest.mark.parametrize("pooling", ["att", "avg"])
def test_fresh_block_is_the_identity(pooling: str) -> None:
    x = procedural_noise("identity", (2, 16, 5, 4))
    assert torch.equal(ContextBlock(16, pooling=pooling)(x), x)


@pytest.mark.parametrize("fusions", FUSIONS)
def test_gradients_are_right(fusions) -> None:
    module = build(channels=4, fusions=fusions)
    x = procedural_noise("gradcheck", (2, 4, 3, 2)).double().requires_grad_()
    names, values = zip(*module.named_parameters(), strict=True)

    def run(x, *values):
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), x)

    assert torch.autograd.gradcheck(run, (x, *(v.detach().requires_grad_() for v in values)))


def test_a_map_has_its_own_context() -> None:
    module = build()
    x = procedural_noise("alone", (3, 8, 4, 6)).double()
    torch.testing.assert_close(module(x), torch.cat([module(one[None]) for one in x]))


class SoftmaxTypes(TorchDispatchMode):
    """Notes in which precision every softmax answers."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[torch.dtype] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if "softmax" in func.name():
            self.found.append(output.dtype)
        return output


def test_softmax_is_not_in_half_precision() -> None:
    module = build().float()
    x = procedural_noise("autocast", (2, 8, 50, 50))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), SoftmaxTypes() as softmax:
        low = module(x)
        lower = module(x.bfloat16())
    assert softmax.found == [torch.float32, torch.float32]
    assert lower.dtype == torch.bfloat16
    for value in (low, lower):
        torch.testing.assert_close(value.float(), module(x), rtol=0.02, atol=0.05)


def test_compiles_as_one_graph() -> None:
    module = build()
    x = procedural_noise("graph", (2, 8, 5, 4)).double()
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), module(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "max"}, "'att' or 'avg'"),
        ({"fusions": ()}, "'channel_add', 'channel_mul' or both"),
        ({"fusions": ("sum",)}, "'channel_add', 'channel_mul' or both"),
        ({"ratio": 0.01}, "leaves no channel"),
    ],
)
def test_wrong_options_are_named(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        ContextBlock(8, **options)
