"""What the report takes from a run's folder, and which options stand in for what is not there."""

import json
from pathlib import Path

import pytest

from detectron2.config import LazyConfig
from projects_ext.errors import MissingFileError, UserError
from projects_ext.report.command import argument_parser, main, write_report
from projects_ext.report.run import read_run
from projects_ext.report.truth import images_of
from tests.conftest import ROOT

from .scenes import Thing, write_scene

BOX = (10.0, 10.0, 20.0, 20.0)


def test_metrics_of_another_form_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    (tmp_path / "evaluation.json").write_text('{"metrics": [1]}')
    with pytest.raises(UserError, match=r"evaluation\.json: its metrics"):
        read_run(tmp_path)


def test_the_images_of_the_config_are_kept_beside_another_ground_truth(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    config = {"data": {"val_images": str(tmp_path / "images")}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    assert images_of(read_run(tmp_path), "elsewhere/truth.json") == str(tmp_path / "images")


@pytest.mark.parametrize("factor", [100, -4])
def test_scores_of_another_range_have_no_calibration(tmp_path: Path, factor: float) -> None:
    files = write_scene(tmp_path, [(0, 0, BOX)], [(0, 0, BOX, 0.9 * factor)])
    results, truth, images = map(str, files)
    main([results, "--truth", truth, "--images", images])
    text = (tmp_path / "report.html").read_text()
    assert "no calibration is shown" in text
    assert "Bars below the line" not in text
    main([results, results, "--truth", truth, "--images", images])


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, truth, _ = write_scene(tmp_path, [(0, 0, BOX)], [])
    # The tests may run as root, whom no folder refuses.
    monkeypatch.setattr("os.access", lambda *_: False)
    words = [str(results), "--truth", str(truth)]
    with pytest.raises(UserError, match="cannot be written to"):
        write_report(argument_parser().parse_args(words))


@pytest.mark.parametrize("moved", ["images", "truth.json"])
def test_data_that_are_not_there_any_more_are_named_by_options(tmp_path: Path, moved: str) -> None:
    results, truth, images = write_scene(tmp_path, [(0, 0, BOX)], [(0, 0, BOX, 0.9)], masks=True)
    results.rename(tmp_path / "coco_instances_results.json")
    save_config(tmp_path, truth, images)
    (tmp_path / moved).rename(tmp_path / "moved")
    with pytest.raises(MissingFileError, match="name the ground truth with --truth FILE"):
        write_report(argument_parser().parse_args([str(tmp_path)]))
    if moved == "images":
        words = [str(tmp_path), "--images", str(tmp_path / "moved")]
        text = write_report(argument_parser().parse_args(words)).read_text()
        assert "could not be read" not in text


def page_text(folder: Path, *things: list[Thing], words: tuple[str, ...] = ()) -> str:
    """The page about a scene."""
    results, truth, images = map(str, write_scene(folder, *things, images=1, crowds=[1]))
    main([results, "--truth", truth, "--images", images, *words])
    return (folder / "report.html").read_text()


def test_galleries_that_are_not_wanted_praise_nobody(tmp_path: Path) -> None:
    text = page_text(tmp_path, [(0, 0, BOX)], [], words=("--gallery", "0"))
    assert "well done" not in text
    assert "data-show=" not in text.split("<script")[0]


@pytest.mark.parametrize("detections", [[], [(0, 0, BOX, 0.9)]])
def test_a_ground_truth_without_objects_is_said(tmp_path: Path, detections: list[Thing]) -> None:
    text = page_text(tmp_path, [], detections)
    assert "The ground truth has no objects" in text
    assert "well done" not in text
    results, truth = str(tmp_path / "results.json"), str(tmp_path / "truth.json")
    main([results, results, "--truth", truth])
    assert "no AP to compare" in (tmp_path / "comparison.html").read_text()


def test_a_crowd_is_no_object_and_f1_has_one_unit(tmp_path: Path) -> None:
    far = (60.0, 60.0, 20.0, 20.0)
    text = page_text(tmp_path, [(0, 0, BOX), (0, 1, far)], [(0, 0, BOX, 0.9)])
    assert "1 image, 1 object of 3 classes" in text
    assert "(F1 100.0)" in text


def test_boxes_beyond_the_images_are_said(tmp_path: Path) -> None:
    text = page_text(tmp_path, [(0, 0, BOX)], [(0, 0, (90.0, 9.0, 200.0, 20.0), 0.9)])
    assert "it may not be the ground truth of these results" in text


def save_config(folder: Path, truth: Path, images: Path) -> None:
    """The ``config.yaml`` of a run on data in COCO format."""
    cfg = LazyConfig.load(str(ROOT / "configs" / "common" / "data" / "coco_format.py"))
    cfg.train = {"output_dir": str(folder)}  # the evaluator refers to it
    for part in ("train", "val"):
        cfg.data[f"{part}_json"], cfg.data[f"{part}_images"] = str(truth), str(images)
    LazyConfig.save(cfg, str(folder / "config.yaml"))
