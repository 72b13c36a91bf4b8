"""What a two-stage detector answers, field by field, for comparison with a golden file."""

import functools
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from detectron2.config import LazyConfig, instantiate
from detectron2.modeling.roi_heads import StandardROIHeads
from detectron2.structures import Boxes
from projects_ext.checkpoint import LoadReport
from projects_ext.engine.config_files import load_config
from projects_ext.engine.settings import Settings
from projects_ext.engine.trainer import Trainer
from tests.golden_files import load_golden
from tests.procedural import golden_state, procedural_image

ROOT = Path(__file__).parents[1]
NOT_ANSWERS = {"meta", "keys", "box_roi_index"}
"""What a golden file is made from."""


@functools.lru_cache(maxsize=2)
def golden_file(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A golden file's fields and its ``meta``."""
    golden = load_golden(name)
    return golden, json.loads(str(golden["meta"]))


@functools.lru_cache(maxsize=1)
def openmmlab_state(name: str) -> dict[str, Tensor]:
    """The weights behind a golden file, under their names there."""
    golden, meta = golden_file(name)
    state = golden_state(golden["keys"], meta["gains"])
    return {key: torch.from_numpy(value) for key, value in state.items()}


def build(config: str) -> nn.Module:
    """The model of a config file below ``configs/``, for testing."""
    return instantiate(LazyConfig.load(str(ROOT / "configs" / config)).model).eval()


def load_by_config(model: nn.Module, path: Path) -> LoadReport:
    """Load what `train.init_checkpoint` names as training and evaluation do; all names agree."""
    keys = [f"train.init_checkpoint={path}", "train.device=cpu"]
    cfg = load_config(str(ROOT / "configs/quickstart/mask_rcnn_r50_fpn_coco.py"), keys)
    settings = Settings.of(cfg)
    report = Trainer.load_weights(model, settings.init_checkpoint, settings)
    assert report.complete, report
    return report


def load_from_file(model: nn.Module, name: str) -> LoadReport:
    """Write a golden file's weights as OpenMMLab does, and load them by `train.init_checkpoint`."""
    content = {"meta": {"mmdet_version": "2.1.0"}, "state_dict": openmmlab_state(name)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(content, path)
        return load_by_config(model, path)


class Answers:
    """The fields of a golden file, computed by ``model``; each when it is asked for.

    Region features and head outputs are those of the golden file's own regions, so that an error
    shows up in the part that makes it.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        self.model: Any = model
        self.golden, meta = golden_file(name)
        if "grid_heatmap" in self.golden:
            # The reference leaves boxes that a grid found as they are; Detectron2 clips.
            limits = [meta["width"], meta["height"]] * 2
            self.golden = {**self.golden, "boxes": self.golden["boxes"].clip(0, limits)}
        pixels = procedural_image(meta["image"], meta["height"], meta["width"])
        self.inputs = [{"image": torch.from_numpy(pixels.transpose(2, 0, 1).copy())}]

    @torch.no_grad()
    def __getitem__(self, field: str) -> np.ndarray:
        part, _, level = field.rpartition(".")
        if part == "neck":
            return self._every(16, list(self.features.values())[int(level)], field)
        if part.startswith("rpn_head."):
            return self.rpn_maps[part == "rpn_head.reg"][int(level)].numpy()
        for group, fields in GROUPS.items():
            if field in fields:
                return getattr(self, group)[field]
        if field == "network_input_shape":
            return np.array(self.images.tensor.shape)
        raise KeyError(f"nothing is known about the field {field}")

    def _every(self, step: int, value: Tensor, field: str) -> np.ndarray:
        """Every ``step``-th channel, or all where the golden file has all."""
        full = value.shape[1] == self.golden[field].shape[1]
        return (value if full else value[:, ::step]).numpy()

    @functools.cached_property
    @torch.no_grad()
    def images(self) -> Any:
        return self.model.preprocess_image(self.inputs)

    @functools.cached_property
    @torch.no_grad()
    def features(self) -> dict[str, Tensor]:
        return self.model.backbone(self.images.tensor)

    @functools.cached_property
    @torch.no_grad()
    def rpn_maps(self) -> Any:
        generator = self.model.proposal_generator
        return generator.rpn_head([self.features[name] for name in generator.in_features])

    def _pool(self, boxes: np.ndarray, kind: str) -> Tensor:
        heads = self.model.roi_heads
        features = [self.features[name] for name in getattr(heads, f"{kind}_in_features")]
        return getattr(heads, f"{kind}_pooler")(features, [Boxes(torch.from_numpy(boxes))])

    @functools.cached_property
    @torch.no_grad()
    def regions(self) -> dict[str, np.ndarray]:
        heads = self.model.roi_heads
        pooled = self._pool(self.golden["proposals"][self.golden["box_roi_index"]], "box")
        predictions = heads.box_predictor(heads.box_head(pooled))
        # A predictor of classes alone has no deltas.
        predictions = predictions if isinstance(predictions, tuple) else (predictions,)
        answers = dict(zip(("box_cls", "box_reg"), map(Tensor.numpy, predictions), strict=False))
        return {"box_roi_features": self._every(16, pooled, "box_roi_features"), **answers}

    @functools.cached_property
    @torch.no_grad()
    def masks(self) -> dict[str, np.ndarray]:
        pooled = self._pool(self.golden["boxes"][:4], "mask")
        logits = self.model.roi_heads.mask_head.layers(pooled)
        features = self._every(32, pooled, "mask_roi_features")
        return {"mask_roi_features": features, "mask_logits": logits[:, ::20].numpy()}

    @functools.cached_property
    @torch.no_grad()
    def grids(self) -> dict[str, np.ndarray]:
        heads = self.model.roi_heads
        proposals = self.model.proposal_generator(self.images, self.features)[0]
        coarse = StandardROIHeads._forward_box(heads, self.features, proposals)[0]
        pooled = self._pool(coarse.pred_boxes.tensor[:4].numpy(), "grid")
        heatmaps = heads.grid_head(pooled).fused
        features = self._every(32, pooled, "grid_roi_features")
        return {"grid_roi_features": features, "grid_heatmap": heatmaps.numpy()}

    @functools.cached_property
    @torch.no_grad()
    def detections(self) -> dict[str, np.ndarray]:
        proposals = self.model.proposal_generator(self.images, self.features)[0][0]
        found = self.model(self.inputs)[0]["instances"]
        answers = {
            "proposals": proposals.proposal_boxes.tensor.numpy(),
            "proposal_logits_sigmoid": proposals.objectness_logits.sigmoid().numpy(),
            "boxes": found.pred_boxes.tensor.numpy(),
            "scores": found.scores.numpy(),
            "classes": found.pred_classes.numpy(),
        }
        if found.has("pred_masks"):
            answers["masks"] = found.pred_masks.numpy()
            answers["mask_areas"] = answers["masks"].sum((1, 2))
        return answers


GROUPS = {
    "regions": {"box_roi_features", "box_cls", "box_reg"},
    "masks": {"mask_roi_features", "mask_logits"},
    "grids": {"grid_roi_features", "grid_heatmap"},
    "detections": {
        "proposals", "proposal_logits_sigmoid", "boxes", "scores", "classes", "masks", "mask_areas",
    },
}  # fmt: skip


def pair_by_box(
    boxes: np.ndarray, expected: np.ndarray, classes: np.ndarray, expected_classes: np.ndarray
) -> np.ndarray:
    """For every expected detection the index of the one with its box and class, each used once.

    Detections with nearly the same score may change places, others may not.
    """
    distance = np.abs(expected[:, None] - boxes[None]).max(axis=2)
    distance[expected_classes[:, None] != classes[None]] = np.inf
    pair = distance.argmin(axis=1)
    assert sorted(pair) == list(range(len(boxes)))
    assert distance.min(axis=1).max() <= 0.02
    return pair


def assert_in_order_but_for_near_ties(pair: np.ndarray, scores: np.ndarray) -> None:
    moved = pair != np.arange(len(pair))
    assert np.abs(scores[pair] - scores)[moved].max(initial=0) <= 1e-4


def assert_agrees(answers: Answers, field: str) -> None:
    """The field is the golden file's, within the tolerances of parity."""
    golden = answers.golden
    if field == "network_input_shape":
        np.testing.assert_array_equal(answers[field], golden[field])
    elif field in ("proposals", "proposal_logits_sigmoid"):
        no_class = np.zeros(len(golden["proposals"]))
        pair = pair_by_box(answers["proposals"], golden["proposals"], no_class, no_class)
        scores, expected = answers["proposal_logits_sigmoid"], golden["proposal_logits_sigmoid"]
        np.testing.assert_allclose(scores[pair], expected, rtol=0, atol=1e-4)
        assert_in_order_but_for_near_ties(pair, scores)
    elif field in GROUPS["detections"]:
        _assert_detections_agree(answers, golden, field)
    else:
        expected = golden[field]
        tolerance = 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(answers[field], expected, rtol=0, atol=tolerance)


def _assert_detections_agree(answers: Answers, golden: Mapping[str, Any], field: str) -> None:
    # A score next to the threshold may fall on either side of it.
    sure = answers.model.roi_heads.box_predictor.test_score_thresh + 1e-5
    names = ("boxes", "classes", "scores", field)
    kept = answers["scores"] > sure
    found = {name: answers[name][kept] for name in names}
    kept = golden["scores"] > sure
    expected = {name: golden[name][kept[: len(golden[name])]] for name in names}
    assert len(expected["scores"]) >= len(kept) - 1
    pair = pair_by_box(found["boxes"], expected["boxes"], found["classes"], expected["classes"])
    if field == "scores":
        np.testing.assert_allclose(found[field][pair], expected[field], rtol=0, atol=1e-4)
        assert_in_order_but_for_near_ties(pair, found[field])
    elif field == "masks":
        masks = found[field][pair][: len(expected[field])]
        wanted = np.unpackbits(expected[field], axis=-1, count=masks.shape[2]).astype(bool)
        assert (masks != wanted).sum() <= 1e-3 * wanted.sum()
    elif field == "mask_areas":
        change = np.abs(found[field][pair] - expected[field])
        assert change.sum() <= 1e-3 * expected[field].sum()
