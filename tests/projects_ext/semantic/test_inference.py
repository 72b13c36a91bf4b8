"""Whole, sliding, multi-scale and mirrored inference beside their literal forms."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from projects_ext.semantic import inference, strips
from projects_ext.semantic.inference import (
    PUBLISHED_SCALES,
    MultiScaleFlip,
    SlideInference,
    WholeInference,
    build_inference,
    scaled_size,
    windows,
)
from tests.references.semantic_inference import literal_inference

CLASSES = 5
CROP, STRIDE = (24, 32), (17, 20)
SIZES = [(48, 64), (41, 72), (58, 53), (20, 70), (40, 30), (15, 17), (24, 32)]


class Network(nn.Module):
    """Sees the whole of what it is given, as GC heads do; its output has its input's size."""

    def __init__(self, align_corners: bool = False, classes: int = CLASSES) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.last = nn.Conv2d(3, 8, 4, 4, 2), nn.Conv2d(8, classes, 1)
        self.align_corners = align_corners
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(tuple(images.shape))
        x = self.first(images).relu()
        x = 4 * self.last(x + x.mean(dim=(2, 3), keepdim=True))
        size = images.shape[2:]
        return F.interpolate(x, size=size, mode="bilinear", align_corners=self.align_corners)


def picture(height: int, width: int) -> Tensor:
    return torch.randn(3, height, width, generator=torch.Generator().manual_seed(height * width))


def assert_same(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(48, 64), (37, 90), (96, 31)])
def test_whole(size: tuple[int, int], align_corners: bool) -> None:
    network, image = Network(align_corners), picture(48, 64)
    found = WholeInference(align_corners=align_corners)(network, image, size)
    expected = literal_inference(network, image, size, align_corners=align_corners)
    assert_same(found, expected)
    assert network.sizes == [(1, 3, 48, 64)] * 2


@pytest.mark.parametrize("at_once", [1, 4])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_slide(size: tuple[int, int], align_corners: bool, at_once: int) -> None:
    network, image, output = Network(align_corners), picture(*size), (50, 61)
    slide = SlideInference(
        crop=CROP, stride=STRIDE, align_corners=align_corners, windows_at_once=at_once
    )
    expected = literal_inference(
        network, image, output, windows=(CROP, STRIDE), align_corners=align_corners
    )
    places = sum(shape[0] for shape in network.sizes)
    network.sizes.clear()
    assert_same(slide(network, image, output), expected)
    assert sum(shape[0] for shape in network.sizes) == places
    window = (min(CROP[0], size[0]), min(CROP[1], size[1]))
    assert {shape[2:] for shape in network.sizes} == {window}


@pytest.mark.parametrize(
    ("length", "crop", "stride", "expected"),
    [
        (1024, 769, 513, [(0, 769), (255, 1024)]),
        (2049, 769, 513, [(0, 769), (513, 1282), (1026, 1795), (1280, 2049)]),
        (1282, 769, 513, [(0, 769), (513, 1282)]),
        (769, 769, 513, [(0, 769)]),
        (770, 769, 513, [(0, 769), (1, 770)]),
        (700, 769, 513, [(0, 700)]),
        (1, 769, 513, [(0, 1)]),
        (10, 4, 4, [(0, 4), (4, 8), (6, 10)]),
    ],
)
def test_windows(length: int, crop: int, stride: int, expected: list[tuple[int, int]]) -> None:
    assert [(place.start, place.stop) for place in windows(length, crop, stride)] == expected


def test_overlapping_windows_are_averaged() -> None:
    numbers = iter([10.0, 20.0, 60.0])

    def encode(images: Tensor) -> Tensor:
        return torch.full((1, 1, *images.shape[2:]), next(numbers))

    slide = SlideInference(crop=(2, 4), stride=(2, 2))
    found = slide(encode, torch.zeros(3, 2, 7), (2, 7))
    # Windows at 0 to 4, 2 to 6 and, shifted back, 3 to 7.
    expected = torch.tensor([10, 10, 15, 30, 40, 40, 60.0]).expand(1, 2, 7)
    assert_same(found, expected)


@pytest.mark.parametrize("values", [1, 700, 2**22])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(31, 47), (60, 90), (13, 90), (31, 20), (1, 1), (200, 3)])
def test_strips_make_up_the_resized_scores(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], align_corners: bool, values: int
) -> None:
    monkeypatch.setattr(strips, "STRIP_VALUES", values)
    scores = torch.randn(CLASSES, 31, 47, generator=torch.Generator().manual_seed(0))
    found = torch.full((CLASSES, *size), torch.nan)
    for rows, strip in strips.resized_strips(scores, size, align_corners=align_corners):
        assert strip[:, :1].numel() >= strip.numel() or strip.numel() <= values
        found[:, rows] = strip
    assert_same(found, strips.resize(scores, size, align_corners=align_corners))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("sliding", [False, True])
@pytest.mark.parametrize("align_corners", [False, True])
def test_multi_scale_flip(
    monkeypatch: pytest.MonkeyPatch, align_corners: bool, sliding: bool, flip: bool
) -> None:
    monkeypatch.setattr(strips, "STRIP_VALUES", 3000)
    network, image, size = Network(align_corners), picture(41, 58), (45, 67)
    inner: Any = WholeInference(align_corners=align_corners)
    if sliding:
        inner = SlideInference(crop=CROP, stride=STRIDE, align_corners=align_corners)
    found = MultiScaleFlip(inner=inner, flip=flip)(network, image, size)
    expected = literal_inference(
        network,
        image,
        size,
        windows=(CROP, STRIDE) if sliding else None,
        scales=PUBLISHED_SCALES,
        flip=flip,
        align_corners=align_corners,
    )
    assert_same(found, expected)
    assert_same(found.sum(dim=0), torch.ones(size))


def test_views_are_averaged_after_their_softmax() -> None:
    """A sure view must not drown the others: the mean of logits would say class 0."""

    def encode(images: Tensor) -> Tensor:
        sure = images.shape[2] == 2
        logits = torch.tensor([100.0, 0.0] if sure else [0.0, 5.0])
        return logits[None, :, None, None].expand(1, 2, *images.shape[2:])

    way = MultiScaleFlip(inner=WholeInference(), scales=(0.5, 1, 2), flip=False)
    assert way(encode, torch.zeros(3, 4, 4), (4, 4)).argmax(dim=0).eq(1).all()


def test_a_mirrored_image_has_mirrored_scores() -> None:
    network, image = Network(), picture(48, 64)
    way = MultiScaleFlip(inner=WholeInference())
    mirrored = way(network, image.flip(-1), (48, 64)).flip(-1)
    assert_same(mirrored, way(network, image, (48, 64)))
    assert not torch.allclose(
        MultiScaleFlip(inner=WholeInference(), flip=False)(network, image.flip(-1), (48, 64)),
        way(network, image.flip(-1), (48, 64)),
    )


def test_sizes_of_scaled_images() -> None:
    assert scaled_size((1025, 2049), 0.5) == (513, 1025)
    assert scaled_size((1024, 2048), 1.75) == (1792, 3584)
    assert scaled_size((1, 3), 0.25) == (1, 1)


def test_half_precision_networks_are_accumulated_in_full() -> None:
    network, image = Network().bfloat16(), picture(41, 58)

    def encode(images: Tensor) -> Tensor:
        return network(images.bfloat16())

    for way in (build_inference(), build_inference(crop=CROP, stride=STRIDE, flip=True)):
        found = way(encode, image, (45, 67))
        assert found.dtype == torch.float32
        assert not found.requires_grad


class LiveMemory(TorchDispatchMode):
    """Within it, how many bytes of tensors that were made here are alive, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        known = {x.untyped_storage()._cdata for x in tree_leaves(args) if isinstance(x, Tensor)}
        for x in tree_leaves(result):
            if isinstance(x, Tensor) and x.untyped_storage()._cdata not in known:
                storage = x.untyped_storage()
                self.live[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.live = {key: kept for key, kept in self.live.items() if not kept[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.live.values()))
        return result


def peak(run: Callable[[], Tensor]) -> int:
    with LiveMemory() as memory:
        run()
    return memory.peak


def test_memory_does_not_grow_with_the_number_of_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slide, six scales, mirrored: the sums at scale 1.75 and at the output's size, little else.

    A sixteenth of a Cityscapes image: by this bound, 2048 x 1024 pixels stay below 1 GiB.
    """
    monkeypatch.setattr(strips, "STRIP_VALUES", 2**22 // 16)
    size, classes, crop, stride = (256, 512), 19, (193, 193), (129, 129)
    network, image = Network(classes=classes), picture(*size)
    way = build_inference(crop=crop, stride=stride, scales=PUBLISHED_SCALES, flip=True)
    full = 4 * classes * size[0] * size[1]
    found = peak(lambda: way(network, image, size))
    images = 2 * 3 / classes  # the scaled one, plain and mirrored
    assert found < (1.75**2 * (1 + images) + 1 + 1) * full
    assert 16 * found < 2**30
    one = build_inference(crop=crop, stride=stride, scales=(1.75,), flip=True)
    assert found < peak(lambda: one(network, image, size)) + 0.1 * full
    literal = peak(
        lambda: literal_inference(
            network, image, size, windows=(crop, stride), scales=PUBLISHED_SCALES, flip=True
        )
    )
    assert literal > 2 * found


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("windowed", [False, True])
def test_a_gpu_can_accumulate_on_the_cpu(windowed: bool) -> None:
    network, image, size = Network(), picture(41, 58), (45, 67)
    keys: dict[str, Any] = {"crop": CROP, "stride": STRIDE} if windowed else {}
    for views in ({}, {"scales": PUBLISHED_SCALES, "flip": True}):
        expected = build_inference(**keys, **views)(network.cpu(), image, size)
        way = build_inference(**keys, **views, accumulate_on="cpu")
        found = way(network.cuda(), image.cuda(), size)
        assert found.device.type == "cpu"
        torch.testing.assert_close(found, expected, rtol=0, atol=5e-3)


def test_plain_values_choose_the_way() -> None:
    assert type(build_inference()) is WholeInference
    slide = build_inference(crop=CROP, stride=STRIDE, align_corners=True, accumulate_on="cpu")
    assert isinstance(slide, SlideInference)
    assert (slide.crop, slide.stride, slide.align_corners) == (CROP, STRIDE, True)
    assert slide.accumulate_on == torch.device("cpu")
    way = build_inference(crop=CROP, stride=STRIDE, flip=True)
    assert isinstance(way, MultiScaleFlip)
    assert isinstance(way.inner, SlideInference)
    assert (way.scales, way.flip) == ((1.0,), True)
    way = build_inference(scales=[0.5, 1])
    assert isinstance(way, MultiScaleFlip)
    assert isinstance(way.inner, WholeInference)
    assert (way.scales, way.flip) == ((0.5, 1), False)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"crop": (24, 32)}, "both crop and stride"),
        ({"stride": (24, 32)}, "both crop and stride"),
        ({"crop": (24, 32), "stride": (25, 20)}, r"stride is \(25, 20\)"),
        ({"crop": (24, 32), "stride": (24, 0)}, r"stride is \(24, 0\)"),
        ({"crop": (24, 32), "stride": (24, 20), "windows_at_once": 0}, "windows_at_once is 0"),
        ({"scales": ()}, "positive scales"),
        ({"scales": (0.5, -1)}, "positive scales"),
    ],
)
def test_what_cannot_be_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_inference(**keys)


@pytest.mark.parametrize("way", [build_inference(), build_inference(crop=CROP, stride=STRIDE)])
def test_a_network_of_another_size_is_refused(way: inference.Inference) -> None:
    with pytest.raises(ValueError, match=r"of its input's size"):
        way(lambda images: images[:, :, ::2, ::2], picture(48, 64), (48, 64))
