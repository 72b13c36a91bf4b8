import pytest
import torch
from torch import nn
from torchvision.ops import roi_align

from detectron2.structures import Boxes
from projects_ext.groie import GRoIEPooler
from projects_ext.layers import GeneralizedAttention
from tests.procedural import procedural_array, procedural_noise
from tests.references.groie import LiteralGRoIE

SCALES = (1 / 4, 1 / 8)
CHANNELS = 16


def build(**options) -> GRoIEPooler:
    """With procedural weights, in float64."""
    options = {"output_size": 7, "channels": CHANNELS, **options}
    pooler = GRoIEPooler(scales=SCALES, **options).double()
    with torch.no_grad():
        for name, value in pooler.named_parameters():
            value.copy_(torch.from_numpy(procedural_array(name, value.shape)))
    return pooler


def feature_maps(images: int = 2, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """Of images of 96 x 128."""
    return [
        procedural_noise(f"map {level}", (images, CHANNELS, 24 >> level, 32 >> level)).to(dtype)
        for level in range(2)
    ]


def boxes(*counts: int) -> list[Boxes]:
    """So many boxes in each image."""
    random = torch.Generator().manual_seed(0)
    found = []
    for count in counts:
        corner = torch.rand(count, 2, generator=random) * 80
        found.append(Boxes(torch.cat([corner, corner + 4 + corner.flip(1)], dim=1)))
    return found


@pytest.mark.parametrize("size", [7, 14])
@pytest.mark.parametrize("training", [True, False])
def test_is_the_literal_form(size: int, training: bool) -> None:
    pooler = build(output_size=size)
    maps, regions = feature_maps(), boxes(3, 2)
    with torch.set_grad_enabled(training):
        found = pooler(maps, regions)
    torch.testing.assert_close(found, LiteralGRoIE(pooler)(maps, regions))


@pytest.mark.parametrize("training", [True, False])
def test_concatenation_puts_levels_behind_each_other(training: bool) -> None:
    parts = {"pre_module": nn.Identity(), "post_module": nn.Identity()}
    pooler = build(aggregation="concat", chunk_bins=100, **parts)
    maps, regions = feature_maps(), boxes(3, 2)
    levels = [
        roi_align(map_, [x.tensor.double() for x in regions], 7, scale, 2, aligned=True)
        for map_, scale in zip(maps, SCALES, strict=True)
    ]
    with torch.set_grad_enabled(training):
        torch.testing.assert_close(pooler(maps, regions), torch.cat(levels, dim=1))


@pytest.mark.parametrize("options", [{}, {"recompute": True, "chunk_bins": 100}])
def test_gradients_are_those_of_the_literal_form(options) -> None:
    pooler, regions = build(**options), boxes(3, 2)
    gradients = []
    for run in (pooler, LiteralGRoIE(pooler)):
        maps = [map_.requires_grad_() for map_ in feature_maps()]
        output = run(maps, regions)
        pooler.zero_grad()
        output.backward(procedural_noise("gradient", output.shape).double())
        gradients.append([*(x.grad for x in maps), *(x.grad for x in pooler.parameters())])
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


def test_chunks_change_nothing() -> None:
    whole, regions = build(), boxes(9, 4)
    chunked = build(chunk_bins=4 * 49)
    assert chunked.chunk == 4
    with torch.no_grad():
        found = chunked(feature_maps(), regions)
        torch.testing.assert_close(found, whole(feature_maps(), regions))


def test_each_image_has_its_own_features() -> None:
    pooler, regions = build(), boxes(3, 0, 2)
    maps = feature_maps(images=3)
    alone = [
        pooler([map_[index : index + 1] for map_ in maps], regions[index : index + 1])
        for index in range(3)
    ]
    assert [len(x) for x in alone] == [3, 0, 2]
    torch.testing.assert_close(pooler(maps, regions), torch.cat(alone))


@pytest.mark.parametrize("options", [{}, {"recompute": True}])
def test_no_regions_give_zero_gradients_to_every_parameter(options) -> None:
    pooler = build(**options)
    output = pooler(feature_maps(), boxes(0, 0))
    assert output.shape == (0, CHANNELS, 7, 7)
    output.sum().backward()
    assert all(x.grad is not None and not x.grad.any() for x in pooler.parameters())
    with torch.no_grad():
        assert pooler(feature_maps(), boxes(0, 0)).shape == (0, CHANNELS, 7, 7)


def test_one_region() -> None:
    pooler, maps, regions = build(), feature_maps(), boxes(0, 1)
    torch.testing.assert_close(pooler(maps, regions), LiteralGRoIE(pooler)(maps, regions))


@pytest.mark.parametrize("recompute", [False, True])
def test_every_parameter_learns(recompute: bool) -> None:
    pooler = build(recompute=recompute)
    pooler(feature_maps(), boxes(3, 3)).square().sum().backward()
    assert all(x.grad is not None and x.grad.any() for x in pooler.parameters())


def test_recomputing_keeps_less() -> None:
    """Bytes that the backward pass holds on to, of one pooler and the other."""

    def kept(recompute: bool) -> int:
        pooler, maps, regions = (
            build(recompute=recompute, chunk_bins=196),
            feature_maps(),
            boxes(8, 8),
        )
        inside = {x.untyped_storage().data_ptr() for x in (*maps, *pooler.parameters())}
        storages = {}

        def pack(tensor):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in inside:
                storages[storage.data_ptr()] = storage
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = pooler(maps, regions)
        assert output.requires_grad
        return sum(storage.nbytes() for storage in storages.values())

    assert kept(recompute=True) <= kept(recompute=False) / 2


def test_autocast_gives_half_precision_close_to_single() -> None:
    pooler = build().float()
    maps = feature_maps(dtype=torch.float32)
    with torch.no_grad():
        single = pooler(maps, boxes(3, 2))
        with torch.autocast("cpu", torch.bfloat16):
            half = pooler(maps, boxes(3, 2))
    assert (half.float() - single).abs().mean() < 0.02 * single.abs().mean()


def test_state_loads_into_another() -> None:
    pooler, other = build(), GRoIEPooler(7, SCALES, channels=CHANNELS).double()
    other.load_state_dict(pooler.state_dict())
    maps, regions = feature_maps(), boxes(2, 1)
    assert torch.equal(other(maps, regions), pooler(maps, regions))


def test_modules_are_injected() -> None:
    pooler = GRoIEPooler(
        (5, 3), SCALES, pre_module=nn.Identity(), post_module=nn.Conv2d(CHANNELS, 8, 1)
    ).double()
    assert pooler(feature_maps(), boxes(2, 2)).shape == (4, 8, 5, 3)


def test_other_types_of_attention() -> None:
    attention = GeneralizedAttention(CHANNELS, num_heads=4, attention_type="1111")
    pooler = GRoIEPooler(7, SCALES, channels=CHANNELS, post_module=attention).double()
    assert pooler(feature_maps(), boxes(2, 2)).shape == (4, CHANNELS, 7, 7)


def test_wrong_options_and_inputs_are_named() -> None:
    with pytest.raises(ValueError, match="'ROIAlignV2' or 'ROIAlign'"):
        build(pooler_type="ROIPool")
    with pytest.raises(ValueError, match="sum or concat"):
        build(aggregation="mean")
    with pytest.raises(ValueError, match="give 2 maps, one for each scale"):
        build()(feature_maps()[:1], boxes(1, 1))
    with pytest.raises(ValueError, match="one list for each image"):
        build()(feature_maps(), boxes(1))


@pytest.mark.parametrize("count", [3, 300])
@pytest.mark.parametrize("options", [{}, {"recompute": True}])
def test_compiles_as_one_graph(count: int, options) -> None:
    pooler, regions = build(**options), boxes(count, 2)
    maps = [map_.requires_grad_() for map_ in feature_maps()]
    compiled = torch.compile(pooler, backend="aot_eager", fullgraph=True)
    found, expected = compiled(maps, regions), pooler(maps, regions)
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(found.sum(), maps),
        torch.autograd.grad(expected.sum(), maps),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    with torch.no_grad():
        torch.testing.assert_close(compiled(maps, regions), expected)
