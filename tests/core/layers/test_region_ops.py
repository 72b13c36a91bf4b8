"""RoIAlign, non-maximum suppression and losses between boxes."""

import math

import numpy as np
import pytest
import torch

from detectron2.layers import ROIAlign, batched_nms, ciou_loss, diou_loss, nms
from tests.golden_files import load_golden
from tests.procedural import procedural_array


def values(name: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(procedural_array(f"tests/regions/{name}", shape))


def random_boxes(name: str, count: int) -> torch.Tensor:
    corners = values(name, count, 4) * 20
    return torch.cat([corners[:, :2], corners[:, :2] + corners[:, 2:].abs() + 1], dim=1)


class TestROIAlign:
    def test_a_plane_is_sampled_at_the_cells_centres(self):
        """Bilinear interpolation is exact on linear features."""
        y, x = torch.meshgrid(torch.arange(12.0), torch.arange(16.0), indexing="ij")
        features = torch.stack([x, y])[None]
        pooled = ROIAlign((2, 4), 0.5, 0)(features, torch.tensor([[0.0, 4, 6, 20, 14]]))
        # The box in feature cells is (2, 3, 10, 7); the centre of cell (i, j) is at (i, j) + 0.5.
        assert pooled.shape == (1, 2, 2, 4)
        torch.testing.assert_close(pooled[0, 0, 0], torch.tensor([3.0, 5, 7, 9]) - 0.5)
        torch.testing.assert_close(pooled[0, 1, :, 0], torch.tensor([4.0, 6]) - 0.5)

    def test_not_aligned_is_half_a_cell_off(self):
        features = torch.arange(16.0).expand(1, 1, 12, 16)
        rois = torch.tensor([[0.0, 4, 4, 8, 8]])
        aligned, legacy = (ROIAlign(2, 1.0, 0, flag)(features, rois) for flag in (True, False))
        torch.testing.assert_close(legacy, aligned + 0.5)

    @pytest.mark.parametrize(("batch", "count"), [(1, 0), (0, 0), (2, 0)])
    def test_no_regions(self, batch, count):
        pooled = ROIAlign((7, 5), 0.25, 0)(torch.zeros(batch, 2, 8, 8), torch.zeros(count, 5))
        assert pooled.shape == (0, 2, 7, 5)

    def test_the_batch_index_is_used(self):
        features = torch.tensor([1.0, 2])[:, None, None, None].expand(2, 1, 4, 4)
        rois = torch.tensor([[1.0, 0, 0, 4, 4], [0, 0, 0, 4, 4]])
        assert ROIAlign(1, 1.0, 0)(features, rois).flatten().tolist() == [2, 1]

    def test_gradients(self):
        features = values("features", 1, 2, 6, 7).double().requires_grad_()
        rois = torch.tensor([[0.0, 1.2, 0.7, 9.1, 11.3]], dtype=torch.float64)
        assert torch.autograd.gradcheck(lambda f: ROIAlign((2, 3), 0.5, 2)(f, rois), (features,))

    def test_other_shapes_are_refused(self):
        with pytest.raises((AssertionError, ValueError)):
            ROIAlign(7, 0.25, 0)(torch.zeros(1, 2, 8, 8), torch.zeros(3, 4))

    @pytest.mark.core_only(reason="upstream rounds boxes to the features' precision")
    def test_half_precision_features_keep_exact_boxes(self):
        features = torch.arange(16.0).expand(1, 1, 4, 16).bfloat16()
        rois = torch.tensor([[0.0, 1027, 0, 1031, 64]])
        pooled = ROIAlign(1, 1 / 64, 1)
        low = pooled(features, rois - torch.tensor([0.0, 512, 0, 512, 0]))
        high = pooled(features.float(), rois - torch.tensor([0.0, 512, 0, 512, 0]))
        assert low.dtype == torch.bfloat16
        assert low.item() == high.bfloat16().item()

    def test_text(self):
        assert str(ROIAlign((7, 5), 0.25, 2)) == (
            "ROIAlign(output_size=(7, 5), spatial_scale=0.25, sampling_ratio=2, aligned=True)"
        )


def slow_nms(boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, limit: float) -> list[int]:
    def iou(a, b) -> float:
        width = min(a[2], b[2]) - max(a[0], b[0])
        height = min(a[3], b[3]) - max(a[1], b[1])
        common = max(width, 0) * max(height, 0)
        return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)

    kept: list[int] = []
    for index in np.argsort(-scores):
        if all(groups[index] != groups[k] or iou(boxes[index], boxes[k]) <= limit for k in kept):
            kept.append(int(index))
    return kept


class TestNMS:
    @pytest.mark.parametrize("limit", [0.2, 0.5])
    def test_against_the_definition(self, limit):
        boxes, scores = random_boxes("nms", 80), values("scores", 80)
        groups = torch.arange(80) % 3
        kept = batched_nms(boxes, scores, groups, limit).tolist()
        assert kept == slow_nms(boxes.double().numpy(), scores.numpy(), groups.numpy(), limit)
        together = torch.zeros(80, dtype=torch.int64)
        assert (
            nms(boxes, scores, limit).tolist()
            == batched_nms(boxes, scores, together, limit).tolist()
        )

    def test_parity_with_reference(self):
        """The reference's RPN output: top 40 of each level, clipped; 30 of both levels at most."""
        golden = load_golden("d2_components")
        boxes, scores, levels = [], [], []
        for level in range(2):
            logits = torch.from_numpy(golden[f"rpn.logits{level}"])[0]
            best, order = logits.sort(descending=True)
            boxes.append(torch.from_numpy(golden[f"rpn.boxes{level}"])[order[:40]])
            scores.append(best[:40])
            levels.append(torch.full((40,), level))
        all_boxes, all_scores, groups = torch.cat(boxes), torch.cat(scores), torch.cat(levels)
        all_boxes[:, 0::2] = all_boxes[:, 0::2].clamp(0, 333)
        all_boxes[:, 1::2] = all_boxes[:, 1::2].clamp(0, 250)
        visible = (all_boxes[:, 2:] > all_boxes[:, :2]).all(dim=1)
        all_boxes, all_scores, groups = all_boxes[visible], all_scores[visible], groups[visible]
        kept = batched_nms(all_boxes, all_scores, groups, 0.7)[:30]
        assert np.array_equal(all_boxes[kept].numpy(), golden["rpn.result_boxes"])
        assert np.array_equal(all_scores[kept].numpy(), golden["rpn.result_logits"])

    def test_no_boxes(self):
        kept = batched_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long(), 0.5)
        assert kept.shape == (0,)
        assert kept.dtype == torch.int64

    def test_half_precision_boxes(self):
        boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4]]).half()
        scores, groups = torch.tensor([0.1, 0.9]), torch.tensor([0, 79])
        assert batched_nms(boxes, scores, groups, 0.5).tolist() == [1, 0]

    def test_other_boxes_are_refused(self):
        with pytest.raises((AssertionError, ValueError)):
            batched_nms(torch.zeros(2, 5), torch.zeros(2), torch.zeros(2).long(), 0.5)


class TestBoxLosses:
    def test_by_hand(self):
        ours, theirs = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[2.0, 0, 4, 8]])
        # Intersection 8, union 24; centres (2, 2) and (3, 4); enclosing box 4 x 8.
        distance = 1 - 8 / 24 + 5 / 80
        assert diou_loss(ours, theirs).tolist() == pytest.approx([distance], abs=1e-5)
        ratio = 4 / math.pi**2 * (math.atan(1) - math.atan(2 / 8)) ** 2
        share = ratio / (1 - 8 / 24 + ratio)
        expected = pytest.approx([distance + share * ratio], abs=1e-5)
        assert ciou_loss(ours, theirs).tolist() == expected

    @pytest.mark.parametrize("loss", [diou_loss, ciou_loss])
    def test_reductions_and_gradients(self, loss):
        ours, theirs = random_boxes("ours", 6).double(), random_boxes("theirs", 6).double()
        each = loss(ours, theirs)
        assert each.shape == (6,)
        assert loss(ours, ours).abs().max() < 1e-6
        torch.testing.assert_close(loss(ours, theirs, reduction="mean"), each.mean())
        torch.testing.assert_close(loss(ours, theirs, reduction="sum"), each.sum())
        # Only DIoU: in CIoU the share is a constant for the gradient.
        if loss is diou_loss:
            assert torch.autograd.gradcheck(lambda b: loss(b, theirs), (ours.requires_grad_(),))

    @pytest.mark.parametrize("loss", [diou_loss, ciou_loss])
    @pytest.mark.parametrize("reduction", ["mean", "sum"])
    def test_no_boxes(self, loss, reduction):
        boxes = torch.zeros(0, 4, requires_grad=True)
        value = loss(boxes, torch.zeros(0, 4), reduction=reduction)
        assert value.item() == 0
        value.backward()

    @pytest.mark.parametrize("loss", [diou_loss, ciou_loss])
    def test_turned_boxes_are_refused(self, loss):
        with pytest.raises((AssertionError, ValueError)):
            loss(torch.tensor([[4.0, 0, 0, 4]]), torch.tensor([[0.0, 0, 4, 4]]))
