"""``tools/visualize_data.py`` on real data of every kind."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from projects_ext.visualization.main import main
from tests.conftest import ROOT

COCO = "configs/quickstart/mask_rcnn_coco_format.py"
SEMANTIC = "configs/gcnet/semantic/gcnet_label_folders.py"
REGISTERED = "configs/quickstart/mask_rcnn_r50_fpn_coco.py"
YAML = "configs/quickstart/mask_rcnn_shapes.yaml"

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the program; gives what it prints."""

    def call(config: str, *words: str) -> str:
        given = ["--config-file", str(ROOT / config), "--output-dir", str(tmp_path / "out")]
        main([*given, *words])
        return capsys.readouterr().out

    return call


def label_maps(shapes: Path) -> list[str]:
    words = ["data.classes=[background,disc,box,triangle,star,cross]"]
    for part in ("train", "val"):
        words += [f"data.{part}_images={shapes / part}"]
        words += [f"data.{part}_labels={shapes / 'labels' / part}"]
    return words


def written(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "out").iterdir())


def test_annotations_are_drawn_as_they_are(
    run: Run, shapes: Path, shapes_overrides: list[str], tmp_path: Path
) -> None:
    said = run(COCO, "--source", "annotation", *shapes_overrides)
    images = sorted((shapes / "train").iterdir())
    assert written(tmp_path) == [f"{path.stem}.jpg" for path in images]
    assert re.search(rf": {len(images)} images, \d+ objects.*, 5 classes\n", said)
    assert re.search(r"^disc +\d+ ", said, re.MULTILINE)
    drawn = Image.open(tmp_path / "out" / written(tmp_path)[0])
    original = Image.open(images[0]).convert("RGB")
    assert drawn.width >= 480
    plain = np.asarray(original.resize(drawn.size), dtype=int)
    changed = np.abs(np.asarray(drawn, dtype=int) - plain).max(axis=2) > 60
    assert 0.001 < changed.mean() < 0.9


def test_samples_come_from_the_training_loader(
    run: Run, shapes: Path, shapes_overrides: list[str], tmp_path: Path
) -> None:
    augmentation = "dataloader.train.mapper.augmentations.0.short_edge_length=[500]"
    larger = "dataloader.train.mapper.augmentations.0.max_size=1500"
    said = run(COCO, "--number", "11", augmentation, larger, *shapes_overrides)
    assert said.splitlines()[-1].startswith("11 images: ")
    # More than there are: a second time gets a number.
    names = written(tmp_path)
    assert len(names) == 11
    assert any(name.endswith("_2.jpg") for name in names)
    assert {min(Image.open(tmp_path / "out" / name).size) for name in names} == {500}


def test_the_same_images_again(
    run: Run, shapes: Path, shapes_overrides: list[str], tmp_path: Path
) -> None:
    words = ["--number", "2", "train.seed=3", *shapes_overrides]
    run(COCO, *words)
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    run(COCO, *words)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == first


def test_validation_set_and_cap(
    run: Run, shapes: Path, shapes_overrides: list[str], tmp_path: Path
) -> None:
    said = run(COCO, "--source", "annotation", "--split", "val", "--number", "3", *shapes_overrides)
    assert ": 4 images" in said
    assert said.splitlines()[-1].endswith("1 images are not drawn (--number -1 draws all)")
    assert len(written(tmp_path)) == 3


def test_figures_alone(run: Run, shapes: Path, shapes_overrides: list[str], tmp_path: Path) -> None:
    assert "5 classes" in run(COCO, "--number", "0", *shapes_overrides)
    assert not (tmp_path / "out").exists()


def test_label_maps(run: Run, shapes: Path, tmp_path: Path) -> None:
    said = run(SEMANTIC, "--number", "2", *label_maps(shapes))
    assert ": 10 images with label maps, 6 classes" in said
    assert re.search(r"^ +5 +cross +\d+ ", said, re.MULTILINE)
    size = Image.open(tmp_path / "out" / written(tmp_path)[0]).size
    # Two of 224 x 224, enlarged to 320 with a gap; a heading and a legend.
    assert size[0] == 648
    assert size[1] >= 360
    said = run(SEMANTIC, "--source", "annotation", "--number", "3", *label_maps(shapes))
    assert f"{next((shapes / 'train').iterdir()).suffix}" == ".png"
    assert "3 images: " in said


def test_yaml(run: Run, shapes: Path, tmp_path: Path) -> None:
    keys = []
    for part in ("train", "val"):
        key = f"DATASETS.COCO_FORMAT.{part.upper()}"
        keys += [f"{key}_JSON", str(shapes / "annotations" / f"instances_{part}.json")]
        keys += [f"{key}_IMAGES", str(shapes / part)]
    said = run(YAML, "--number", "2", *keys)
    assert ": 10 images" in said
    assert len(written(tmp_path)) == 2


def test_registered_data_set(run: Run, tmp_path: Path) -> None:
    """The json lists 39 images, of which two are here."""
    said = run(REGISTERED, "--number", "0", "--source", "annotation", "--split", "val")
    assert "coco_2017_val: 39 images, 409 objects and 7 crowd regions, 80 classes" in said
    assert "classes without any object" in said
    with pytest.raises(SystemExit):
        run(REGISTERED, "--source", "annotation", "--split", "val")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--source", "annotation"], r"^error: the image file .* does not exist: copy it there"),
        (["dataloader.train.dataset.names=nowhere"], r"there is no data set nowhere: "),
        (["data.nothing=3"], r"error: .*data"),
        (["--show"], r"--show: there is no screen"),
    ],
)
def test_bad_input_ends_in_one_sentence(
    words: list[str],
    sentence: str,
    run: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(SystemExit) as end:
        run(REGISTERED, *words, *(["--split", "val"] if "annotation" in words else []))
    said = capsys.readouterr().err
    assert end.value.code == 1
    assert re.search(sentence, said.splitlines()[-1])
    assert "Traceback" not in said


def test_images_are_not_replaced(
    run: Run, shapes_overrides: list[str], shapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(COCO, "--output-dir", str(shapes / "train"), *shapes_overrides)
    assert "holds images of the data set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--number", "-2"], "--number -2: give the number"),
        (["--split", "val"], "--split val: the data loader"),
        (["--report", "--show"], "give one of them"),
    ],
)
def test_contradictions(
    words: list[str], sentence: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run(COCO, *words)
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


def test_page_of_objects(
    run: Run, shapes: Path, shapes_overrides: list[str], tmp_path: Path
) -> None:
    page = tmp_path / "out" / "report.html"
    said = run(COCO, "--report", "--number", "4", *shapes_overrides)
    assert said.splitlines()[-1] == f"open {page}"
    text = page.read_text(encoding="utf-8")
    assert "<h1>Data set instances_train.json</h1>" in text
    gallery = text[text.index('id="sample"') :]
    assert gallery.count('<li class="card"') == 4
    assert gallery.count('<g class="truth"') > 4
    # Every class is in the table, and something is worth a look.
    table = text[text.index('id="class-table"') :]
    assert all(f"<td>{name}</td>" in table for name in ("disc", "box", "star", "cross"))
    assert 'href="#about-' in text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html"]


def test_page_of_label_maps(run: Run, shapes: Path, tmp_path: Path) -> None:
    run(SEMANTIC, "--report", "--number", "3", *label_maps(shapes))
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert text[text.index('id="sample"') :].count("data:image/png;base64") == 3
    assert "Share of pixels %" in text


def test_odd_boxes_are_shown_close_up(run: Run, shapes: Path, tmp_path: Path) -> None:
    """A box of 2 x 2 pixels, and one that is there twice."""
    content = json.loads((shapes / "annotations" / "instances_train.json").read_text())
    first = next(x for x in content["annotations"] if not x["iscrowd"])
    x, y = first["bbox"][:2]
    tiny = [[x, y, x + 2, y, x + 2, y + 2, x, y + 2]]
    new = {"id": 9001, "iscrowd": 0, "bbox": [x, y, 2, 2], "area": 4, "segmentation": tiny}
    content["annotations"] += [{**first, "id": 9000}, {**first, **new}]
    changed = tmp_path / "odd.json"
    changed.write_text(json.dumps(content))
    keys = [f"data.{part}_json={changed}" for part in ("train", "val")]
    keys += [f"data.{part}_images={shapes / 'train'}" for part in ("train", "val")]
    said = run(COCO, "--report", "--number", "0", *keys)
    assert "1 box with an edge shorter than 4 pixels" in said
    assert "1 pair of boxes of the same class that overlap by 90% or more" in said
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    tiny_part = text[text.index('id="odd-tiny"') : text.index('id="odd-duplicates"')]
    assert "2 x 2 pixels" in tiny_part
    assert 'viewBox="0 0 96 96"' in tiny_part
    assert tiny_part.count('<g class="wrong"') == 1
