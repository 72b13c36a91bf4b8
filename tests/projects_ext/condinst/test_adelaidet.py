"""CondInst's original checkpoints: names, conventions, and the original's answers.

The golden file holds what AdelaiDet's CondInst answers with procedural weights, and the names that
its configs lead to. How it was made: see ``meta`` in it; boxes and masks by falling score.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from detectron2.config import LazyConfig, instantiate
from projects_ext.checkpoint import LoadReport, Target, load_weights
from projects_ext.checkpoint.convert import convert
from projects_ext.checkpoint.files import read_file
from projects_ext.condinst.key_map import adelaidet_entries
from tests.golden_files import load_golden
from tests.procedural import golden_state, procedural_image
from tests.two_stage_parity import ROOT, assert_in_order_but_for_near_ties, build, pair_by_box

NAMES = {
    "MS_R_50_1x": "condinst_r50_fpn_ms_1x_original.py",
    "MS_R_50_3x_sem": "condinst_r50_fpn_ms_3x_sem.py",
    "MS_R_101_3x": "condinst_r101_fpn_ms_3x.py",
    "MS_R_101_3x_sem": "condinst_r101_fpn_ms_3x_sem.py",
}
"""AdelaiDet's config -> this project's."""

CONFIG = f"condinst/{NAMES['MS_R_50_1x']}"
LEVELS = range(5)


@pytest.fixture(scope="module")
def golden() -> Any:
    return load_golden("condinst_adelaidet")


@pytest.fixture(scope="module")
def meta(golden: Any) -> Any:
    return json.loads(str(golden["meta"]))


@pytest.fixture(scope="module")
def file(golden: Any, meta: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint as AdelaiDet writes it."""
    state = golden_state(golden["keys"], meta["gains"])
    content = {"model": {key: torch.from_numpy(x) for key, x in state.items()}, "iteration": 89999}
    path = tmp_path_factory.mktemp("adelaidet") / "CondInst_MS_R_50_1x.pth"
    torch.save(content, path)
    return str(path)


@pytest.fixture(scope="module")
def loaded(file: str) -> tuple[Any, LoadReport]:
    model = build(CONFIG)
    return model, load_weights(model, file, strict=True)


def picture(meta: Any) -> Tensor:
    pixels = procedural_image(meta["image"], *meta["drawn"])[
        : meta["height"], : meta["width"], ::-1
    ]
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def test_every_name_finds_its_place(loaded: Any) -> None:
    model, report = loaded
    assert report.format == "AdelaiDet"
    own = {name for name in model.state_dict() if not name.endswith("num_batches_tracked")}
    assert set(report.loaded) == own
    assert report.renamed["controller.weight"] == "head.controller.weight"
    assert report.renamed["mask_branch.tower.4.bias"] == "mask_branch.predictor.bias"


@torch.no_grad()
def test_every_tensor_agrees(loaded: Any, golden: Any, meta: Any) -> None:
    model = loaded[0]
    images = model.preprocess_image([{"image": picture(meta)}])
    pyramid = model.backbone(images.tensor)
    features = [pyramid[name] for name in model.head_in_features]
    predictions = model.head(features)
    found = {f"neck.{level}": x for level, x in enumerate(features)}
    kinds = {
        "cls": predictions.logits, "reg": predictions.distances,
        "ctrness": predictions.centerness, "controller": predictions.parameters,
    }  # fmt: skip
    found |= {
        f"head.{kind}.{level}": maps[level] for kind, maps in kinds.items() for level in LEVELS
    }
    found["mask_features"] = model.mask_branch(features[:3])
    assert golden["network_input_shape"].tolist() == list(images.tensor.shape)
    for name, value in found.items():
        expected = golden[name]
        step = -(-value.shape[1] // expected.shape[1])
        difference = np.abs(value[:, ::step].numpy() - expected).max()
        assert difference <= 1e-4 * np.abs(expected).max(), name
    assert len(found) == 26


@torch.no_grad()
def test_detections_agree(loaded: Any, golden: Any, meta: Any) -> None:
    size = meta["height"], meta["width"]
    found = loaded[0]([{"image": picture(meta)}])[0]["instances"]
    boxes, classes = found.pred_boxes.tensor.numpy(), found.pred_classes.numpy()
    pair = pair_by_box(boxes, golden["boxes"], classes, golden["classes"])
    np.testing.assert_allclose(found.scores.numpy()[pair], golden["scores"], rtol=0, atol=1e-4)
    assert_in_order_but_for_near_ties(pair, found.scores.numpy())
    masks = found.pred_masks.numpy()[pair]
    change = np.abs(masks.sum((1, 2)) - golden["mask_areas"])
    assert change.sum() <= 1e-3 * golden["mask_areas"].sum()
    expected = np.unpackbits(golden["masks"], axis=-1, count=size[1]).astype(bool)
    assert expected.any()
    assert (masks[: len(expected)] != expected).sum() <= 1e-3 * expected.sum()


@torch.no_grad()
def test_masks_of_a_larger_output_agree(loaded: Any, golden: Any, meta: Any) -> None:
    entry = {"image": picture(meta), "height": 2 * meta["height"], "width": 2 * meta["width"]}
    found = loaded[0]([entry])[0]["instances"]
    areas = found.pred_masks.sum((1, 2)).numpy()
    expected = golden["large_mask_areas"]
    change = np.abs(np.sort(areas) - np.sort(expected))
    assert change.sum() <= 1e-3 * expected.sum()


@pytest.mark.parametrize("theirs", NAMES)
def test_names_are_those_of_its_own_configs(theirs: str, golden: Any) -> None:
    config = LazyConfig.load(str(ROOT / "configs/condinst" / NAMES[theirs])).model
    with torch.device("meta"):
        target = Target(instantiate(config))
    entries = adelaidet_entries(target)
    listed = golden["keys" if theirs == "MS_R_50_1x" else f"keys.{theirs}"]
    expected = dict(str(line).split() for line in listed)
    found = {name: "x".join(map(str, x.shape)) or "scalar" for name, x in entries.items()}
    assert found == expected


def test_round_trip_is_exact(loaded: Any, file: str, tmp_path: Path) -> None:
    """Theirs, ours, theirs: the file again. And ours once more: the same weights."""
    output = tmp_path / "theirs.pth"
    _, said = convert(lambda: build(CONFIG), file, output, names="AdelaiDet", verify=True)
    assert said.endswith("bit for bit")
    before, after = read_file(file)["model"], read_file(str(output))["model"]
    assert set(before) == set(after)
    for name, value in before.items():
        if not name.startswith("mask_head."):
            assert torch.equal(after[name], value), name
            assert after[name].dtype == value.dtype
    assert after["mask_head.sizes_of_interest"].tolist() == [64, 128, 256, 512, 1024]
    again: Any = build(CONFIG)
    load_weights(again, output, strict=True)
    for name, value in loaded[0].state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


@pytest.fixture(scope="module")
def published(file: str) -> dict[str, Tensor]:
    """The file's weights as if their ResNet had begun with Detectron2's."""
    state = dict(read_file(file)["model"])
    for name, value in state.items():
        if name.startswith("backbone.bottom_up.") and "running" in name:
            state[name] = torch.full_like(value, float(name.endswith("var")))
    return state


class TestConventions:
    """AdelaiDet's ResNets began with weights whose statistics are merged into their norms."""

    def test_agree_with_the_original_config(self, published: Any) -> None:
        report = load_weights(build(CONFIG), published, strict=True)
        assert report.notes == ["BGR less (103.53, 116.28, 123.675) over (1, 1, 1), as the model's"]

    def test_are_refused_by_openmmlabs_config(self, published: Any) -> None:
        model = build("condinst/condinst_r50_fpn_ms_1x.py")
        with pytest.raises(
            ValueError, match="in its first 1x1 convolution, the model in the 3x3 one: set stride"
        ):
            load_weights(model, published)

    def test_channels_are_moved_into_the_weights(self, published: Any) -> None:
        config = LazyConfig.load(str(ROOT / "configs" / CONFIG)).model
        config.update(
            pixel_mean=[123.675, 116.28, 103.53], pixel_std=[58.395, 57.12, 57.375],
            input_format="RGB",
        )  # fmt: skip
        model = instantiate(config)
        report = load_weights(model, published)
        assert report.notes[0].startswith("backbone.bottom_up.stem.conv1.weight changed from BGR")

    def test_other_class_counts_start_fresh(self, published: Any) -> None:
        config = LazyConfig.load(str(ROOT / "configs" / CONFIG)).model
        config.num_classes = 5
        report = load_weights(instantiate(config), published)
        assert report.reinitialised == ["head.cls_score.weight", "head.cls_score.bias"]
        assert report.left_over == report.missing == []


def test_a_file_with_more_than_the_model_says_so(file: str) -> None:
    """The semantic branch of the ``sem`` experiments, in a config without one."""
    state = dict(read_file(file)["model"])
    state["mask_branch.logits.weight"] = torch.zeros(80, 128, 1, 1)
    model: nn.Module = build(CONFIG)
    assert load_weights(model, state).left_over == ["mask_branch.logits.weight"]
