"""The cascade of OpenMMLab's experiments: a mask head and samples of its own for each stage."""

from typing import Any

import pytest
import torch
from torch import nn

from detectron2.config import LazyConfig, instantiate
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from projects_ext.modeling import StagewiseCascadeROIHeads
from projects_ext.modeling.cascade import AveragingMaskHeads
from tests.procedural import procedural_noise
from tests.two_stage_parity import ROOT

CONFIG = ROOT / "configs/common/models/cascade_mask_rcnn_stagewise_openmmlab.py"
SIZE = (64, 96)


def small_heads(**options: Any) -> Any:
    """The RoI heads of the config, with a few channels."""
    torch.manual_seed(0)
    model = LazyConfig.load(str(CONFIG)).model
    model.backbone.out_channels = 8
    heads = model.roi_heads
    heads.num_classes = 3
    for head, predictor in zip(heads.box_heads, heads.box_predictors, strict=True):
        head.input_shape.channels = 8
        head.fc_dims = [16]
        predictor.input_shape.channels = 16
    for head in heads.mask_heads:
        head.conv_dims = [8, 8]
    heads.update(batch_size_per_image=16, positive_fraction=0.5, **options)
    return instantiate(model).roi_heads


def features() -> dict[str, torch.Tensor]:
    return {
        f"p{level}": procedural_noise(f"p{level}", (2, 8, 64 >> level, 96 >> level))
        for level in range(2, 6)
    }


def proposals(count: int = 40) -> list[Instances]:
    found = []
    for index in range(2):
        noise = procedural_noise(f"boxes {index}", (count, 4)).abs()
        corners = noise[:, :2] * torch.tensor([24.0, 16.0])
        boxes = Boxes(torch.cat([corners, corners + 8 + 14 * noise[:, 2:]], dim=1))
        boxes.clip(SIZE)
        one = Instances(SIZE, proposal_boxes=boxes, objectness_logits=torch.zeros(count))
        found.append(one[boxes.nonempty()])
    return found


def targets() -> list[Instances]:
    boxes = torch.tensor([[8.0, 8, 40, 40], [50, 10, 90, 60]])
    masks = torch.zeros(2, *SIZE, dtype=torch.bool)
    masks[0, 8:40, 8:40] = masks[1, 10:60, 50:90] = True
    full = Instances(SIZE, gt_boxes=Boxes(boxes), gt_classes=torch.tensor([0, 2]))
    full.gt_masks = BitMasks(masks)
    empty = Instances(SIZE, gt_boxes=Boxes(torch.zeros(0, 4)), gt_classes=torch.zeros(0).long())
    empty.gt_masks = BitMasks(torch.zeros(0, *SIZE, dtype=torch.bool))
    return [full, empty]


def test_config_names_three_of_everything() -> None:
    heads = small_heads()
    assert isinstance(heads, StagewiseCascadeROIHeads)
    assert len(heads.box_head) == len(heads.box_predictor) == len(heads.mask_head) == 3
    weights = [x.box2box_transform.weights for x in heads.box_predictor]
    expected = [(10, 10, 5, 5), (20, 20, 10, 10), (1 / 0.033, 1 / 0.033, 1 / 0.067, 1 / 0.067)]
    for found, wanted in zip(weights, expected, strict=True):
        assert tuple(found) == pytest.approx(wanted)
    model = LazyConfig.load(str(CONFIG)).model
    assert instantiate(model.roi_heads.mask_heads[2].conv_dims) == [256] * 5


def test_each_stage_trains_its_own_heads_with_its_weight() -> None:
    heads = small_heads().train()
    with EventStorage():
        torch.manual_seed(1)
        _, losses = heads(None, features(), proposals(), targets())
    names = {"loss_cls", "loss_box_reg", "loss_mask"}
    assert set(losses) == {f"{name}_stage{stage}" for name in names for stage in range(3)}
    for stage in range(3):
        heads.zero_grad()
        sum(losses[f"{name}_stage{stage}"] for name in names).backward(retain_graph=True)
        reached = {name for name, x in heads.named_parameters() if x.grad is not None}
        # Nothing of another stage: refined boxes carry no gradient.
        assert {name.split(".")[1] for name in reached} == {str(stage)}
        parts = {name.split(".")[0] for name in reached}
        assert parts == {"box_head", "box_predictor", "mask_head"}
    doubled = small_heads(stage_weights=(1.0, 1.0, 1.0)).train()
    doubled.load_state_dict(heads.state_dict())
    with EventStorage():
        torch.manual_seed(1)
        _, plain = doubled(None, features(), proposals(), targets())
    for name, weight in (("stage0", 1.0), ("stage1", 0.5), ("stage2", 0.25)):
        for loss in names:
            torch.testing.assert_close(losses[f"{loss}_{name}"], weight * plain[f"{loss}_{name}"])


def test_each_stage_samples_from_refined_boxes_and_the_truth() -> None:
    heads = small_heads().train()
    seen: list[list[Instances]] = []
    sample = heads.label_and_sample_proposals

    def remember(candidates: list[Instances], truth: list[Instances]) -> list[Instances]:
        seen.append(candidates)
        result = sample(candidates, truth)
        thresholds.append(heads.proposal_matcher.thresholds[1])
        sampled.append(result)
        return result

    thresholds: list[float] = []
    sampled: list[list[Instances]] = []
    heads.label_and_sample_proposals = remember
    with EventStorage():
        heads(None, features(), proposals(), targets())
    assert thresholds == [0.5, 0.6, 0.7]
    for before, after in zip(sampled, seen[1:], strict=False):
        for samples, candidates in zip(before, after, strict=True):
            # The boxes of the truth are not refined: they are appended afresh.
            assert len(candidates) <= int((~samples.given).sum())
            assert not candidates.has("gt_classes")
    assert all(int(x[0].given.sum()) <= 2 for x in sampled)
    assert any(int(x[0].given.sum()) for x in sampled)
    assert all(len(x) <= 16 for stage in sampled for x in stage)


def test_scores_are_the_softmax_of_mean_logits() -> None:
    heads = small_heads().eval()
    last = heads.box_predictor[-1]
    last.test_score_thresh, last.test_nms_thresh, last.test_topk_per_image = 0.0, 1.0, 10000
    given = proposals(10)
    with torch.no_grad():
        found, _ = heads(None, features(), given)
        boxes = [x.proposal_boxes for x in given]
        logits = []
        for head, predictor in zip(heads.box_head, heads.box_predictor, strict=True):
            pooled = heads.box_pooler([features()[f"p{level}"] for level in range(2, 6)], boxes)
            scores, deltas = predictor(head(pooled))
            logits.append(scores)
            turned = predictor.box2box_transform.apply_deltas(deltas, Boxes.cat(boxes).tensor)
            boxes = [Boxes(x) for x in turned.split([len(x) for x in given])]
            for one in boxes:
                one.clip(SIZE)
    mean = torch.stack(logits).mean(dim=0).softmax(dim=1)[:, :-1]
    first = len(given[0])
    expected = mean[:first].flatten().sort(descending=True).values
    torch.testing.assert_close(found[0].scores, expected)
    best = int(mean[:first].flatten().argmax()) // 3
    torch.testing.assert_close(found[0].pred_boxes.tensor[0], boxes[0].tensor[best])


class Constant(nn.Module):
    """A mask head with one answer."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = logit

    def layers(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full((len(x), 3, 4, 4), self.logit)


def test_masks_are_the_mean_of_probabilities() -> None:
    predicted = Instances(SIZE, pred_classes=torch.tensor([0, 2]))
    heads = AveragingMaskHeads([Constant(0.0), Constant(2.0), Constant(-50.0)])
    found = heads(torch.zeros(2, 8, 14, 14), [predicted])[0]
    expected = (0.5 + torch.tensor(2.0).sigmoid() + 0) / 3
    torch.testing.assert_close(found.pred_masks, expected.expand(2, 1, 4, 4))


def test_nothing_found_and_no_targets() -> None:
    heads = small_heads().eval()
    with torch.no_grad():
        none = [x[:0] for x in proposals()]
        found, _ = heads(None, features(), none)
    assert [len(x) for x in found] == [0, 0]
    with pytest.raises(ValueError, match="trains only with targets: give images with instances"):
        heads.train()(None, features(), proposals())


def test_one_of_each_a_stage() -> None:
    with pytest.raises(ValueError, match="has 3 stages, 3 mask heads and 2 weights: give one"):
        small_heads(stage_weights=(1.0, 0.5))
