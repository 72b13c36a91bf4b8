"""CARAFE's operator and its module: answers, gradients, precision, memory."""

import json

import numpy as np
import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from projects_ext.layers import CARAFEUpsample, carafe, carafe_rows
from projects_ext.layers.carafe import FVCORE_HANDLES, by_shifts
from tests.golden_files import load_golden
from tests.procedural import procedural_array, procedural_noise
from tests.references.carafe import carafe as literal

OPS = load_golden("ops")
CASES = {
    name: case
    for name, case in json.loads(str(OPS["meta"]))["cases"].items()
    if name.startswith("carafe")
}
THEIR_NAMES = {"channel_compressor": "compressor", "content_encoder": "encoder"}
# N, C, H, W, kernel size, groups, scale
SHAPES = [
    (2, 4, 5, 6, 5, 1, 2),
    (1, 6, 3, 4, 3, 3, 3),
    (2, 4, 2, 3, 7, 2, 2),  # smaller than the kernel
    (1, 4, 9, 1, 5, 4, 1),
    (1, 2, 1, 1, 3, 1, 2),
    (3, 4, 4, 3, 1, 2, 2),
    (2, 3, 40, 6, 5, 1, 2),  # many blocks of rows
]
HALVES = [torch.float16, torch.bfloat16]


def tensors(shape, dtype=torch.float64, last: bool = False) -> list[Tensor]:
    """Features, kernels and an output gradient."""
    n, channels, height, width, k, groups, s = shape
    sizes = {
        "features": (n, channels, height, width),
        "kernels": (n, groups * k**2, height * s, width * s),
        "gradient": (n, channels, height * s, width * s),
    }
    form = torch.channels_last if last else torch.contiguous_format
    return [procedural_noise(*size).to(dtype, memory_format=form) for size in sizes.items()]


def run(form, shape, values) -> list[Tensor]:
    """The output, and the gradients of features and kernels."""
    x, kernels, gradient = values
    x, kernels = x.detach().requires_grad_(), kernels.detach().requires_grad_()
    output = form(x, kernels, *shape[4:])
    output.backward(gradient.to(output.dtype))
    return [output, x.grad, kernels.grad]


def assert_agrees(case: str, found: dict[str, Tensor]) -> None:
    """With all fields of the golden file, and no other."""
    assert {f"{case}.{field}" for field in found} == {f for f in OPS if f.startswith(f"{case}.")}
    for field, value in found.items():
        expected = OPS[f"{case}.{field}"]
        tolerance = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(value.detach().numpy(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("form", [carafe, by_shifts, literal])
@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("carafe.")])
def test_operator_agrees_with_the_reference_implementation(case: str, form) -> None:
    options = CASES[case]
    k, groups, s = options["up_kernel"], options["up_group"], options["scale_factor"]
    n, channels, height, width = options["input"]
    values = [
        procedural_noise(f"public/{case}/input", options["input"]),
        procedural_noise(f"public/{case}/mask", (n, groups * k**2, height * s, width * s)),
        procedural_noise(f"public/{case}/grad", (n, channels, height * s, width * s)),
    ]
    found = run(form, (n, channels, height, width, k, groups, s), values)
    assert_agrees(case, dict(zip(["output", "input_grad", "mask_grad"], found, strict=True)))


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("carafe_pack.")])
def test_module_agrees_with_the_reference_implementation(case: str) -> None:
    options = CASES[case]
    module = CARAFEUpsample(
        options["channels"],
        scale=options["scale_factor"],
        kernel_size=options["up_kernel"],
        groups=options["up_group"],
        encoder_kernel=options["encoder_kernel"],
        encoder_dilation=options["encoder_dilation"],
        compressed_channels=options["compressed_channels"],
    )
    parameters = {
        f"{theirs}.{name}": parameter
        for theirs, ours in THEIR_NAMES.items()
        for name, parameter in module.get_submodule(ours).named_parameters()
    }
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(procedural_array(name, parameter.shape)))
    x = procedural_noise(f"public/{case}/input", options["input"]).requires_grad_()
    output = module(x)
    output.backward(procedural_noise(f"public/{case}/grad", output.shape))
    found = {"output": output, "input_grad": x.grad}
    found.update({f"param_grad.{name}": value.grad for name, value in parameters.items()})
    assert_agrees(case, found)


@pytest.fixture(params=[1, 60, carafe_rows.CPU_BLOCK])
def _block(request, monkeypatch) -> None:
    monkeypatch.setattr(carafe_rows, "CPU_BLOCK", request.param)


@pytest.mark.usefixtures("_block")
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_is_its_definition_in_blocks_of_any_size(shape, last: bool) -> None:
    values = tensors(shape, last=last)
    found, expected = run(carafe, shape, values), run(literal, shape, values)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    form = torch.contiguous_format if values[0].is_contiguous() else torch.channels_last
    assert found[0].is_contiguous(memory_format=form)


def test_tensors_with_gaps_and_repeats() -> None:
    shape = (2, 4, 5, 6, 3, 1, 2)
    x, kernels, _ = tensors(shape)
    gapped = torch.stack([x, x], dim=-1)[..., 0]
    turned = kernels.transpose(2, 3).contiguous().transpose(2, 3)
    repeated = torch.ones((), dtype=x.dtype).expand(2, 4, 10, 12)
    found = run(carafe, shape, (gapped, turned, repeated))
    for ours, theirs in zip(found, run(literal, shape, (x, kernels, repeated)), strict=True):
        torch.testing.assert_close(ours, theirs)


SMALL = [(1, 4, 1, 2, 3, 2, 3), (1, 2, 2, 3, 7, 1, 2), (2, 2, 3, 2, 3, 1, 1)]


@pytest.mark.parametrize("shape", SMALL)
def test_gradients_and_their_gradients_are_right(shape) -> None:
    x, kernels, _ = tensors(shape)
    inputs = (x.requires_grad_(), kernels.requires_grad_())

    def form(x: Tensor, kernels: Tensor) -> Tensor:
        return carafe(x, kernels, *shape[4:])

    assert torch.autograd.gradcheck(form, inputs)
    assert torch.autograd.gradgradcheck(form, inputs, fast_mode=True)


@pytest.mark.parametrize("frozen", [0, 1])
def test_only_the_gradient_that_is_asked_for(frozen: int) -> None:
    shape = SHAPES[0]
    values = tensors(shape)
    inputs = [value.requires_grad_(i != frozen) for i, value in enumerate(values[:2])]
    carafe(*inputs, *shape[4:]).backward(values[2])
    expected = run(literal, shape, values)[1:]
    assert inputs[frozen].grad is None
    torch.testing.assert_close(inputs[1 - frozen].grad, expected[1 - frozen])


class LargestTensor(TorchDispatchMode):
    """Notes the bytes of the largest tensor that any operator makes."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        found = output if isinstance(output, tuple | list) else [output]
        sizes = [
            value.untyped_storage().size() // 8 for value in found if isinstance(value, Tensor)
        ]
        self.size = max([self.size, *sizes])
        return output


def test_nothing_larger_than_the_output_is_made_or_kept(monkeypatch) -> None:
    shape = (1, 128, 12, 12, 5, 1, 2)
    x, kernels, gradient = tensors(shape)
    monkeypatch.setattr(carafe_rows, "CPU_BLOCK", gradient.numel() // 8)
    with LargestTensor() as largest:
        carafe_rows.reassemble(x, kernels, *shape[4:])
        carafe_rows.gradients(gradient, x, kernels, *shape[4:], True, True)
    assert 0 < largest.size <= gradient.nbytes

    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        carafe(x.requires_grad_(), kernels.requires_grad_(), *shape[4:])
    assert {value.data_ptr() for value in kept} == {x.data_ptr(), kernels.data_ptr()}


@pytest.mark.parametrize("size", [(0, 4, 5, 6), (2, 4, 0, 6)])
def test_no_map_or_an_empty_one(size) -> None:
    module = CARAFEUpsample(4, compressed_channels=2)
    x = torch.zeros(size, requires_grad=True)
    kernels = torch.zeros(size[0], 25, size[2] * 2, size[3] * 2, requires_grad=True)
    output = carafe(x, kernels, 5, 1, 2)
    output.sum().backward()
    assert output.shape == (size[0], 4, size[2] * 2, size[3] * 2)
    assert x.grad.shape == x.shape
    assert kernels.grad.shape == kernels.shape
    if not size[0]:
        module(x).sum().backward()
        assert not module.encoder.weight.grad.any()


@pytest.mark.parametrize("kernels_dtype", [torch.float32, None])
@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_sums_in_single(dtype: torch.dtype, kernels_dtype) -> None:
    shape = SHAPES[0]
    values = tensors(shape, dtype)
    values[1] = values[1].to(kernels_dtype or dtype)
    found = run(carafe, shape, values)
    exact = run(literal, shape, [value.double() for value in values])
    assert [value.dtype for value in found] == [dtype, dtype, values[1].dtype]
    for value, expected in zip(found, exact, strict=True):
        # The sums are exact but for float32's rounding: what is left is the result's rounding.
        torch.testing.assert_close(value, expected.to(value.dtype), rtol=1e-2, atol=1e-5)

    large = torch.full((1, 1, 1, 2), 60000.0, dtype=torch.float16)
    kernels = torch.zeros(1, 9, 1, 2, dtype=torch.float16)
    kernels[0, 3:6, 0, 0] = torch.tensor([0.0, 2.0, -1.0])
    assert carafe(large, kernels, 3, 1, 1).flatten().tolist() == [60000.0, 0.0]


def module_and_features() -> tuple[CARAFEUpsample, Tensor]:
    module = CARAFEUpsample(8, compressed_channels=4, groups=2)
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.copy_(torch.from_numpy(procedural_array(name, value.shape)))
    return module, procedural_noise("module", (2, 8, 5, 7))


@pytest.mark.parametrize("dtype", HALVES)
def test_automatic_mixed_precision(dtype: torch.dtype) -> None:
    module, x = module_and_features()
    exact = module(x)
    exact.square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in module.parameters()]
    module.zero_grad()
    with torch.autocast("cpu", dtype):
        assert module.kernels(x).dtype == torch.float32
        output = module(x.to(dtype))
    output.float().square().sum().backward()
    assert output.dtype == dtype
    torch.testing.assert_close(output.float(), exact, rtol=0.02, atol=0.05)
    for parameter, expected in zip(module.parameters(), gradients, strict=True):
        tolerance = 0.05 * expected.abs().max().item()
        torch.testing.assert_close(parameter.grad, expected, rtol=0, atol=tolerance)


def test_fresh_module_takes_the_mean_of_neighbours() -> None:
    torch.manual_seed(0)
    module = CARAFEUpsample(8, groups=2)
    assert module.encoder.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert not module.encoder.bias.any()
    assert not module.compressor.bias.any()
    bound = (6 / (8 + 64)) ** 0.5
    assert 0.98 * bound < module.compressor.weight.abs().max().item() <= bound
    x = procedural_noise("fresh", (1, 8, 6, 6))
    mean = torch.nn.functional.avg_pool2d(x, 5, stride=1, padding=2)
    torch.testing.assert_close(module(x)[..., ::2, ::2], mean, rtol=0, atol=0.02)


def test_kernels_sum_to_one_in_every_group() -> None:
    module, x = module_and_features()
    kernels = module.kernels(x)
    assert kernels.shape == (2, 2 * 25, 10, 14)
    sums = kernels.unflatten(1, (2, 25)).sum(2)
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_counters_of_floating_point_operations() -> None:
    module, x = module_and_features()
    multiply_adds = 2 * 8 * 10 * 14 * 25
    with FlopCounterMode(display=False) as counter:
        module(x.requires_grad_()).sum().backward()
    counts = {str(name): count for name, count in counter.get_flop_counts()["Global"].items()}
    assert counts["projects_ext.carafe"] == 2 * multiply_adds
    assert counts["projects_ext.carafe_gradients"] == 2 * 2 * multiply_adds
    analysis = FlopCountAnalysis(module, x).set_op_handle(**FVCORE_HANDLES)
    analysis.unsupported_ops_warnings(False)
    assert analysis.by_operator()["carafe"] == multiply_adds


@pytest.mark.parametrize(
    ("x", "kernels", "options", "message"),
    [
        ((1, 4, 3, 3), (1, 16, 6, 6), (4, 1, 2), "kernel_size is 4: a neighbourhood has an odd"),
        ((1, 4, 3, 3), (1, 9, 3, 3), (3, 1, 0), "scale is 0: give 1 or more"),
        ((4, 3, 3), (1, 9, 6, 6), (3, 1, 2), r"shape \(4, 3, 3\): give \(N, C, H, W\)"),
        ((1, 4, 3, 3), (1, 27, 6, 6), (3, 3, 2), "4 channels cannot be shared out among 3 groups"),
        ((1, 4, 3, 3), (1, 9, 5, 6), (3, 1, 2), r"shape \(1, 9, 5, 6\), not \(1, 9, 6, 6\)"),
    ],
)
def test_wrong_arguments_are_named(x, kernels, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        carafe(torch.zeros(x), torch.zeros(kernels), *options)


def test_wrong_options_of_the_module_are_named() -> None:
    with pytest.raises(ValueError, match="kernel_size is 4: a neighbourhood has an odd size"):
        CARAFEUpsample(8, kernel_size=4)
    with pytest.raises(ValueError, match="8 channels cannot be shared out among 3 groups"):
        CARAFEUpsample(8, groups=3)
    with pytest.raises(ValueError, match="encoder_kernel is 2: an odd size keeps the map's"):
        CARAFEUpsample(8, encoder_kernel=2)
