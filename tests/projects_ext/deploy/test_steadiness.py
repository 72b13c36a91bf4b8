"""Differences that rounding explains are told from those that it does not."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from detectron2.config import LazyConfig, instantiate
from projects_ext import Predictor
from projects_ext.deploy.matching import LIMITS, of_model
from projects_ext.deploy.metadata import Metadata
from projects_ext.deploy.precision import BFLOAT16, FLOAT32
from projects_ext.deploy.program import program_of
from projects_ext.deploy.steadiness import other_digits, steady_objects, steady_pixels
from projects_ext.deploy.verify import Difference, compare, notes
from tests.procedural import procedural_image
from tests.small_systems import CONFIGS

from .region_systems import predictor

IMAGE = procedural_image("steady", 96, 128)


def grid(folder: Path, heatmaps: float) -> Predictor:
    """A Grid R-CNN whose heatmaps have peaks, or (0) none."""
    chosen = predictor("grid", folder)
    with torch.no_grad():
        chosen.model.roi_heads.grid_head.deconv2.weight.mul_(heatmaps)
    return chosen


def outputs_with_other_heatmaps(chosen: Predictor) -> tuple[dict[str, np.ndarray], Metadata]:
    program, metadata = program_of(chosen)
    with other_digits(chosen.model.roi_heads.grid_head, seed=99), torch.no_grad():
        found = program(torch.from_numpy(IMAGE))
    return {name: x.numpy() for name, x in zip(program.OUTPUTS, found, strict=True)}, metadata


def test_ties_are_unsteady_and_said(tmp_path: Path) -> None:
    chosen = grid(tmp_path, heatmaps=0.0)
    outputs, metadata = outputs_with_other_heatmaps(chosen)
    difference = compare("flat", IMAGE, outputs, chosen, metadata)
    assert difference.boxes > 0.5
    assert difference.unsteady > 3
    assert difference.small
    assert difference.row().endswith("equal")
    assert "Unsteady objects differ" in notes([difference], metadata)[0]


def test_steady_objects_hide_nothing(tmp_path: Path) -> None:
    chosen = grid(tmp_path, heatmaps=1.0)
    outputs, metadata = outputs_with_other_heatmaps(chosen)
    assert compare("peaks", IMAGE, outputs, chosen, metadata).small
    outputs["boxes"] = outputs["boxes"] + np.float32(0.7)
    difference = compare("moved", IMAGE, outputs, chosen, metadata)
    assert difference.wrong > 3
    assert difference.row().endswith("DIFFERENT")


def test_objects_of_the_file_alone_are_no_rounding(tmp_path: Path) -> None:
    chosen = grid(tmp_path, heatmaps=1.0)
    objects = of_model(chosen(np.ascontiguousarray(IMAGE[:, :, ::-1])))
    some = np.arange(4)
    extra = objects.at(some)._replace(scores=objects.scores[some] - 0.1)
    steady, unseen = steady_objects(chosen, IMAGE, objects, some, extra, LIMITS[FLOAT32])
    assert steady.all()
    assert unseen.all()


def test_the_model_is_as_before(tmp_path: Path) -> None:
    chosen = grid(tmp_path, heatmaps=1.0)
    before = chosen(IMAGE).scores
    with other_digits(chosen.model, seed=0):
        assert not torch.equal(chosen(IMAGE).scores, before)
    assert torch.equal(chosen(IMAGE).scores, before)


def test_label_maps_are_compared_where_they_are_steady(tmp_path: Path) -> None:
    config = LazyConfig.load(str(CONFIGS / "gcnet" / "semantic" / "gcnet_shapes.py"))
    config.model.predict_multi_scale = False
    torch.manual_seed(0)
    torch.save({"model": instantiate(config.model).state_dict()}, tmp_path / "labels.pth")
    chosen = Predictor(config, tmp_path / "labels.pth", "cpu", array_format="RGB")
    labels: Any = chosen(IMAGE).numpy()
    assert steady_pixels(chosen, IMAGE, labels).mean() > 0.9
    metadata = Metadata("semantic", tuple(chosen.class_names))
    assert compare("same", IMAGE, {"labels": labels}, chosen, metadata).small
    assert not compare("other", IMAGE, {"labels": labels[::-1]}, chosen, metadata).small
    assert not compare("size", IMAGE, {"labels": labels[1:]}, chosen, metadata).small
    chosen.model.sem_seg_head.predictor.weight.data.zero_()
    chosen.model.sem_seg_head.predictor.bias.data.fill_(1)
    tied = chosen(IMAGE).numpy()
    assert not steady_pixels(chosen, IMAGE, tied).any()


def test_notes_say_what_was_not_compared() -> None:
    metadata = Metadata("instances", ("a",), 10)
    ramp: Any = Difference("smooth ramp", (9, 9), found=4, unsteady=4)
    sentences = " ".join(notes([ramp], metadata))
    assert "none without objects was compared" in sentences
    assert "No object could be compared" in sentences
    one = [Difference("a", (9, 9), found=4)]
    assert notes(one, metadata) == []
    assert "scores below 0.5 were not compared" in notes(one, metadata, BFLOAT16)[0]


def test_bfloat16_is_compared_where_the_model_is_sure(tmp_path: Path) -> None:
    chosen = grid(tmp_path, heatmaps=1.0)
    expected, metadata = outputs_with_other_heatmaps(chosen)
    sure, count = expected["scores"] >= 0.5, int(expected["count"])
    assert 0 < sure.sum() < count
    for rows, small in ((~sure, True), (sure, False)):
        outputs = {**expected, "boxes": expected["boxes"] + np.float32(6) * rows[:, None]}
        found = compare("moved", IMAGE, outputs, chosen, metadata, LIMITS[BFLOAT16])
        assert found.small == small
