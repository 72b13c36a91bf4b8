"""``train_net.py`` on data that cannot be used: one sentence, exit code 1, no traceback."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.projects_ext.faults.runs import end_of, short_run

Content = dict[str, Any]


@pytest.fixture
def data(shapes: Path, tmp_path: Path) -> Path:
    """A copy of the training part, to be damaged."""
    shutil.copytree(shapes / "train", tmp_path / "train")
    shutil.copy(shapes / "annotations" / "instances_train.json", tmp_path / "train.json")
    return tmp_path


@pytest.fixture
def sentence(
    data: Path, shapes_overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Train on the damaged copy; returns what is said in the end."""

    def train(*more: str) -> str:
        keys = [f"data.train_json={data / 'train.json'}", f"data.train_images={data / 'train'}"]
        command = short_run(shapes_overrides, data / "output", *keys, *more)
        code, stderr = end_of(command, monkeypatch)
        said = [line for line in stderr.splitlines() if line.startswith("error: ")]
        assert code == 1, stderr
        assert "Traceback" not in stderr
        assert said == stderr.strip().splitlines()[-1:]
        log = (data / "output" / "log.txt").read_text()
        assert "Traceback" in log
        return said[0]

    return train


def change(data: Path, how: Callable[[Content], Any]) -> None:
    content = json.loads((data / "train.json").read_text())
    how(content)
    (data / "train.json").write_text(json.dumps(content))


def test_json_that_is_no_coco_file(data: Path, sentence: Callable[..., str]) -> None:
    (data / "train.json").write_text('{"shapes": [], "version": "5.0"}')
    assert "train.json is not in COCO format: it has no annotations and no" in sentence()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": 12345}, "of image 12345 belongs to an image that the file does not list"),
        ({"category_id": 77}, "has the unknown category_id 77: correct it, or add the category"),
        ({"segmentation": [[1, 2, 3, 4]]}, "has a polygon of fewer than 3 points"),
        ({"bbox": [3, 3, 0, 9]}, "has the bbox [3, 3, 0, 9], which has no area"),
    ],
)
def test_annotation_that_cannot_be(
    changes: dict[str, Any], message: str, data: Path, sentence: Callable[..., str]
) -> None:
    change(data, lambda content: content["annotations"][3].update(changes))
    said = sentence()
    assert f"train.json: annotation {1 + 3} of image" in said
    assert message in said


def test_class_count_that_does_not_fit(sentence: Callable[..., str]) -> None:
    said = sentence("model.roi_heads.num_classes=3")
    assert "model.roi_heads.num_classes is 3, but" in said
    assert "has 5 categories (disc, box, triangle, …): set model.roi_heads.num_classes=5" in said


def test_a_class_that_only_the_test_set_has(
    data: Path, shapes: Path, sentence: Callable[..., str]
) -> None:
    content = json.loads((shapes / "annotations" / "instances_val.json").read_text())
    content["categories"].append({"id": 99, "name": "late"})
    (data / "val.json").write_text(json.dumps(content))
    val = f"data.val_json={data / 'val.json'}"
    for more in ([], ["--eval-only", "train.init_checkpoint=x.pth"]):
        said = sentence(val, *more)
        assert f"{data / 'val.json'} has a class that {data / 'train.json'} does not" in said
        assert "have, 'late' (it has 'disc', 'box', 'triangle', 'star', 'cross')" in said


def test_missing_image(data: Path, sentence: Callable[..., str]) -> None:
    sorted((data / "train").iterdir())[2].unlink()
    said = sentence()
    assert "1 of the 10 images of" in said
    assert sorted((data / "train").iterdir())[2].name not in said


@pytest.mark.parametrize("workers", [0, 1])
def test_truncated_image(workers: int, data: Path, sentence: Callable[..., str]) -> None:
    for path in (data / "train").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    said = sentence(f"dataloader.train.num_workers={workers}")
    assert f"the image file {data / 'train'}/" in said
    assert "it is truncated, protected or no image; copy it again" in said


def test_size_that_differs_from_the_file(data: Path, sentence: Callable[..., str]) -> None:
    for path in (data / "train").iterdir():
        with Image.open(path) as image:
            image.resize((40, 24)).save(path)
    said = sentence()
    assert "is 40 x 24 (width x height), but its record says" in said


def test_no_image_left_after_filtering(data: Path, sentence: Callable[..., str]) -> None:
    change(data, lambda content: content["annotations"].clear())
    assert "none of its images has an annotation that is not a crowd region" in sentence()
