"""``demo/demo.py``: from the command line to the files."""

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from projects_ext.errors import UserError
from projects_ext.prediction import main as program
from projects_ext.prediction.arguments import parse_arguments
from projects_ext.prediction.video import VideoReader, VideoWriter
from tests.conftest import ROOT
from tests.projects_ext.prediction.models import (
    SEMANTIC,
    config_path,
    every_score,
    label_keys,
    write_checkpoint,
)
from tests.projects_ext.prediction.scenes import BrightDetector, ColourDetector


def run(model: Any, *words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The program with another network; returns the exit code."""
    with monkeypatch.context() as patch:
        patch.setattr(program, "load_model", lambda arguments: model)
        return program.run(parse_arguments(["--config-file", "none", *map(str, words)]))


def write_clip(path: Path, count: int = 6, height: int = 48, width: int = 65) -> None:
    """A bright square that moves to the right on dark blue."""
    with VideoWriter(path, 10) as writer:
        for index in range(count):
            frame = np.zeros((height, width, 3), dtype=np.uint8)
            frame[..., 0] = 60
            frame[20:36, 4 + 5 * index : 20 + 5 * index] = 255
            writer.write(frame)


def red_at(frame: np.ndarray, x: int, y: int) -> bool:
    """Whether a frame (BGR) has a red line near a point: the class's colour."""
    patch = frame[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].reshape(-1, 3).astype(int)
    return bool((patch[:, 2] - patch[:, :2].max(axis=1)).max() > 60)


def test_a_video_is_drawn_on_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, out = tmp_path / "clip.mp4", tmp_path / "out"
    write_clip(clip)
    words = ["--input", clip, "--output", out, "--save", "images", "coco", "csv"]
    assert run(BrightDetector(), *words, monkeypatch=monkeypatch) == 0
    with VideoReader(str(out / "clip.mp4")) as reader:
        assert (reader.fps, reader.frames) == (10, 6)
        drawn = list(reader)
    assert {frame.shape for frame in drawn} == {(48, 66, 3)}
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == list("012345")
    for index, (frame, row) in enumerate(zip(drawn, rows, strict=True)):
        x0, y0, x1, y1 = (round(float(row[key])) for key in ("x0", "y0", "x1", "y1"))
        assert abs(x0 - (4 + 5 * index)) <= 2
        assert red_at(frame, x0, (y0 + y1) // 2)
        assert red_at(frame, (x0 + x1) // 2, y1 - 1)
        assert frame[45, 3, 0] > 40 > frame[45, 3, 2]  # blue stays blue
    images = json.loads((out / "coco_images.json").read_text())["images"]
    assert [image["frame_index"] for image in images] == list(range(6))


def test_results_may_lie_beside_the_inputs_but_never_replace_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = tmp_path / "label_maps"
    for name in ("x.png", "label_maps/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 20)).save(tmp_path / name)
    beside = ["--input", tmp_path / "x.png", "--output", tmp_path, "--save"]
    with monkeypatch.context() as patch:
        patch.setattr(BrightDetector, "prepare", staticmethod(prepare_file))
        assert run(BrightDetector(), *beside, "csv", monkeypatch=monkeypatch) == 0
    for words in ([*beside, "images"], ["--input", maps, *beside[2:], "label-maps"]):
        with pytest.raises(ValueError, match=r"overwrite the input .*x.png: give another"):
            run(BrightDetector(), *words, monkeypatch=monkeypatch)


def test_one_output_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "clip.avi"
    write_clip(tmp_path / "clip.mp4", count=2)
    (tmp_path / "clip.mp4").rename(clip)
    new = tmp_path / "new" / "drawn.mp4"
    words = ["--video-input", clip, "--output", new, "--save", "images", "csv"]
    assert run(BrightDetector(), *words, monkeypatch=monkeypatch) == 0
    assert sorted(path.name for path in new.parent.iterdir()) == ["drawn.mp4", "predictions.csv"]


@pytest.mark.parametrize("tile", [[], ["--tile", "32"]])
def test_broken_files_are_named_and_the_others_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tile: list[str],
) -> None:  # fmt: skip
    folder, out = tmp_path / "images", tmp_path / "out"
    folder.mkdir()
    for name in "abc":
        Image.fromarray(np.full((40, 50, 3), 255, dtype=np.uint8)).save(folder / f"{name}.png")
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(b"no image")
    (folder / "c2.png").write_bytes(whole[: len(whole) // 2])
    (folder / "d.mp4").write_bytes(b"no video")
    write_clip(folder / "e.mp4", count=2)
    model = BrightDetector()
    if not tile:  # as the real ones, which the last test has
        monkeypatch.setattr(model, "prepare", prepare_file)
    words = ["--input", folder, "--output", out, "--batch-size", 2, *tile]
    assert run(model, *words, monkeypatch=monkeypatch) == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "c.png", "e.mp4"]
    errors = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    for name, error in zip(("b.png", "c2.png", "d.mp4"), errors, strict=True):
        assert name in error


def prepare_file(image: Any) -> dict[str, Any]:
    """A path or an array (BGR), read by the real preparation."""
    from detectron2.data import DatasetMapper
    from detectron2.data import transforms as T
    from projects_ext.prediction.preparation import Preparation

    mapper = DatasetMapper(is_train=False, augmentations=[T.NoOpTransform()], image_format="BGR")
    given = Preparation(mapper)(image)
    return {**given, "image": given["image"].numpy().transpose(1, 2, 0)}


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), RuntimeError("a mistake in the code")])
def test_a_video_is_valid_after_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write_clip(tmp_path / "clip.mp4", count=30)
    out = tmp_path / "out"
    words = ["--input", tmp_path / "clip.mp4", "--output", out, "--save", "images", "coco", "csv"]
    model = BrightDetector({5: stop})
    if isinstance(stop, KeyboardInterrupt):
        assert run(model, *words, monkeypatch=monkeypatch) == 130
        assert "stopped: 5 images or frames" in capsys.readouterr().err
    else:
        with pytest.raises(RuntimeError, match="mistake"):
            run(model, *words, monkeypatch=monkeypatch)
    with VideoReader(str(out / "clip.mp4")) as reader:
        assert len(list(reader)) == reader.frames == 5
    assert len(json.loads((out / "coco_instances_results.json").read_text())) == 5


def animated(path: Path, count: int = 3) -> None:
    """A square that moves, in as many frames or pages."""
    frames = [Image.new("RGB", (64, 48), (0, 0, 60)) for _ in range(count)]
    for index, frame in enumerate(frames):
        frame.paste((255, 255, 255), (8 * index, 10, 8 * index + 20, 40))
    frames[0].save(path, save_all=True, append_images=frames[1:])


def test_of_animations_the_first_frame_is_taken_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.gif", "b.png", "c.webp", "d.tif", "e.jpg"):
        if name == "e.jpg":  # as cameras write it: the second image is a preview
            animated(tmp_path / "e.mpo")
            (tmp_path / "e.mpo").rename(tmp_path / name)
        else:
            animated(tmp_path / name)
    animated(tmp_path / "f.png", count=1)
    model = BrightDetector()
    monkeypatch.setattr(model, "prepare", prepare_file)
    words = ["--input", tmp_path, "--output", tmp_path / "out", "--save", "csv"]
    assert run(model, *words, monkeypatch=monkeypatch) == 0
    notes = [x for x in capsys.readouterr().err.splitlines() if x.startswith("several frames")]
    assert [x.replace(f"{tmp_path}/", "") for x in notes] == [
        "several frames in a.gif, b.png: only the first is used; --video-input takes all",
        "several frames in c.webp, d.tif: only the first is used; save the others as files",
    ]
    words = ["--video-input", tmp_path / "a.gif", "--output", tmp_path / "out", "--save", "csv"]
    assert run(model, *words, monkeypatch=monkeypatch) == 0
    assert "several frames" not in capsys.readouterr().err
    assert [row.split(",")[1:5] for row in table(tmp_path / "out")] == [
        ["0", "disc", "0.8980", "0.00"],
        ["1", "disc", "0.8980", "8.00"],
        ["2", "disc", "0.8980", "16.00"],
    ]


def table(folder: Path) -> list[str]:
    return (folder / "predictions.csv").read_text().splitlines()[1:]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--save", "label-maps"], "no label map; there are images coco csv"),
        (["--confidence-threshold", "1.5"], "give a number from 0 to 1"),
        (["--tile", "5"], "a tile has at least 32 pixels"),
        (["--tile", "64", "--overlap", "1"], "give a share of the tile"),
        (["--output", "x.png/out"], "x.png is no folder: give another --output"),
        (
            ["--config-file", config_path(SEMANTIC), "--save", "csv"],
            "a label map, no objects; there are",
        ),
    ],
)
def test_wrong_options_are_refused_before_any_weights_are_read(
    words: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (20, 20)).save("x.png")
    given = ["--config-file", config_path("mask"), "--weights", "none.pth", "--input", "x.png"]
    with pytest.raises(UserError, match=sentence):
        program.run(parse_arguments([*given, *words]))
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def test_outputs_of_the_wrong_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "x.png")
    words = ["--input", tmp_path / "x.png", "--output", tmp_path / "o", "--save", "label-maps"]
    with pytest.raises(ValueError, match="no label map; there are images coco csv"):
        run(ColourDetector(), *words, monkeypatch=monkeypatch)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--config-file", "x.py"], "nothing to predict on"),
        (["--input", "x.jpg"], "add --config-file"),
        (["--config-file", "x.py", "--input", "x", "--overlap", "0.2"], "belong to --tile"),
        (["--config-file", "x.py", "--input", "x", "--batch-size", "0"], "at least 1"),
        (["--config-file", "x.py", "--input", "x", "--save", "gif"], "invalid choice"),
    ],
)
def test_wrong_command_lines(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        parse_arguments(words)
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err


def demo(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "demo" / "demo.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_script_with_a_detector(
    shapes: Path, shapes_overrides: list[str], tmp_path: Path
) -> None:
    weights = write_checkpoint("mask", tmp_path, shapes_overrides)
    (tmp_path / "no.jpg").write_text("no image")
    done = demo(
        "--config-file", config_path("mask"), "--weights", weights, "--device", "cpu",
        "--input", shapes / "val", tmp_path / "no.jpg", "--output", tmp_path / "out",
        "--save", "images", "csv", "coco",
        "--confidence-threshold", 0, "--opts", every_score("mask"),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    (error,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert "no.jpg is no image" in error
    files = {path.name for path in (shapes / "val").iterdir()}
    drawn = {path.name for path in (tmp_path / "out").iterdir()}
    assert drawn == files | {"predictions.csv", "coco_images.json", "coco_instances_results.json"}
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        counts = Counter(row["class"] for row in csv.DictReader(file))
    assert counts.total() > 10
    assert set(counts) <= {"disc", "box", "triangle", "star", "cross"}
    for name in files:
        before, after = (
            Image.open(x / name).convert("RGB") for x in (shapes / "val", tmp_path / "out")
        )
        assert before.size == after.size


def test_a_semantic_model_and_its_label_maps(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = label_keys(shapes)
    weights = write_checkpoint(SEMANTIC, tmp_path, keys)
    words = [
        "--config-file", config_path(SEMANTIC), "--weights", weights, "--device", "cpu",
        "--input", str(shapes / "val"), "--output", str(tmp_path / "out"),
        "--opts", "model.predict_multi_scale=False",
    ]  # fmt: skip
    with pytest.raises(SystemExit):
        program.main([*words, "--save", "coco", "--opts", *keys])
    assert "this model predicts a label map" in capsys.readouterr().err
    program.main([*words, "--save", "images", "label-maps"])
    for path in (shapes / "val").iterdir():
        labels = Image.open(tmp_path / "out" / "label_maps" / path.name)
        assert labels.size == Image.open(path).size
        assert np.asarray(labels).max() <= 5
        assert (tmp_path / "out" / path.name).is_file()
    assert cv2.imread(str(tmp_path / "out" / path.name)) is not None
