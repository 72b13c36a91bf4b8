import json
import warnings

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from projects_ext.groie.key_map import ATTENTION_NAMES
from projects_ext.layers.generalized_attention import GeneralizedAttention, stable_softmax
from tests.golden_files import load_golden
from tests.procedural import procedural_array, procedural_noise
from tests.references.generalized_attention import generalized_attention

OPS = load_golden("ops")
CASES = {
    name: case
    for name, case in json.loads(str(OPS["meta"]))["cases"].items()
    if name.startswith("generalized_attention")
}
TYPES = ["0100", "0001", "0101", "0010", "1000", "0110", "1111", "1100", "0011"]


def build(kind: str = "0100", channels: int = 8, **options) -> GeneralizedAttention:
    """With procedural weights, in float64."""
    options = {"num_heads": 2, **options}
    module = GeneralizedAttention(channels, attention_type=kind, **options).double()
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.copy_(torch.from_numpy(procedural_array(f"{name}.weight", value.shape)))
    return module


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_reference_implementation_with_all_gradients(case: str) -> None:
    options = CASES[case]
    module = GeneralizedAttention(
        options["in_channels"],
        num_heads=options["num_heads"],
        attention_type=options["attention_type"],
        kv_stride=options["kv_stride"],
    )
    parameters = dict(module.named_parameters())
    theirs = {ours: name for name, ours in ATTENTION_NAMES.items()}
    names = {
        theirs[part] + dot + rest: part + dot + rest
        for part, dot, rest in (name.partition(".") for name in parameters)
    }
    with torch.no_grad():
        for name, ours in names.items():
            value = procedural_array(name, parameters[ours].shape)
            parameters[ours].copy_(torch.from_numpy(value))
    x = procedural_noise(f"public/{case}/input", tuple(options["input"])).requires_grad_()
    output = module(x)
    output.backward(procedural_noise(f"public/{case}/grad", tuple(options["input"])))

    found = {"output": output, "input_grad": x.grad}
    found.update({f"param_grad.{name}": parameters[ours].grad for name, ours in names.items()})
    assert {f"{case}.{field}" for field in found} == {f for f in OPS if f.startswith(f"{case}.")}
    for field, value in found.items():
        expected = OPS[f"{case}.{field}"]
        tolerance = 1e-4 * max(np.abs(expected).max(), 1e-6)
        np.testing.assert_allclose(value.detach().numpy(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("kind", TYPES)
def test_is_its_definition(kind: str, transposed: bool) -> None:
    module = build(kind, transposed_rows=transposed)
    x = procedural_noise("definition", (2, 8, 4, 4)).double()
    torch.testing.assert_close(module(x), generalized_attention(module, x))


@pytest.mark.parametrize(("channels", "heads", "stride"), [(16, 3, 1), (8, 1, 3), (12, 12, 2)])
def test_is_its_definition_for_other_heads_and_strides(channels, heads, stride) -> None:
    module = build(channels=channels, num_heads=heads, kv_stride=stride)
    x = procedural_noise("heads", (1, channels, 5, 5)).double()
    torch.testing.assert_close(module(x), generalized_attention(module, x))


@pytest.mark.parametrize("kind", ["0100", "0101", "1111"])
def test_straight_form_takes_maps_that_are_not_square(kind: str) -> None:
    module = build(kind, transposed_rows=False)
    x = procedural_noise("oblong", (2, 8, 3, 6)).double()
    torch.testing.assert_close(module(x), generalized_attention(module, x))


@pytest.mark.parametrize("kind", ["0100", "0001", "1111"])
def test_gradients_are_right(kind: str) -> None:
    module = build(kind, channels=4, num_heads=2)
    x = procedural_noise("gradcheck", (2, 4, 3, 3)).double().requires_grad_()
    names, values = zip(*module.named_parameters(), strict=True)

    def run(x, *values):
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), x)

    assert torch.autograd.gradcheck(run, (x, *(v.detach().requires_grad_() for v in values)))


def test_starts_as_the_identity() -> None:
    x = procedural_noise("identity", (2, 16, 7, 7))
    assert torch.equal(GeneralizedAttention(16, num_heads=6)(x), x)


def test_weights_start_kaiming_uniform_with_gain_one() -> None:
    torch.manual_seed(0)
    module = GeneralizedAttention(64, num_heads=4, attention_type="1111")
    for layer in module.children():
        bound = (3 / layer.weight[0].numel()) ** 0.5
        assert 0.95 * bound < layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert not module.projection.bias.any()


class Softmaxes(TorchDispatchMode):
    """Notes the shape and the type of every result of a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[torch.Tensor] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten._softmax.default:
            self.results.append(result)
        return result


@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("kind", ["0100", "0001", "0101"])
def test_logits_of_all_pairs_are_never_built(kind: str, transposed: bool) -> None:
    module = build(kind, transposed_rows=transposed)
    with Softmaxes() as softmaxes:
        module(procedural_noise("pairs", (2, 8, 7, 7)).double())
    assert [result.shape[-1] for result in softmaxes.results] == [4, 4]
    # Two maps, two heads, 49 queries, keys along one axis.
    assert all(result.numel() <= 2 * 2 * 49 * 4 for result in softmaxes.results)


@pytest.mark.parametrize("kind", ["0100", "1111"])
def test_softmax_is_in_float32_under_autocast(kind: str) -> None:
    module = build(kind).float()
    with torch.autocast("cpu", torch.bfloat16), Softmaxes() as softmaxes:
        module(procedural_noise("softmax", (2, 8, 7, 7)))
    assert softmaxes.results
    assert all(result.dtype == torch.float32 for result in softmaxes.results)
    assert stable_softmax(torch.zeros(3, dtype=torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize("kind", TYPES)
def test_no_maps_give_no_maps_and_zero_gradients(kind: str) -> None:
    module = build(kind)
    empty = torch.zeros(0, 8, 7, 7, dtype=torch.float64)
    output = module(empty)
    assert output.shape == empty.shape
    output.sum().backward()
    assert all(value.grad is not None for value in module.parameters())


def test_a_map_is_attended_to_alone() -> None:
    module = build()
    x = procedural_noise("alone", (3, 8, 7, 7)).double()
    torch.testing.assert_close(module(x), torch.cat([module(one[None]) for one in x]))


def test_memory_format_changes_nothing() -> None:
    module = build()
    x = procedural_noise("format", (2, 8, 7, 7)).double()
    torch.testing.assert_close(module(x.to(memory_format=torch.channels_last)), module(x))


@pytest.mark.parametrize("kind", ["0100", "1111"])
def test_autocast_stays_close(kind: str) -> None:
    module = build(kind, channels=32).float()
    x = procedural_noise("autocast", (2, 32, 7, 7))
    with torch.autocast("cpu", torch.bfloat16):
        low = module(x)
    assert (low.float() - module(x)).abs().mean() < 0.05


@pytest.mark.parametrize("kind", ["0100", "1111"])
def test_compiles_as_one_graph(kind: str) -> None:
    module = build(kind)
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    x = procedural_noise("graph", (2, 8, 7, 7)).double()
    torch.testing.assert_close(compiled(x), module(x))


@pytest.mark.parametrize("kind", ["0100", "1111"])
def test_its_linear_layers_can_be_quantized(kind: str) -> None:
    module = build(kind).float().eval()
    with torch.no_grad():
        module.gamma.fill_(1.0)
    x = torch.rand(2, 8, 5, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        quantized = torch.ao.quantization.quantize_dynamic(module, {torch.nn.Linear})
    assert (quantized(x) - module(x)).abs().max() < 0.1 * module(x).abs().max()


def test_transposed_rows_need_square_maps() -> None:
    with pytest.raises(ValueError, match="square maps, not 3 x 6.*transposed_rows=False"):
        build()(torch.zeros(1, 8, 3, 6, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["0000", "0200", "010", "01000"])
def test_type_is_four_digits(kind: str) -> None:
    with pytest.raises(ValueError, match="four digits"):
        GeneralizedAttention(8, attention_type=kind)


@pytest.mark.parametrize(("channels", "heads"), [(8, 9), (8, 0), (10, 2)])
def test_channels_and_heads_fit(channels: int, heads: int) -> None:
    with pytest.raises(ValueError, match="multiple of 4 channels"):
        GeneralizedAttention(channels, num_heads=heads)
