"""The three kinds of masks, against small drawings and the answers of the reference."""

import numpy as np
import pytest
import torch

from detectron2.structures import BitMasks, Boxes, PolygonMasks, ROIMasks, polygons_to_bitmask
from detectron2.structures.masks import polygon_area, rasterize_polygons_within_box
from tests.golden_files import load_golden

IMAGE = (120, 160)
GOLDEN_POLYGONS = [
    [[20, 20, 90, 25, 80, 100, 30, 90]],
    [[5, 5, 60, 5, 30, 50], [70, 60, 150, 60, 150, 110, 75, 100]],
]
TRIANGLE = np.array([0.0, 0, 3, 0, 3, 3])


@pytest.fixture(scope="module")
def golden():
    return load_golden("d2_components")


def polygon_masks() -> PolygonMasks:
    return PolygonMasks([[np.array(p) for p in parts] for parts in GOLDEN_POLYGONS])


class TestParityWithReference:
    def test_rasterising(self, golden):
        expected = np.unpackbits(golden["polygons.bitmask"], axis=-1)[..., : IMAGE[1]]
        masks = BitMasks.from_polygon_masks(polygon_masks(), *IMAGE)
        assert np.array_equal(masks.tensor.numpy(), expected.astype(bool))

    def test_polygon_crops(self, golden):
        masks = polygon_masks()
        boxes = torch.from_numpy(golden["polygons.boxes"])
        assert np.array_equal(masks.crop_and_resize(boxes, 28).numpy(), golden["polygons.crop28"])

    def test_bit_crops(self, golden):
        masks = BitMasks.from_polygon_masks(polygon_masks(), *IMAGE)
        crops = masks.crop_and_resize(torch.from_numpy(golden["polygons.boxes"]), 28)
        assert np.array_equal(crops.numpy(), golden["bitmask.crop28"])


class TestBitMasks:
    def test_whatever_is_not_zero_is_true(self):
        masks = BitMasks(torch.tensor([[[0.0, 0.3, 1, 2]]]))
        assert masks.tensor.tolist() == [[[False, True, True, True]]]
        assert BitMasks(np.ones((1, 2, 3))).tensor.all()
        assert tuple(masks.image_size) == (1, 4)

    def test_other_shapes_are_refused(self):
        with pytest.raises((AssertionError, ValueError)):
            BitMasks(torch.zeros(2, 2))

    def test_boxes_end_behind_the_last_pixel(self):
        masks = torch.zeros(4, 6, 8, dtype=torch.bool)
        masks[0, 2:4, 3:7] = True
        masks[1, 0, 0] = True
        masks[2, 5, 1] = masks[2, 1, 7] = True
        boxes = BitMasks(masks).get_bounding_boxes().tensor
        assert boxes.tolist() == [[3, 2, 7, 4], [0, 0, 1, 1], [1, 1, 8, 6], [0, 0, 0, 0]]
        assert BitMasks(masks).nonempty().tolist() == [True, True, True, False]

    @pytest.mark.parametrize("shape", [(0, 5, 6), (2, 0, 6), (0, 0, 0)])
    def test_nothing(self, shape):
        masks = BitMasks(torch.zeros(shape))
        assert masks.get_bounding_boxes().tensor.tolist() == [[0.0] * 4] * shape[0]
        assert masks.nonempty().tolist() == [False] * shape[0]

    def test_no_masks(self):
        masks = BitMasks(torch.zeros(0, 5, 6))
        crops = masks.crop_and_resize(torch.zeros(0, 4), 7)
        assert crops.shape == (0, 7, 7)
        assert crops.dtype == torch.bool
        assert BitMasks.from_polygon_masks([], 5, 6).tensor.shape == (0, 5, 6)

    def test_crop_of_the_whole_image_is_the_image(self):
        picture = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5
        box = torch.tensor([[0.0, 0, 8, 8]])
        assert torch.equal(BitMasks(picture).crop_and_resize(box, 8), picture)

    def test_crop_needs_one_box_a_mask(self):
        with pytest.raises((AssertionError, ValueError)):
            BitMasks(torch.zeros(2, 5, 6)).crop_and_resize(torch.zeros(1, 4), 7)

    def test_indexing_and_iteration(self):
        masks = BitMasks(torch.eye(3)[:, None])
        assert masks[1].tensor.tolist() == [[[False, True, False]]]
        assert len(masks[1:]) == 2
        assert len(masks[torch.tensor([True, False, True])]) == 2
        assert masks[torch.tensor([2])].tensor.tolist() == [[[False, False, True]]]
        assert [mask.shape for mask in masks] == [(1, 3)] * 3
        with pytest.raises((AssertionError, IndexError)):
            masks[torch.zeros(2, 2, dtype=torch.int64)]

    def test_cat_and_to(self):
        masks = BitMasks(torch.zeros(2, 5, 6))
        assert len(BitMasks.cat([masks, masks[:1]])) == 3
        assert masks.to(torch.device("meta")).device.type == "meta"
        with pytest.raises((AssertionError, ValueError)):
            BitMasks.cat([])

    @pytest.mark.core_only(reason="upstream's function lacks the boxes and cannot work")
    def test_from_roi_masks(self):
        masks = BitMasks.from_roi_masks(
            ROIMasks(torch.ones(1, 3, 3)), 4, 6, torch.tensor([[1.0, 1, 3, 3]])
        )
        assert masks.get_bounding_boxes().tensor.tolist() == [[1, 1, 3, 3]]
        with pytest.raises(ValueError, match="boxes"):
            BitMasks.from_roi_masks(ROIMasks(torch.ones(1, 3, 3)), 4, 6)


class TestPolygonMasks:
    @pytest.mark.parametrize(
        "polygon",
        [TRIANGLE, TRIANGLE.astype(np.float32), torch.from_numpy(TRIANGLE), TRIANGLE.tolist()],
    )
    def test_polygons_become_float64_arrays(self, polygon):
        array = PolygonMasks([[polygon]]).polygons[0][0]
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.float64
        assert array.tolist() == TRIANGLE.tolist()

    @pytest.mark.parametrize(
        "bad", [np.zeros(6), [(TRIANGLE,)], [[[0, 0, 3, 0, 3]]], [[[0, 0, 3, 0]]]]
    )
    def test_other_nestings_are_refused(self, bad):
        with pytest.raises(ValueError, match=r"(?i)polygon"):
            PolygonMasks(bad)

    def test_area(self):
        assert polygon_area(TRIANGLE[::2], TRIANGLE[1::2]) == 4.5
        masks = PolygonMasks([[TRIANGLE], [], [TRIANGLE, TRIANGLE + 5]])
        assert masks.area().tolist() == [4.5, 0, 9]
        assert masks.nonempty().tolist() == [True, False, True]

    def test_bounding_boxes(self):
        boxes = polygon_masks().get_bounding_boxes().tensor
        assert boxes.tolist() == [[20, 20, 90, 100], [5, 5, 150, 110]]
        assert boxes.dtype == torch.float32

    @pytest.mark.core_only(reason="upstream answers infinite coordinates")
    def test_an_instance_without_polygons_has_an_empty_box(self):
        assert PolygonMasks([[]]).get_bounding_boxes().tensor.tolist() == [[0, 0, 0, 0]]

    def test_instance_without_polygons_is_cropped_to_nothing(self):
        boxes = torch.tensor([[0.0, 0, 3, 3]] * 2)
        crops = PolygonMasks([[], [TRIANGLE]]).crop_and_resize(boxes, 4)
        assert crops[0].sum() == 0
        assert crops[1].any()

    def test_no_masks(self):
        masks = PolygonMasks([])
        assert masks.crop_and_resize(torch.zeros(0, 4), 4).shape == (0, 4, 4)
        assert masks.get_bounding_boxes().tensor.shape == (0, 4)
        assert masks.area().shape == (0,)
        assert masks.nonempty().shape == (0,)

    def test_crop_follows_the_box(self):
        square = [[10, 10, 20, 10, 20, 20, 10, 20]]
        boxes = torch.tensor([[10.0, 10, 20, 20], [0, 0, 20, 20], [10, 0, 30, 40]])
        crops = PolygonMasks([square] * 3).crop_and_resize(boxes, 8)
        assert crops[0].all()
        assert crops[1, 4:, 4:].all()
        assert crops[1].sum() == 16
        assert crops[2, 2:4, :4].all()
        assert crops[2].sum() == 8

    def test_a_box_without_extent_is_no_error(self):
        crops = PolygonMasks([[TRIANGLE]]).crop_and_resize(torch.tensor([[1.0, 1, 1, 1]]), 4)
        assert crops.shape == (1, 4, 4)

    def test_crop_leaves_the_polygons_alone(self):
        masks = PolygonMasks([[TRIANGLE.copy()]])
        masks.crop_and_resize(torch.tensor([[1.0, 1, 2, 2]]), 4)
        assert masks.polygons[0][0].tolist() == TRIANGLE.tolist()

    def test_crop_needs_one_box_a_mask(self):
        with pytest.raises((AssertionError, ValueError)):
            PolygonMasks([[TRIANGLE]]).crop_and_resize(torch.zeros(2, 4), 4)

    def test_indexing_and_iteration(self):
        masks = PolygonMasks([[TRIANGLE], [TRIANGLE + 1], [TRIANGLE + 2]])

        def firsts(item) -> list[float]:
            return [parts[0][0] for parts in masks[item]]

        assert firsts(1) == [1]
        assert firsts(-1) == [2]
        assert firsts(slice(1, None)) == [1, 2]
        assert firsts([2, 0]) == [2, 0]
        assert firsts(torch.tensor([2, 0])) == [2, 0]
        assert firsts(torch.tensor([True, False, True])) == [0, 2]
        assert firsts(torch.zeros(3, dtype=torch.bool)) == []
        assert firsts(torch.zeros(0, dtype=torch.int64)) == []
        with pytest.raises(ValueError, match="dtype|float32"):
            masks[torch.zeros(3)]

    @pytest.mark.core_only(reason="upstream cannot be indexed with arrays")
    def test_indexing_with_arrays(self):
        masks = PolygonMasks([[TRIANGLE], [TRIANGLE + 1]])
        assert len(masks[np.array([True, False])]) == 1
        assert masks[np.array([1])].polygons[0][0][0] == 1

    def test_cat_to_and_device(self):
        masks = PolygonMasks([[TRIANGLE]])
        assert len(PolygonMasks.cat([masks, masks])) == 2
        assert masks.to("cuda") is masks
        assert masks.device.type == "cpu"
        with pytest.raises((AssertionError, ValueError)):
            PolygonMasks.cat([])


def test_rasterising_nothing():
    assert polygons_to_bitmask([], 3, 4).tolist() == [[False] * 4] * 3
    box = np.array([0, 0, 3, 3], dtype=np.float32)
    assert not rasterize_polygons_within_box([], box, 5).any()


class TestROIMasks:
    def test_pasting(self):
        masks = ROIMasks(torch.tensor([0.4, 0.9])[:, None, None].expand(2, 3, 3))
        boxes = Boxes(torch.tensor([[1.0, 1, 3, 4], [0, 0, 6, 4]]))
        pasted = masks.to_bitmasks(boxes, 4, 6, threshold=0.3)
        assert pasted.get_bounding_boxes().tensor.tolist() == boxes.tensor.tolist()
        assert masks.to_bitmasks(boxes, 4, 6).nonempty().tolist() == [False, True]

    @pytest.mark.core_only(reason="upstream's annotation promises tensors, its code wants Boxes")
    def test_boxes_as_a_tensor(self):
        masks = ROIMasks(torch.ones(1, 3, 3))
        assert masks.to_bitmasks(torch.tensor([[1.0, 1, 3, 4]]), 4, 6).nonempty().all()

    def test_selecting(self):
        masks = ROIMasks(torch.rand(3, 2, 2))
        assert len(masks) == 3
        assert len(masks[torch.tensor([True, False, True])]) == 2
        assert masks.to(torch.device("meta")).device.type == "meta"
        with pytest.raises(ValueError, match="(?i)3 dim|shape"):
            ROIMasks(torch.rand(3, 1, 2, 2))

    def test_no_masks(self):
        pasted = ROIMasks(torch.zeros(0, 3, 3)).to_bitmasks(Boxes([]), 4, 6)
        assert pasted.tensor.shape == (0, 4, 6)
