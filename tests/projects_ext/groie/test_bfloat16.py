"""A published model in bfloat16 finds what it finds in float32.

Region by region: with these weights many scores are so close that NMS, which keeps the better of
two overlapping boxes, decides otherwise after any rounding. Each detection in float32 is therefore
compared with what bfloat16 makes of the same proposal.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from detectron2.structures import Boxes, Instances
from projects_ext.layers.grid_points import decode_boxes
from tests.projects_ext.checkpoint.test_published_systems import CONFIGS
from tests.two_stage_parity import Answers, build, load_from_file


class Run:
    """The second stage of a model in one precision, on proposals of the golden file."""

    def __init__(self, answers: Answers, half: bool) -> None:
        self.half, self.heads = half, answers.model.roi_heads
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            features = answers.model.backbone(answers.images.tensor)
        self.maps = [features[name] for name in self.heads.box_in_features]
        assert all(x.dtype == (torch.bfloat16 if half else torch.float32) for x in self.maps)

    def __call__(self, branch: str, boxes: Boxes) -> Tensor:
        """Region features of the "box", "mask" or "grid" branch."""
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            return getattr(self.heads, f"{branch}_pooler")(self.maps, [boxes])

    def box_outputs(self, boxes: Boxes) -> Any:
        pooled = self("box", boxes)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            return self.heads.box_predictor(self.heads.box_head(pooled))

    def mask_logits(self, boxes: Boxes) -> Tensor:
        pooled = self("mask", boxes)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            return self.heads.mask_head.layers(pooled)

    def heatmaps(self, boxes: Boxes) -> Tensor:
        pooled = self("grid", boxes)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            return self.heads.grid_head(pooled).fused.float().sigmoid()


@pytest.mark.parametrize("name", [name for name in CONFIGS if name.startswith("groie")])
def test_detections_are_those_of_float32(name: str) -> None:
    model = build(CONFIGS[name])
    load_from_file(model, name)
    answers = Answers(model, name)
    boxes = Boxes(torch.from_numpy(answers.golden["proposals"][:300]))
    proposals = [Instances(answers.images.image_sizes[0], proposal_boxes=boxes)]
    exact, rounded = Run(answers, half=False), Run(answers, half=True)
    outputs = [exact.box_outputs(boxes), rounded.box_outputs(boxes)]
    found, kept = (x[0] for x in model.roi_heads.box_predictor.inference(outputs[0], proposals))
    assert len(found) > 50
    if name == "groie_grid":
        assert_same_classes(*(logits[kept] for logits in outputs))
        assert_same_grids(exact, rounded, found.pred_boxes[:20])
        return
    assert_same_classes(*(logits[kept] for logits, _ in outputs))
    moved = [
        model.roi_heads.box_predictor.predict_boxes(x, proposals)[0].view(300, 80, 4)
        for x in outputs
    ]
    apart = (moved[0] - moved[1].float())[kept, found.pred_classes]
    assert apart.abs().max() < 1
    if model.roi_heads.mask_on:
        assert_same_masks(exact, rounded, found.pred_boxes[:10])


def assert_same_classes(exact: Tensor, rounded: Tensor) -> None:
    """Where the class differs, two of them were as good as equal."""
    scores = [logits.float().softmax(1)[:, :-1] for logits in (exact, rounded)]
    assert (scores[0] - scores[1]).abs().max() < 0.03
    classes = [x.argmax(dim=1) for x in scores]
    assert (classes[0] != classes[1]).float().mean() <= 0.05
    rivals = scores[0].gather(1, torch.stack(classes, dim=1))
    assert (rivals[:, 0] - rivals[:, 1]).max() < 0.003


def assert_same_grids(exact: Run, rounded: Run, regions: Boxes) -> None:
    """A grid point is the highest of 28 x 28 values: near-ties may fall otherwise, too."""
    heatmaps = [run.heatmaps(regions) for run in (exact, rounded)]
    peaks = [x.flatten(2).argmax(dim=2, keepdim=True) for x in heatmaps]
    heights = [heatmaps[0].flatten(2).gather(2, peak) for peak in peaks]
    assert (heights[0] - heights[1]).max() < 0.005
    boxes = [decode_boxes(regions.tensor, x) for x in heatmaps]
    undecided = (peaks[0] != peaks[1]).any(dim=1)[:, 0]
    assert undecided.float().mean() < 0.4
    assert (boxes[0] - boxes[1])[~undecided].abs().max() < 1


def assert_same_masks(exact: Run, rounded: Run, regions: Boxes) -> None:
    """But for pixels whose probability is about one half."""
    masks = [run.mask_logits(regions) > 0 for run in (exact, rounded)]
    assert (masks[0] != masks[1]).float().mean() < 0.01
