import math

import numpy as np
import pytest
import torch

from detectron2.modeling.proposal_generator.proposal_utils import (
    add_ground_truth_to_proposals,
    find_top_rpn_proposals,
)
from detectron2.structures import Boxes, Instances
from tests.golden_files import load_golden

SIZE = (100, 200)
# Two boxes that overlap, and one apart.
A, A2, B = [10.0, 10.0, 50.0, 50.0], [11.0, 10.0, 51.0, 50.0], [90.0, 20.0, 140.0, 80.0]


def find(levels, logits, **kwargs) -> Instances:
    settings = {"pre_nms_topk": 10, "post_nms_topk": 10, "min_box_size": 0.0, "training": False}
    settings.update(kwargs)
    boxes = [torch.tensor([level]) for level in levels]
    scores = [torch.tensor([level]) for level in logits]
    return find_top_rpn_proposals(boxes, scores, [SIZE], 0.7, **settings)[0]


def test_golden():
    golden = {
        k: torch.from_numpy(v) for k, v in load_golden("d2_components").items() if "rpn." in k
    }
    (found,) = find_top_rpn_proposals(
        [golden["rpn.boxes0"][None], golden["rpn.boxes1"][None]],
        [golden["rpn.logits0"], golden["rpn.logits1"]],
        [(250, 333)], 0.7, 40, 30, 0.0, False,
    )  # fmt: skip
    torch.testing.assert_close(found.proposal_boxes.tensor, golden["rpn.result_boxes"])
    torch.testing.assert_close(found.objectness_logits, golden["rpn.result_logits"])


def test_suppression_stays_within_a_level():
    same = find([[A, A2, B]], [[1.0, 2.0, 3.0]])
    assert same.proposal_boxes.tensor.tolist() == [B, A2]
    apart = find([[A, B], [A2]], [[1.0, 3.0], [2.0]])
    assert apart.proposal_boxes.tensor.tolist() == [B, A2, A]
    assert apart.objectness_logits.tolist() == [3.0, 2.0, 1.0]


def test_limits_are_per_level_before_and_per_image_after():
    levels, logits = [[A, B], [A2, B]], [[1.0, 4.0], [3.0, 2.0]]
    assert find(levels, logits, pre_nms_topk=1).proposal_boxes.tensor.tolist() == [B, A2]
    assert find(levels, logits, post_nms_topk=3).objectness_logits.tolist() == [4.0, 3.0, 2.0]


def test_clipping_and_small_boxes():
    outside, over = [210.0, 10.0, 230.0, 30.0], [180.0, 90.0, 230.0, 130.0]
    found = find([[outside, over, A]], [[3.0, 2.0, 1.0]])
    assert found.proposal_boxes.tensor.tolist() == [[180.0, 90.0, 200.0, 100.0], A]
    found = find([[outside, over, A]], [[3.0, 2.0, 1.0]], min_box_size=15.0)
    assert found.proposal_boxes.tensor.tolist() == [A]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_predictions(bad):
    broken = [bad, *A[1:]]
    assert find([[broken, A]], [[2.0, 1.0]]).proposal_boxes.tensor.tolist() == [A]
    assert find([[B, A]], [[bad, 1.0]]).objectness_logits.tolist() == [1.0]
    with pytest.raises(FloatingPointError, match="diverged"):
        find([[broken, A]], [[2.0, 1.0]], training=True)
    with pytest.raises(FloatingPointError, match="diverged"):
        find([[B, A]], [[bad, 1.0]], training=True)


def test_a_batch_is_treated_image_by_image():
    boxes = torch.tensor([[A, B], [B, A2]])
    logits = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    sizes = [SIZE, (40, 200)]
    first, second = find_top_rpn_proposals([boxes], [logits], sizes, 0.7, 5, 5, 0.0, True)
    assert first.proposal_boxes.tensor.tolist() == [B, A]
    assert second.image_size == (40, 200)
    assert second.proposal_boxes.tensor[0].tolist() == [11.0, 10.0, 51.0, 40.0]


class TestAddGroundTruth:
    def proposals(self, count: int = 2) -> Instances:
        return Instances(
            SIZE,
            proposal_boxes=Boxes(torch.tensor([A, B])[:count]),
            objectness_logits=torch.tensor([0.5, -0.5])[:count],
        )

    @pytest.mark.parametrize("as_boxes", [True, False])
    def test_appends_with_high_objectness(self, as_boxes):
        boxes = Boxes(torch.tensor([A2]))
        gt = boxes if as_boxes else Instances(SIZE, gt_boxes=boxes, gt_classes=torch.tensor([1]))
        (joined,) = add_ground_truth_to_proposals([gt], [self.proposals()])
        assert joined.proposal_boxes.tensor.tolist() == [A, B, A2]
        assert joined.objectness_logits[:2].tolist() == [0.5, -0.5]
        expected = math.log((1 - 1e-10) / (1 - (1 - 1e-10)))
        assert joined.objectness_logits[2].item() == pytest.approx(expected, rel=1e-6)
        assert set(joined.get_fields()) == {"proposal_boxes", "objectness_logits"}

    def test_nothing_to_add_and_nothing_to_add_to(self):
        empty = Boxes(torch.zeros(0, 4))
        (joined,) = add_ground_truth_to_proposals([empty], [self.proposals()])
        assert len(joined) == 2
        (joined,) = add_ground_truth_to_proposals([Boxes(torch.tensor([A]))], [self.proposals(0)])
        assert joined.proposal_boxes.tensor.tolist() == [A]
        assert add_ground_truth_to_proposals([], []) == []

    def test_fields_must_agree(self):
        proposals = self.proposals()
        proposals.colour = torch.zeros(2)
        gt = Instances(SIZE, gt_boxes=Boxes(torch.tensor([A])))
        with pytest.raises((ValueError, AssertionError), match="colour"):
            add_ground_truth_to_proposals([gt], [proposals])
        gt.colour = torch.ones(1)
        (joined,) = add_ground_truth_to_proposals([gt], [proposals])
        assert np.array_equal(joined.colour.numpy(), [0.0, 0.0, 1.0])

    def test_lists_must_be_of_one_length(self):
        with pytest.raises((ValueError, AssertionError)):
            add_ground_truth_to_proposals([], [self.proposals()])
