"""Boxes against arithmetic done by hand, and against the answers of the reference."""

import numpy as np
import pytest
import torch

from detectron2.structures import (
    Boxes,
    BoxMode,
    pairwise_ioa,
    pairwise_iou,
    pairwise_point_box_distance,
)
from detectron2.structures.boxes import matched_pairwise_iou, pairwise_intersection
from tests.golden_files import load_golden

XYXY, XYWH = BoxMode.XYXY_ABS, BoxMode.XYWH_ABS


def some_boxes() -> Boxes:
    return Boxes(torch.tensor([[1.0, 2, 30, 40], [5, 5, 5, 9], [-3, -4, 100, 200]]))


class TestBoxMode:
    def test_values_are_those_written_into_files(self):
        values = {mode.name: mode.value for mode in BoxMode}
        assert values == {
            "XYXY_ABS": 0,
            "XYWH_ABS": 1,
            "XYXY_REL": 2,
            "XYWH_REL": 3,
            "XYWHA_ABS": 4,
        }

    @pytest.mark.parametrize(
        "box",
        [
            [1, 2, 3, 5],
            (1, 2, 3, 5),
            np.array([[1.0, 2, 3, 5]]),
            np.array([[1, 2, 3, 5]]),
            torch.tensor([[1.0, 2, 3, 5], [1, 2, 3, 5]]),
            torch.tensor([[1, 2, 3, 5]]),
        ],
    )
    def test_both_ways_keep_type_and_precision_and_leave_the_input_alone(self, box):
        before = np.asarray(box).tolist()
        sizes = BoxMode.convert(box, XYXY, XYWH)
        assert type(sizes) is type(box)
        assert getattr(sizes, "dtype", None) == getattr(box, "dtype", None)
        assert np.asarray(sizes).reshape(-1, 4)[0].tolist() == [1, 2, 2, 3]
        assert np.asarray(BoxMode.convert(sizes, XYWH, XYXY)).tolist() == before
        assert np.asarray(box).tolist() == before

    def test_integers_stay_integers(self):
        assert all(type(x) is int for x in BoxMode.convert([1, 2, 3, 5], XYXY, XYWH))

    def test_plain_numbers_name_the_modes_too(self):
        assert BoxMode.convert([1, 2, 3, 5], 0, 1) == [1, 2, 2, 3]

    def test_same_mode_gives_the_same_object(self):
        box = [1, 2, 3, 5]
        assert BoxMode.convert(box, XYWH, XYWH) is box

    def test_no_boxes(self):
        assert BoxMode.convert(torch.zeros(0, 4), XYXY, XYWH).shape == (0, 4)
        assert BoxMode.convert(np.zeros((0, 4)), XYXY, XYWH).shape == (0, 4)

    def test_lists_are_rounded_to_float32_once(self):
        left, _, width, _ = BoxMode.convert([0.1, 0.2, 0.7, 0.9], XYXY, XYWH)
        assert left == float(np.float32(0.1))
        assert width == float(np.float32(0.7) - np.float32(0.1))

    @pytest.mark.parametrize("mode", [BoxMode.XYXY_REL, BoxMode.XYWH_REL])
    def test_relative_modes_are_refused(self, mode):
        with pytest.raises((AssertionError, NotImplementedError)):
            BoxMode.convert([0.0, 0, 1, 1], mode, XYXY)
        with pytest.raises((AssertionError, NotImplementedError)):
            BoxMode.convert([0.0, 0, 1, 1], XYXY, mode)

    def test_boxes_with_an_angle(self):
        rotated = torch.tensor([[50.0, 50, 30, 20, 0], [0, 0, 10, 10, -45], [0, 0, 4, 2, 90]])
        around = BoxMode.convert(rotated, BoxMode.XYWHA_ABS, XYXY)
        half = 5 * 2**0.5
        expected = [[35, 40, 65, 60], [-half, -half, half, half], [-1, -2, 1, 2]]
        torch.testing.assert_close(around, torch.tensor(expected))
        made = BoxMode.convert([1.0, 2.0, 4.0, 6.0], XYWH, BoxMode.XYWHA_ABS)
        assert made == [3.0, 5.0, 4.0, 6.0, 0.0]
        with pytest.raises(NotImplementedError):
            BoxMode.convert(rotated, BoxMode.XYWHA_ABS, XYWH)

    @pytest.mark.core_only(reason="upstream leaves one-dimensional arrays out")
    def test_one_box_in_a_flat_array(self):
        box = np.array([1.0, 2, 3, 5])
        assert BoxMode.convert(box, XYXY, XYWH).tolist() == [1, 2, 2, 3]

    def test_wrong_length_is_refused(self):
        with pytest.raises((AssertionError, ValueError)):
            BoxMode.convert([1, 2, 3], XYXY, XYWH)


class TestContainer:
    @pytest.mark.parametrize("dtype", [torch.int64, torch.float16, torch.float64])
    def test_everything_becomes_float32(self, dtype):
        assert Boxes(torch.zeros(2, 4, dtype=dtype)).tensor.dtype == torch.float32

    def test_lists_and_arrays_are_accepted(self):
        assert len(Boxes([[1, 2, 3, 4]])) == 1
        assert len(Boxes(np.zeros((3, 4)))) == 3

    def test_float32_is_not_copied(self):
        tensor = torch.zeros(2, 4)
        assert Boxes(tensor).tensor.data_ptr() == tensor.data_ptr()

    @pytest.mark.parametrize("nothing", [[], torch.zeros(0), torch.zeros(0, 4)])
    def test_no_boxes(self, nothing):
        boxes = Boxes(nothing)
        assert boxes.tensor.shape == (0, 4)
        assert boxes.area().shape == (0,)
        assert boxes.nonempty().shape == (0,)
        assert boxes.get_centers().shape == (0, 2)
        assert boxes.inside_box((4, 4)).shape == (0,)
        boxes.clip((4, 4))
        boxes.scale(2, 2)
        assert len(boxes) == 0

    @pytest.mark.parametrize("shape", [(3, 5), (4,), (1, 1, 4)])
    def test_other_shapes_are_refused(self, shape):
        with pytest.raises((AssertionError, ValueError)):
            Boxes(torch.zeros(shape))

    def test_area_and_centres(self):
        boxes = some_boxes()
        assert boxes.area().tolist() == [29 * 38, 0, 103 * 204]
        assert boxes.get_centers().tolist() == [[15.5, 21], [5, 7], [48.5, 98]]

    def test_nonempty_is_strict_in_both_sides(self):
        boxes = some_boxes()
        assert boxes.nonempty().tolist() == [True, False, True]
        assert boxes.nonempty(threshold=29).tolist() == [False, False, True]

    def test_clip_replaces_the_tensor(self):
        boxes = some_boxes()
        old = boxes.tensor.clone()
        held = boxes.tensor
        boxes.clip((30, 20))
        assert boxes.tensor.tolist() == [[1, 2, 20, 30], [5, 5, 5, 9], [0, 0, 20, 30]]
        assert torch.equal(held, old)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_clip_refuses_what_is_no_number(self, bad):
        with pytest.raises((AssertionError, ValueError)):
            Boxes(torch.tensor([[bad, 0, 1, 1]])).clip((3, 3))

    def test_clip_passes_gradients(self):
        corners = torch.tensor([[1.0, 2, 30, 3]], requires_grad=True)
        boxes = Boxes(corners)
        boxes.clip((10, 10))
        boxes.tensor.sum().backward()
        assert corners.grad.tolist() == [[1, 1, 0, 1]]

    def test_inside_box(self):
        boxes = Boxes(torch.tensor([[0.0, 0, 10, 10], [0, 0, 9.5, 9.5], [-1, 0, 5, 5]]))
        assert boxes.inside_box((10, 10)).tolist() == [False, True, False]
        assert boxes.inside_box((10, 10), 1).tolist() == [True, True, True]
        assert boxes.inside_box((10, 20)).tolist() == [False, True, False]
        assert boxes.inside_box((20, 20)).tolist() == [True, True, False]

    def test_scale_works_in_place(self):
        boxes = some_boxes()
        held = boxes.tensor
        boxes.scale(2, 3)
        assert held[0].tolist() == [2, 6, 60, 120]

    def test_indexing(self):
        boxes = some_boxes()
        assert boxes[1].tensor.tolist() == [[5, 5, 5, 9]]
        assert boxes[-1].tensor.tolist() == [[-3, -4, 100, 200]]
        assert len(boxes[:2]) == 2
        assert len(boxes[torch.tensor([True, False, True])]) == 2
        assert boxes[torch.tensor([1, 1])].tensor.tolist() == [[5, 5, 5, 9]] * 2
        assert len(boxes[torch.zeros(3, dtype=torch.bool)]) == 0
        with pytest.raises((AssertionError, IndexError)):
            boxes[torch.zeros(2, 2, dtype=torch.int64)]

    def test_iteration_yields_rows(self):
        assert [row.tolist() for row in some_boxes()] == some_boxes().tensor.tolist()

    def test_cat_copies(self):
        boxes = some_boxes()
        both = Boxes.cat([boxes, boxes[:1]])
        assert len(both) == 4
        alone = Boxes.cat([boxes])
        assert alone.tensor.data_ptr() != boxes.tensor.data_ptr()
        assert Boxes.cat([]).tensor.shape == (0, 4)
        with pytest.raises((AssertionError, TypeError)):
            Boxes.cat([boxes, boxes.tensor])

    def test_clone_to_and_device(self):
        boxes = some_boxes()
        copy = boxes.clone()
        copy.scale(2, 2)
        assert not torch.equal(copy.tensor, boxes.tensor)
        assert boxes.to(torch.device("meta")).device.type == "meta"
        assert boxes.device.type == "cpu"


class TestOverlaps:
    def test_by_hand(self):
        ours = Boxes(torch.tensor([[0.0, 0, 2, 2], [10, 10, 10, 10]]))
        theirs = Boxes(torch.tensor([[1.0, 1, 3, 5], [0, 0, 2, 2], [4, 4, 5, 5]]))
        assert pairwise_intersection(ours, theirs).tolist() == [[1, 4, 0], [0, 0, 0]]
        torch.testing.assert_close(
            pairwise_iou(ours, theirs), torch.tensor([[1 / 11, 1, 0], [0, 0, 0]])
        )
        torch.testing.assert_close(
            pairwise_ioa(ours, theirs), torch.tensor([[1 / 8, 1, 0], [0, 0, 0]])
        )

    def test_parity_with_reference(self):
        golden = load_golden("d2_components")
        iou = pairwise_iou(
            Boxes(torch.from_numpy(golden["matcher.gt"])),
            Boxes(torch.from_numpy(golden["matcher.candidates"])),
        )
        torch.testing.assert_close(iou, torch.from_numpy(golden["matcher.iou"]))

    @pytest.mark.parametrize(("ours", "theirs"), [(0, 3), (3, 0), (0, 0)])
    def test_no_boxes(self, ours, theirs):
        boxes = some_boxes()
        for function in (pairwise_iou, pairwise_ioa, pairwise_intersection):
            assert function(boxes[:ours], boxes[:theirs]).shape == (ours, theirs)
        assert matched_pairwise_iou(boxes[:0], boxes[:0]).shape == (0,)

    def test_matched_is_the_diagonal(self):
        ours, theirs = some_boxes()[[0, 2]], some_boxes()[[2, 0]]
        torch.testing.assert_close(
            matched_pairwise_iou(ours, theirs), pairwise_iou(ours, theirs).diagonal()
        )
        with pytest.raises((AssertionError, ValueError)):
            matched_pairwise_iou(ours, theirs[:1])

    @pytest.mark.core_only(reason="upstream answers NaN")
    def test_matched_boxes_without_area_do_not_overlap(self):
        empty = Boxes(torch.tensor([[5.0, 5, 5, 9]]))
        assert matched_pairwise_iou(empty, empty).tolist() == [0]

    def test_point_distances(self):
        distances = pairwise_point_box_distance(
            torch.tensor([[2.0, 3], [0, 0]]), Boxes(torch.tensor([[1.0, 1, 5, 9]]))
        )
        assert distances.tolist() == [[[1, 2, 3, 6]], [[-1, -1, 5, 9]]]
