"""Every case of ``tests/data/coco_cases``: what its README says must happen, happens."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detectron2.data import MetadataCatalog
from projects_ext.errors import UserError
from tests import coco_trial as trial
from tests.coco_trial import ROOT, Found
from tests.projects_ext.faults.runs import SHORT, end_of

CASES = ROOT / "tests" / "data" / "coco_cases"
EVERY_CASE = {folder.name for folder in CASES.iterdir() if folder.is_dir()}
GOOD = "good"
REMEDY = re.compile(r"data\.\w+=\w+")


def files(case: str) -> tuple[str, str]:
    """Json and image folder of ``CASE`` or ``CASE/FILE.json``."""
    path = CASES / case
    json_file = path if path.suffix == ".json" else path / "ann.json"
    subfolders = [json_file.parent / name for name in ("images", "data")]
    return str(json_file), str(next(filter(Path.is_dir, subfolders), json_file.parent))


def copied(case: str, folder: Path) -> str:
    """A copy of the case: what is said of a data set is said once."""
    name, _, json_file = case.partition("/")
    copy = shutil.copytree(CASES / name, folder / name)
    return str(copy / json_file) if json_file else str(copy)


def configured(case: str, part: str, *overrides: str) -> Any:
    """The case as training or as validation set; the other one is good."""
    train, val = (case, GOOD) if part == "train" else (GOOD, case)
    return trial.config(files(train), files(val), overrides)


def go_through(cfg: Any) -> dict[str, float]:
    """All steps; the metrics of answers equal to the training set's own objects."""
    return trial.evaluate(cfg, trial.training_images(cfg))


NO_MASK = r"of {} objects have no mask .*data\.masks=False .*MODEL\.MASK_ON False"

# Case, parts of the data that it is used as, and what the sentence says besides the file's name.
REFUSED = [
    ("supervision_0.31.2", "train val", "1 " + NO_MASK.format(4)),
    ("labelme2coco_0.2.6_rectangles", "train val", "2 " + NO_MASK.format(5)),
    ("label_studio_2.1.2/result.json", "train val", r"file_name is an absolute path.* strip the"),
    ("fiftyone_1.22.1", "train val", "1 " + NO_MASK.format(5)),
    ("pylabel_0.1.55", "train val", "3 " + NO_MASK.format(3)),
    ("empty_seg_val", "train val", "2 " + NO_MASK.format(3)),
    ("iscrowd_string_0", "train val", r'iscrowd "0" \(text\), and 2 more .*write 0 or 1'),
    ("duplicate_annotation_ids", "train val", "annotation 1 of .*id that is not its own, and 1 mo"),
    ("category_id_string", "train val", r'category_id "1" \(text\).*and 2 more.*without quotes'),
    ("image_id_string", "train val", r'image_id "1" \(text\).*and 2 more.*without quotes'),
    ("string_sizes", "train val", r'width "160" \(text\), and 1 more.*without quotes'),
    ("absolute_file_name", "train val", r"folder of the images is not used; strip the path .*img0"),
    ("backslash_file_name", "train val", r"has backslashes.*write img0\.jpg"),
    ("zero_area_polygon", "train val", r"mask without any area.*data\.skip_invalid=True"),
    ("short_polygon", "train val", r"fewer than 3 points.*data\.skip_invalid=True"),
    ("nested_points", "train val", r"points are nested as \[x, y\].*one flat list"),
]

# Accepted, with a warning that says so.
WARNED = [
    (
        "supervision_0.31.2/masks_only.json",
        "train val",
        r"2 of 3 .*iscrowd=1.*dog: all 2.*_objects",
    ),
    ("ignore_1", "train val", r"1 objects? .* ignore=1 .*crowd"),
    ("bbox_beyond_image", "train val", r"annotation 3 .*\[10, 10, 500, 500\].*outside its image"),
    ("bbox_not_of_mask", "train val", r"annotation 3 .*\[0, 0, 1, 1\].*(far from|not .*) its mask"),
    ("normalized_coordinates", "train val", r"annotation 3 .*normalized"),
]

# Accepted; there is nothing to say.
SILENT = [
    ("good", "train val"),
    ("rle_list_noncrowd", "train val"),
    ("rle_str_noncrowd", "train val"),
    ("no_annotation_ids", "train val"),
    ("null_size_val", "val"),
    ("val_classes_swapped", "train val"),
    ("labelme2coco_0.2.6_order/train.json", "train val"),
    ("labelme2coco_0.2.6_order/val.json", "train val"),
]

# With tests of their own: below, and in test_image_files.py.
OTHERS = {"label_studio_exif", "duplicate_category_names", "deep_images"}


def by_part(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Case, part and the rest."""
    return [(case, part, *rest) for case, parts, *rest in rows for part in parts.split()]


def test_every_case_has_a_row() -> None:
    named = {row[0].partition("/")[0] for row in (*REFUSED, *WARNED, *SILENT)}
    assert named | OTHERS == EVERY_CASE


@pytest.mark.parametrize(("case", "part", "message"), by_part(REFUSED))
def test_refused_in_one_sentence_before_training(case: str, part: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        trial.register(configured(case, part))
    assert files(case)[0] in str(error.value)
    assert "\n" not in str(error.value)
    for remedy in REMEDY.findall(str(error.value)):
        cfg = configured(case, part, remedy)
        trial.register(cfg)
        metrics = go_through(cfg)
        assert ("segm/AP" in metrics) == (remedy != "data.masks=False")


@pytest.mark.parametrize(("case", "part", "message"), by_part(WARNED))
def test_accepted_with_one_warning_before_training(
    case: str, part: str, message: str, tmp_path: Path
) -> None:
    case = copied(case, tmp_path)
    cfg = configured(case, part)
    with trial.warnings_said() as said:
        trial.register(cfg)
    assert len([text for text in said if re.search(message, text)]) == 1, said
    assert all(files(case)[0] in text for text in said)
    go_through(cfg)


@pytest.mark.parametrize(("case", "part"), by_part(SILENT))
def test_accepted(case: str, part: str, tmp_path: Path) -> None:
    cfg = configured(copied(case, tmp_path), part)
    with trial.warnings_said() as said:
        metrics = go_through(cfg)
    assert said == []
    assert {"bbox/AP", "segm/AP", "segm/AP-cat", "segm/AP-dog"} <= metrics.keys()


@pytest.mark.parametrize(
    ("case", "count"),
    [("good", 3), ("rle_list_noncrowd", 3), ("rle_str_noncrowd", 3), ("no_annotation_ids", 3)],
)
def test_every_object_is_trained_on(case: str, count: int) -> None:
    images = trial.training_images(configured(case, "train"))
    found = [found for objects in images.values() for found in objects]
    assert len(found) == count
    areas = [int(obj.mask.sum()) for obj in found if obj.mask is not None]
    assert len(areas) == count
    assert min(areas) > 1000


def test_a_hole_of_an_rle_stays_one() -> None:
    images = trial.training_images(configured("rle_str_noncrowd", "train"))
    (hole,) = images["img1.jpg"]
    assert hole.mask is not None
    assert int(hole.mask.sum()) == 2160


def test_crowds_become_objects_by_the_option_of_the_warning() -> None:
    case = "supervision_0.31.2/masks_only.json"
    objects = trial.training_images(configured(case, "train"))["img0.jpg"]
    assert [found.name for found in objects] == ["cat"]
    cfg = configured(case, "train", "data.iscrowd_as_objects=True")
    with trial.warnings_said() as said:
        objects = trial.training_images(cfg)["img0.jpg"]
    assert sorted(found.name for found in objects) == ["cat", "dog", "dog"]
    assert said == []


SWAPPED = [
    ("good", "val_classes_swapped"),
    ("labelme2coco_0.2.6_order/train.json", "labelme2coco_0.2.6_order/val.json"),
]


@pytest.mark.parametrize(("train", "val"), SWAPPED)
def test_the_order_of_the_classes_does_not_matter(train: str, val: str) -> None:
    """AP of a validation file in another order is that of one in the training file's."""
    same = trial.config(files(train), files(train))
    other = trial.config(files(train), files(val))
    answers = trial.shifted(trial.training_images(same), "dog", 9)
    expected, found = trial.evaluate(same, answers), trial.evaluate(other, answers)
    assert expected["bbox/AP-cat"] > expected["bbox/AP-dog"] + 20
    assert expected["segm/AP-cat"] > expected["segm/AP-dog"] + 20
    assert trial.same_metrics(found, expected)


def test_names_that_two_categories_share(tmp_path: Path) -> None:
    case = copied("duplicate_category_names", tmp_path)
    cfg = trial.config(files(case), files(case))
    with trial.warnings_said() as said:
        train, _ = trial.register(cfg)
    assert any(re.search(r"several categories are named cat", text) for text in said)
    assert MetadataCatalog.get(train).thing_classes == ["cat", "cat (id 2)"]
    answers = trial.shifted(trial.training_images(cfg), "cat (id 2)", 9)
    metrics = trial.evaluate(cfg, answers)
    assert metrics["bbox/AP-cat"] > metrics["bbox/AP-cat (id 2)"] + 20


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("remedy", ["data.masks=False", "data.skip_invalid=True"])
def test_the_advice_on_a_turned_image_keeps_polygons_right(part: str, remedy: str) -> None:
    with pytest.raises(UserError, match=r"120 x 160 .* says 160 x 120: .*EXIF") as error:
        go_through(configured("label_studio_exif", part, remedy))
    assert re.search("export .*again", str(error.value))
    assert re.search("scale the polygons", str(error.value))


def change(case: str, folder: Path, how: Callable[[dict[str, Any]], object]) -> tuple[str, str]:
    """The case's json, changed as its refusal says."""
    json_file, images = files(case)
    content = json.loads(Path(json_file).read_text())
    how(content)
    (folder / "changed.json").write_text(json.dumps(content))
    return str(folder / "changed.json"), images


def strip_path(content: dict[str, Any]) -> None:
    for image in content["images"]:
        image["file_name"] = re.split(r"[\\/]", image["file_name"])[-1].removeprefix("abc123-")


@pytest.mark.parametrize("case", ["absolute_file_name", "backslash_file_name"])
def test_stripping_the_path_helps(case: str, tmp_path: Path) -> None:
    cfg = trial.config(change(case, tmp_path, strip_path), files(GOOD))
    assert go_through(cfg)["bbox/AP"] == pytest.approx(100)


def test_an_image_of_unknown_size_is_read_for_it(tmp_path: Path) -> None:
    pair = change("label_studio_2.1.2/result_empty.json", tmp_path, strip_path)
    for train, val in ((pair, files(GOOD)), (files(GOOD), pair)):
        metrics = go_through(trial.config(train, val))
        assert metrics["bbox/AP-cat"] > 50


def test_label_studio_without_paths_lacks_masks(tmp_path: Path) -> None:
    pair = change("label_studio_2.1.2/result.json", tmp_path, strip_path)
    with pytest.raises(UserError, match="2 " + NO_MASK.format(3)):
        trial.register(trial.config(pair, files(GOOD)))


def test_what_is_left_out_is_left_out_in_evaluation() -> None:
    cfg = configured("short_polygon", "val", "data.skip_invalid=True")
    answers = trial.training_images(cfg)
    answers["img1.jpg"] = []
    metrics = trial.evaluate(cfg, answers)
    assert metrics["bbox/AP"] == pytest.approx(100)
    assert metrics["segm/AP"] == pytest.approx(100)


def test_ignored_objects_count_as_crowd() -> None:
    cfg = configured("ignore_1", "val")
    answers = trial.training_images(cfg)
    without = {**answers, "img1.jpg": list[Found]()}
    assert trial.evaluate(cfg, without)["bbox/AP"] == pytest.approx(100)
    assert trial.evaluate(cfg, answers)["bbox/AP"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("case", "keys"),
    [
        ("empty_seg_val", ["data.masks=False"]),
        ("rle_list_noncrowd", []),
        ("short_polygon", ["data.skip_invalid=True"]),
    ],
)
def test_a_run_from_the_command_line(
    case: str, keys: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    json_file, images = files(case)
    data = [f"data.{part}_json={json_file}" for part in ("train", "val")]
    data += [f"data.{part}_images={images}" for part in ("train", "val")]
    short = ["train.max_iter=2", "train.eval_period=2", f"train.output_dir={tmp_path}"]
    command = ["--config-file", trial.CONFIG, *data, *SHORT, *short, *keys]
    code, stderr = end_of(command, monkeypatch)
    assert code == 0, stderr
    last = json.loads((tmp_path / "metrics.json").read_text().splitlines()[-1])
    assert "bbox/AP" in last
    assert ("segm/AP" in last) == (keys != ["data.masks=False"])
    assert (tmp_path / "model_best.pth").is_file()
