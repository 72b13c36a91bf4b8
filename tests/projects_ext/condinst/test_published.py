"""OpenMMLab's CondInst gives its answers here, from a file to the detections, and its losses."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from detectron2.structures import BitMasks, Boxes, Instances
from projects_ext.checkpoint import LoadReport
from tests.golden_files import load_golden
from tests.procedural import procedural_image
from tests.two_stage_parity import (
    NOT_ANSWERS,
    assert_in_order_but_for_near_ties,
    build,
    load_from_file,
    pair_by_box,
)

NAME = "condinst"
HEIGHT, WIDTH = 192, 256
KINDS = {
    "cls": "logits", "reg": "distances", "centerness": "centerness", "controller": "parameters"
}  # fmt: skip
LOSSES = {
    "loss.loss_cls": "loss_cls", "loss.loss_bbox": "loss_box_reg",
    "loss.loss_centerness": "loss_centerness", "loss.loss_mask": "loss_mask",
}  # fmt: skip


@pytest.fixture(scope="module")
def golden() -> Any:
    return load_golden(NAME)


@pytest.fixture(scope="module")
def loaded() -> tuple[Any, LoadReport]:
    model = build("condinst/condinst_r50_fpn_ms_1x.py")
    return model, load_from_file(model, NAME)


def unpacked(masks: np.ndarray) -> np.ndarray:
    return np.unpackbits(masks, axis=-1, count=WIDTH).astype(bool)


def picture() -> dict[str, torch.Tensor]:
    pixels = procedural_image("public/condinst", HEIGHT, WIDTH)
    return {"image": torch.from_numpy(pixels.transpose(2, 0, 1).copy())}


@pytest.fixture(scope="module")
def answers(loaded: Any, golden: Any) -> dict[str, np.ndarray]:
    """Every field of the golden file, by our model."""
    model = loaded[0]
    found: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        images = model.preprocess_image([picture()])
        pyramid = model.backbone(images.tensor)
        features = [pyramid[name] for name in model.head_in_features]
        found["network_input_shape"] = torch.tensor(images.tensor.shape)
        found |= {f"neck.{level}": x for level, x in enumerate(features)}
        predictions = model.head(features)
        for kind, name in KINDS.items():
            for level, x in enumerate(getattr(predictions, name)):
                scale = model.strides[level] if kind == "reg" else 1
                found[f"bbox_head.{kind}.{level}"] = x * scale
        found["mask_features"] = model.mask_branch(features[:3])
        instances = model([picture()])[0]["instances"]
    found |= {
        "boxes": instances.pred_boxes.tensor,
        "scores": instances.scores,
        "classes": instances.pred_classes,
        "masks": instances.pred_masks,
        "mask_areas": instances.pred_masks.sum((1, 2)),
    }
    return {**{name: x.numpy() for name, x in found.items()}, **losses(model, golden)}


def losses(model: nn.Module, golden: Any) -> dict[str, np.ndarray]:
    truth = Instances((HEIGHT, WIDTH), gt_boxes=Boxes(torch.from_numpy(golden["gt_boxes"])))
    truth.gt_classes = torch.from_numpy(golden["gt_classes"])
    truth.gt_masks = BitMasks(torch.from_numpy(unpacked(golden["gt_masks"])))
    with torch.no_grad():
        found = model.train()([{**picture(), "instances": truth}])
    model.eval()
    return {field: found[name].numpy() for field, name in LOSSES.items()}


def test_every_tensor_agrees(answers: Any, golden: Any) -> None:
    fields = [
        name for name in golden if name.startswith(("neck", "bbox_head", "mask_feat", "loss."))
    ]
    assert len(fields) == 5 + 20 + 1 + 4
    for name in fields:
        expected, found = golden[name], answers[name]
        if expected.shape != found.shape:
            step = -(-found.shape[1] // expected.shape[1])
            found = found[:, ::step]
        assert found.shape == expected.shape, name
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max(), name
    assert golden["network_input_shape"].tolist() == answers["network_input_shape"].tolist()


def test_detections_agree(answers: Any, golden: Any) -> None:
    pair = pair_by_box(answers["boxes"], golden["boxes"], answers["classes"], golden["classes"])
    np.testing.assert_allclose(answers["scores"][pair], golden["scores"], rtol=0, atol=1e-4)
    assert_in_order_but_for_near_ties(pair, answers["scores"])
    change = np.abs(answers["mask_areas"][pair] - golden["mask_areas"])
    assert change.sum() <= 1e-3 * golden["mask_areas"].sum()
    expected = unpacked(golden["masks"])
    found = answers["masks"][pair][: len(expected)]
    assert expected.any()
    assert (found != expected).sum() <= 1e-3 * expected.sum()


def test_no_field_is_left_out(answers: Any, golden: Any) -> None:
    given = {"gt_boxes", "gt_classes", "gt_masks"}
    assert set(golden) - NOT_ANSWERS - given == set(answers)


def test_every_name_finds_its_place(loaded: Any) -> None:
    model, report = loaded
    assert report.left_over == report.missing == report.reinitialised == []
    own_names = [key for key in model.state_dict() if not key.endswith("num_batches_tracked")]
    assert sorted(report.loaded) == sorted(own_names)


def test_other_class_counts_start_fresh() -> None:
    from detectron2.config import LazyConfig, instantiate
    from tests.two_stage_parity import ROOT

    config = LazyConfig.load(str(ROOT / "configs/condinst/condinst_r50_fpn_ms_1x.py")).model
    config.num_classes = 5
    report = load_from_file(instantiate(config), NAME)
    assert report.reinitialised == ["head.cls_score.weight", "head.cls_score.bias"]
    assert report.left_over == report.missing == []
