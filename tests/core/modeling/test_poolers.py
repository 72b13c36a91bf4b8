"""ROIPooler: the reference's values, levels, order, and the cases without boxes."""

import zlib

import numpy as np
import pytest
import torch
from torchvision.ops import roi_align, roi_pool

from detectron2.modeling.poolers import (
    ROIPooler,
    assign_boxes_to_levels,
    convert_boxes_to_pooler_format,
)
from detectron2.structures import Boxes
from tests.golden_files import load_golden

BAD_INPUT = (AssertionError, ValueError)
SCALES = (1 / 4, 1 / 8, 1 / 16, 1 / 32)
REFERENCE = {
    "ROIAlignV2": lambda x, r, size, s: roi_align(x, r, size, s, 2, aligned=True),
    "ROIAlign": lambda x, r, size, s: roi_align(x, r, size, s, 2, aligned=False),
    "ROIPool": roi_pool,
}


def pyramid():
    return [
        torch.from_numpy(
            np.random.RandomState(zlib.crc32(f"public/feat{i}".encode()))
            .standard_normal((2, 4, 64 >> i, 96 >> i))
            .astype(np.float32)
        )
        for i in range(4)
    ]


def boxes():
    golden = load_golden("d2_components")
    return [Boxes(torch.from_numpy(golden[f"pooler.rois{i}"])) for i in range(2)]


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_golden(sampling_ratio):
    golden = load_golden("d2_components")
    pooler = ROIPooler(
        output_size=7, scales=SCALES, sampling_ratio=sampling_ratio, pooler_type="ROIAlignV2"
    )
    np.testing.assert_array_equal(
        assign_boxes_to_levels(boxes(), 2, 5, 224, 4), golden["pooler.levels"]
    )
    np.testing.assert_allclose(
        pooler(pyramid(), boxes()),
        golden[f"pooler.output.sampling{sampling_ratio}"],
        rtol=1e-5,
        atol=1e-5,
    )


def expected_by_box(pooler_type, size, features, box_lists):
    """Every box alone, from the level of its size."""
    rows = []
    levels = iter(assign_boxes_to_levels(box_lists, 2, 5, 224, 4).tolist())
    for index, image_boxes in enumerate(box_lists):
        for box in image_boxes.tensor:
            level = next(levels)
            feature = features[level][index : index + 1]
            roi = torch.cat([box.new_zeros(1), box])[None]
            rows.append(REFERENCE[pooler_type](feature, roi, size, SCALES[level]))
    return torch.cat(rows)


SIZES = [pytest.param((3, 5), marks=pytest.mark.core_only(reason="rectangles fail in upstream")), 4]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pooler_type", ["ROIAlignV2", "ROIAlign", "ROIPool"])
def test_every_box_comes_from_its_own_level_and_image(pooler_type, size):
    pooler = ROIPooler(size, SCALES, 2, pooler_type)
    size = (size, size) if isinstance(size, int) else size
    assert pooler.output_size == size
    answer = pooler(pyramid(), boxes())
    assert answer.shape == (21, 4, *size)
    torch.testing.assert_close(answer, expected_by_box(pooler_type, size, pyramid(), boxes()))


@pytest.mark.core_only(reason="rectangles fail in upstream")
def test_rectangular_output_may_be_a_list_as_in_configs():
    pooler = ROIPooler([2, 6], SCALES, 0, "ROIAlignV2")
    assert pooler(pyramid(), boxes()).shape == (21, 4, 2, 6)


def test_single_level_rectangle():
    pooler = ROIPooler((2, 3), SCALES[:1], 2, "ROIAlignV2")
    answer = pooler(pyramid()[:1], boxes())
    rois = convert_boxes_to_pooler_format(boxes())
    torch.testing.assert_close(
        answer, roi_align(pyramid()[0], rois, (2, 3), 1 / 4, 2, aligned=True)
    )


def test_levels_by_size():
    sides = torch.tensor([0.0, 1.0, 111.0, 112.0, 223.0, 224.0, 447.0, 448.0, 1e5])
    square = Boxes(torch.stack([sides * 0, sides * 0, sides, sides], dim=1))
    levels = assign_boxes_to_levels([square], 2, 5, 224, 4)
    assert levels.dtype == torch.int64
    assert (levels + 2).tolist() == [2, 2, 2, 3, 3, 4, 4, 5, 5]
    assert assign_boxes_to_levels([square[5:6]], 2, 5, 112, 2).tolist() == [1]


def test_format():
    rois = convert_boxes_to_pooler_format(
        [Boxes(torch.tensor([[1.0, 2, 3, 4]])), Boxes(torch.zeros(0, 4)), Boxes(torch.ones(2, 4))]
    )
    assert rois.tolist() == [[0, 1, 2, 3, 4], [2, 1, 1, 1, 1], [2, 1, 1, 1, 1]]


def test_gradients_reach_every_level():
    features = [feature.double().requires_grad_() for feature in pyramid()]
    sides = torch.tensor([20.0, 130.0, 250.0, 460.0], dtype=torch.float64)
    square = Boxes(torch.stack([sides * 0, sides * 0, sides, sides], dim=1))
    square.tensor = square.tensor.double()
    pooler = ROIPooler(2, SCALES, 2, "ROIAlignV2")
    pooler(features, [square, square]).sum().backward()
    assert all(float(feature.grad.abs().sum()) > 0 for feature in features)


@pytest.mark.parametrize("scales", [SCALES, SCALES[:1]])
@pytest.mark.parametrize("pooler_type", ["ROIAlignV2", "ROIPool"])
def test_no_boxes(scales, pooler_type):
    pooler = ROIPooler(7, scales, 2, pooler_type)
    features = [feature.requires_grad_() for feature in pyramid()[: len(scales)]]
    none = Boxes(torch.zeros(0, 4))
    answer = pooler(features, [none, none])
    assert answer.shape == (0, 4, 7, 7)
    # Half of the images without boxes.
    some = Boxes(torch.tensor([[4.0, 4.0, 60.0, 60.0]]))
    assert pooler(features, [none, some]).shape == (1, 4, 7, 7)
    assert pooler([feature[:0] for feature in features], []).shape == (0, 4, 7, 7)


@pytest.mark.parametrize("pooler_type", ["ROIAlignV2", "ROIPool"])
@pytest.mark.core_only(reason="upstream rounds the coordinates to the features' precision")
def test_bfloat16_features(pooler_type):
    features = [feature.bfloat16() for feature in pyramid()]
    pooler = ROIPooler(7, SCALES, 2, pooler_type)
    answer = pooler(features, boxes())
    assert answer.dtype == torch.bfloat16
    exact = pooler([feature.float() for feature in features], boxes())
    assert torch.equal(answer, exact.bfloat16())


@pytest.mark.parametrize(
    ("size", "scales", "pooler_type"),
    [
        (7, (0.25, 0.1), "ROIAlign"),
        (7, (0.25, 0.0625), "ROIAlign"),
        (7, (0.125, 0.25), "ROIAlign"),
        (7, (0.3,), "ROIAlign"),
        (7, (0.25,), "best"),
        ((7, 7, 7), (0.25,), "ROIAlign"),
    ],
)
def test_bad_arguments(size, scales, pooler_type):
    with pytest.raises(BAD_INPUT):
        ROIPooler(size, scales, 2, pooler_type)


def test_bad_inputs():
    pooler = ROIPooler(7, SCALES, 2, "ROIAlignV2")
    for features, box_lists in (
        (tuple(pyramid()), boxes()),
        (pyramid()[:3], boxes()),
        (pyramid(), boxes()[:1]),
    ):
        with pytest.raises(BAD_INPUT):
            pooler(features, box_lists)
