import pytest
import torch

from detectron2.modeling.matcher import Matcher
from detectron2.modeling.roi_heads import ROIHeads, StandardROIHeads, select_foreground_proposals
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import EventStorage
from tests.core.modeling.rcnn_models import ground_truth, tiny_rcnn

SIZE = (64, 96)
OBJECTS = [[4.0, 6.0, 44.0, 46.0], [50.0, 10.0, 90.0, 60.0]]


def heads(**kwargs) -> ROIHeads:
    settings = {
        "num_classes": 3,
        "batch_size_per_image": 8,
        "positive_fraction": 0.25,
        "proposal_matcher": Matcher([0.5], [0, 1]),
        **kwargs,
    }
    return ROIHeads(**settings)


def proposals(boxes: list[list[float]]) -> Instances:
    tensor = torch.tensor(boxes).reshape(-1, 4)
    return Instances(SIZE, proposal_boxes=Boxes(tensor), objectness_logits=torch.zeros(len(tensor)))


NEAR = [[x0 + 2, y0, x1 + 2, y1] for x0, y0, x1, y1 in OBJECTS]
FAR = [[0.0, 50.0, 10.0 + i, 60.0] for i in range(12)]


class TestSampling:
    def sample(self, module: ROIHeads, boxes, targets):
        torch.manual_seed(0)
        with EventStorage() as storage:
            sampled = module.label_and_sample_proposals(boxes, targets)
        return sampled, {name: value for name, (value, _) in storage.latest().items()}

    def test_targets_are_those_of_the_matched_object(self):
        truth = ground_truth(*SIZE, OBJECTS)
        truth.gt_colour = torch.tensor([7, 9])
        truth.colour = torch.tensor([1, 2])
        (sampled,), stats = self.sample(
            heads(proposal_append_gt=False), [proposals(NEAR[::-1] + FAR)], [truth]
        )
        assert len(sampled) == 8
        given = {"proposal_boxes", "objectness_logits"}
        assigned = {"boxes", "classes", "masks", "colour"}
        assert set(sampled.get_fields()) == given | {f"gt_{name}" for name in assigned}
        positive = sampled[sampled.gt_classes < 3]
        assert sorted(positive.gt_classes.tolist()) == [0, 1]
        for i in range(2):
            which = positive.gt_classes[i].item()
            assert positive.proposal_boxes.tensor[i].tolist() == NEAR[which]
            assert positive.gt_boxes.tensor[i].tolist() == OBJECTS[which]
            assert positive.gt_colour[i].item() == [7, 9][which]
        assert stats == {"roi_head/num_fg_samples": 2.0, "roi_head/num_bg_samples": 6.0}

    def test_positive_fraction(self):
        (sampled,), stats = self.sample(
            heads(), [proposals(NEAR * 5 + FAR)], [ground_truth(*SIZE, OBJECTS)]
        )
        assert stats == {"roi_head/num_fg_samples": 2.0, "roi_head/num_bg_samples": 6.0}
        assert (sampled.gt_classes < 3).sum() == 2

    @pytest.mark.parametrize("append", [True, False])
    def test_ground_truth_as_proposals(self, append):
        (sampled,), _ = self.sample(
            heads(proposal_append_gt=append), [proposals(FAR)], [ground_truth(*SIZE, OBJECTS)]
        )
        boxes = sampled.proposal_boxes.tensor.tolist()
        assert (OBJECTS[0] in boxes) == append
        assert (sampled.gt_classes < 3).any() == append

    def test_images_without_objects(self):
        truths = [ground_truth(*SIZE, []), ground_truth(*SIZE, OBJECTS)]
        (empty, full), stats = self.sample(heads(), [proposals(FAR), proposals(FAR)], truths)
        assert (empty.gt_classes == 3).all()
        assert not empty.has("gt_boxes")
        assert full.has("gt_boxes")
        assert stats["roi_head/num_fg_samples"] == 1.0

    def test_image_without_anything(self):
        (empty,), stats = self.sample(heads(), [proposals([])], [ground_truth(*SIZE, [])])
        assert len(empty) == 0
        assert stats == {"roi_head/num_fg_samples": 0.0, "roi_head/num_bg_samples": 0.0}

    def test_ignored_proposals_are_never_drawn(self):
        module = heads(proposal_matcher=Matcher([0.1, 0.99], [0, -1, 1]), proposal_append_gt=False)
        (sampled,), _ = self.sample(
            module, [proposals(NEAR + FAR[:3])], [ground_truth(*SIZE, OBJECTS)]
        )
        assert sampled.gt_classes.tolist() == [3, 3, 3]


def test_select_foreground():
    batch = [
        Instances(SIZE, gt_classes=torch.tensor([3, 0, -1, 2])),
        Instances(SIZE, gt_classes=torch.tensor([3])),
    ]
    chosen, masks = select_foreground_proposals(batch, bg_label=3)
    assert [x.gt_classes.tolist() for x in chosen] == [[0, 2], []]
    assert [x.tolist() for x in masks] == [[False, True, False, True], [False]]


class TestStandardROIHeads:
    def run(self, module: StandardROIHeads, truths: list[Instances], boxes=NEAR + FAR):
        generator = torch.Generator().manual_seed(0)
        count = len(truths)
        features = {
            f"p{i}": torch.randn(count, 8, SIZE[0] // 2**i, SIZE[1] // 2**i, generator=generator)
            for i in range(2, 6)
        }
        images = ImageList(torch.zeros(count, 3, *SIZE), [SIZE] * count)
        given = [proposals(boxes) for _ in truths]
        torch.manual_seed(0)
        with EventStorage():
            return module(images, features, given, truths if module.training else None)

    def test_train_on_pred_boxes_moves_the_mask_branch(self):
        module = tiny_rcnn(train_on_pred_boxes=True).roi_heads.train()
        with torch.no_grad():
            module.box_predictor.bbox_pred.bias.fill_(1.0)
        sampled, losses = self.run(module, [ground_truth(*SIZE, OBJECTS)])
        assert set(losses) == {"loss_cls", "loss_box_reg", "loss_mask"}
        boxes = sampled[0].proposal_boxes.tensor
        assert not boxes.requires_grad
        assert all(box not in NEAR + FAR + OBJECTS for box in boxes.tolist())

    def test_detector_without_masks(self):
        module = tiny_rcnn(masks=False).roi_heads
        assert not module.mask_on
        _, losses = self.run(module.train(), [ground_truth(*SIZE, OBJECTS)])
        assert set(losses) == {"loss_cls", "loss_box_reg"}
        (found,), losses = self.run(module.eval(), [ground_truth(*SIZE, OBJECTS)])
        assert losses == {}
        assert len(found) > 0
        assert not found.has("pred_masks")

    def test_overridden_branches_are_used(self):
        class Renamed(StandardROIHeads):
            def _forward_box(self, features, proposals):
                result = super()._forward_box(features, proposals)
                return {f"{k}_mine": v for k, v in result.items()} if self.training else result

            def _forward_mask(self, features, instances):
                return {} if self.training else instances

        module = tiny_rcnn().roi_heads.train()
        module.__class__ = Renamed
        _, losses = self.run(module, [ground_truth(*SIZE, OBJECTS)])
        assert set(losses) == {"loss_cls_mine", "loss_box_reg_mine"}

    def test_mask_head_may_take_whole_maps(self):
        class Whole(torch.nn.Module):
            def forward(self, x, instances):
                assert set(x) == {"p2", "p3", "p4", "p5"}
                return {"loss_whole": x["p2"].sum() * 0 + sum(len(i) for i in instances)}

        module = tiny_rcnn(mask_pooler=None, mask_head=Whole()).roi_heads.train()
        _, losses = self.run(module, [ground_truth(*SIZE, OBJECTS)])
        assert losses["loss_whole"].item() == 4  # the two objects, and the proposals near them

    def test_given_boxes_need_inference_mode_and_fields(self):
        module = tiny_rcnn().roi_heads
        with pytest.raises((RuntimeError, AssertionError)):
            module.train().forward_with_given_boxes({}, [])
        with pytest.raises((ValueError, AssertionError)):
            module.eval().forward_with_given_boxes({}, [Instances(SIZE)])

    def test_training_needs_targets(self):
        module = tiny_rcnn().roi_heads.train()
        with pytest.raises((ValueError, AssertionError)):
            module(None, {}, [proposals(FAR)], None)

    @pytest.mark.core_only(reason="keypoints are left out")
    def test_keypoints_are_refused(self):
        with pytest.raises(NotImplementedError, match="keypoint"):
            tiny_rcnn(keypoint_in_features=["p2"])
