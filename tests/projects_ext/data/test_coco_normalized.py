"""COCO-format files in which something has to change: training and evaluation see the same."""

import copy
import errno
import json
import logging
import math
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, Instances
from projects_ext.data import (
    build_train_loader,
    count_categories,
    register_coco_format,
    require_safe_data,
    require_same_classes,
)
from projects_ext.errors import UserError

Content = dict[str, Any]
CLASSES = ("cat", "dog", "owl")


def coco() -> Content:
    """Four images of 40 x 30 pixels with a cat, a dog and an owl each, of different sizes."""
    annotations = []
    for image in range(1, 5):
        for category in (1, 2, 3):
            x, y, size = 10 * category - 8, 2 * image, 4 + category
            polygon = [x, y, x + size, y, x + size, y + size, x, y + size]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": category,
                    "segmentation": [polygon],
                    "bbox": [x, y, size, size],
                    "area": size**2,
                    "iscrowd": 0,
                }
            )
    return {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in range(1, 5)
        ],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)],
    }


def renumbered(content: Content, order: tuple[int, ...]) -> Content:
    """The same data with other category ids: ``order`` has the new id of each class."""
    content = copy.deepcopy(content)
    for entry in content["categories"]:
        entry["id"] = order[entry["id"] - 1]
    for entry in content["annotations"]:
        entry["category_id"] = order[entry["category_id"] - 1]
    return content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(1, 5):
        Image.new("RGB", (40, 30)).save(tmp_path / f"{number}.png")
    return tmp_path


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    logger = logging.getLogger("detectron2.projects_ext")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def written(folder: Path, content: Content, name: str = "train.json") -> str:
    (folder / name).write_text(json.dumps(content))
    return str(folder / name)


def json_of(name: str) -> Content:
    return json.loads(Path(MetadataCatalog.get(name).json_file).read_text())


def evaluated(name: str, truth: Content) -> dict[str, Any]:
    """Metrics of answers to ``truth`` in the model's order of classes, better for later ones."""
    class_of = {c["id"]: CLASSES.index(c["name"]) for c in truth["categories"]}
    DatasetCatalog.get(name)
    evaluator = COCOEvaluator(name, tasks=("bbox", "segm"), distributed=False)
    evaluator.reset()
    for image in truth["images"]:
        objects = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        found = Instances((image["height"], image["width"]))
        classes = [class_of[a["category_id"]] for a in objects]
        boxes = torch.tensor([a["bbox"] for a in objects], dtype=torch.float32)
        boxes[:, 2:] += boxes[:, :2]
        # Of the three classes the first is far off, the second by a pixel.
        shift = torch.tensor([(9.0, 1.0, 0.0)[c] for c in classes])
        boxes[:, 0] += shift
        masks = torch.zeros(len(objects), image["height"], image["width"], dtype=torch.bool)
        for mask, (x0, y0, x1, y1) in zip(masks, boxes.int().tolist(), strict=True):
            mask[y0:y1, x0:x1] = True
        found.pred_boxes, found.pred_masks = Boxes(boxes), masks
        found.pred_classes = torch.tensor(classes)
        found.scores = torch.linspace(0.9, 0.5, len(objects))
        evaluator.process([{"image_id": image["id"]}], [{"instances": found}])
    results = evaluator.evaluate()
    # NaN differs from itself.
    return {
        task: {key: None if math.isnan(value) else value for key, value in metrics.items()}
        for task, metrics in results.items()
    }


@pytest.mark.parametrize("order", [(2, 1, 3), (3, 1, 2), (30, 20, 10)])
def test_classes_in_another_order_give_the_same_metrics(
    order: tuple[int, ...], folder: Path
) -> None:
    train, other = coco(), renumbered(coco(), order)
    train_json = written(folder, train)
    expected = evaluated(
        register_coco_format(written(folder, train, "val.json"), str(folder)), train
    )
    name = register_coco_format(
        written(folder, other, "other.json"), str(folder), train_json=train_json
    )
    assert MetadataCatalog.get(name).thing_classes == list(CLASSES)
    assert evaluated(name, other) == expected
    figures = [expected["bbox"][f"AP-{name}"] for name in CLASSES]
    assert figures == sorted(figures)
    assert figures[0] < figures[1] < figures[2] == pytest.approx(100)
    # Had they been compared by position, the metrics would differ.
    by_position = register_coco_format(str(folder / "other.json"), str(folder))
    assert evaluated(by_position, other) != expected


def test_a_file_that_lacks_a_class_has_the_others_in_their_places(folder: Path) -> None:
    train_json, val = written(folder, coco()), coco()
    val["categories"] = val["categories"][1:]
    val["annotations"] = [a for a in val["annotations"] if a["category_id"] > 1]
    name = register_coco_format(
        written(folder, val, "val.json"), str(folder), train_json=train_json
    )
    metrics = evaluated(name, val)
    assert metrics["bbox"]["AP-cat"] is None
    assert metrics["bbox"]["AP-owl"] == pytest.approx(100)
    assert {a["category_id"] for r in DatasetCatalog.get(name) for a in r["annotations"]} == {1, 2}


def test_a_class_that_was_not_trained_is_refused(folder: Path) -> None:
    train_json, val = written(folder, coco()), coco()
    val["categories"][1]["name"] = "wolf"
    with pytest.raises(
        UserError, match=r"val\.json has a class that .*train\.json .* have, 'wolf'"
    ):
        register_coco_format(written(folder, val, "val.json"), str(folder), train_json=train_json)


def test_data_sets_registered_otherwise_must_agree_in_their_order() -> None:
    for name, classes in (("agree_a", ["x", "y"]), ("agree_b", ["x", "y"]), ("not", ["y", "x"])):
        MetadataCatalog.get(f"test_same_{name}").set(thing_classes=classes)
    require_same_classes(["test_same_agree_a", "test_same_unknown"], ["test_same_agree_b"])
    with pytest.raises(UserError, match="test_same_not has y as class 0, and test_same_agree_a x"):
        require_same_classes(["test_same_agree_a"], ["test_same_not"])
    MetadataCatalog.get("test_same_labels").set(stuff_classes=["y"], evaluator_type="sem_seg")
    require_same_classes(["test_same_agree_a"], ["test_same_labels"])


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [30, 40], "counts": [0, 1199]}, "counts do not fill its image exactly"),
        ({"size": [40, 30], "counts": [0, 1200]}, "RLE of a size that is not its image's"),
        ([[1, 1, 9, 1, 9, "9"]], "something other than numbers in it"),
        ([[1, 1, 9, 1, 9, 99]], "is not finite, or farther outside its image"),
    ],
)
def test_masks_of_data_sets_registered_otherwise_are_guarded(
    segmentation: Any, message: str, folder: Path
) -> None:
    file = written(folder, _with(segmentation=segmentation))
    name = f"test_guarded {file}"
    register_coco_instances(name, {}, file, str(folder))
    with pytest.raises(UserError, match=f"train.json: annotation 2 of image 1 .*{message}"):
        require_safe_data([name])
    good = f"test_good {file}"
    register_coco_instances(good, {}, written(folder, coco(), "good.json"), str(folder))
    require_safe_data([good, "test_not_there"])


def test_files_are_joined_by_the_names_of_their_classes(folder: Path) -> None:
    more = folder / "more"
    more.mkdir()
    for number in range(1, 5):
        Image.new("RGB", (40, 30)).save(more / f"{number}.png")
    files = [
        written(folder, coco(), "a.json"),
        written(folder, renumbered(coco(), (3, 1, 2)), "b.json"),
    ]
    name = register_coco_format(files, [str(folder), str(more)])
    records = DatasetCatalog.get(name)
    assert [Path(record["file_name"]).parent for record in records] == [folder] * 4 + [more] * 4
    assert len({record["image_id"] for record in records}) == 8
    assert all(Path(record["file_name"]).is_file() for record in records)
    places = [{a["category_id"]: a["bbox"] for a in record["annotations"]} for record in records]
    assert places[:4] == places[4:]
    ids = [a["id"] for a in json_of(name)["annotations"]]
    assert len(set(ids)) == len(ids) == 24
    assert count_categories(files) == 3
    assert len(DatasetCatalog.get(register_coco_format(files, str(folder)))) == 8


def test_a_full_folder_of_temporary_files_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    other = renumbered(coco(), (3, 1, 2))
    files = [written(folder, coco(), "a.json"), written(folder, other, "b.json")]
    monkeypatch.setattr(os, "fsync", full)
    message = r"the copy of .*a\.json .* cannot be written .*\(No space left .* bytes.*TMPDIR"
    with pytest.raises(UserError, match=message):
        register_coco_format(files, str(folder))


def test_files_with_other_classes_cannot_be_joined(folder: Path) -> None:
    other = coco()
    other["categories"][0]["name"] = "lion"
    files = [written(folder, coco(), "a.json"), written(folder, other, "b.json")]
    with pytest.raises(UserError, match=r"cannot be joined: only one of .* classes cat, lion"):
        register_coco_format(files, str(folder))
    with pytest.raises(UserError, match="2 annotation files and 3 folders"):
        register_coco_format(files, [str(folder)] * 3)
    with pytest.raises(UserError, match="3 is no path"):
        register_coco_format(3, str(folder))  # type: ignore[arg-type]


def test_a_good_file_is_registered_as_it_is(folder: Path, log: Any) -> None:
    file = written(folder, coco())
    name = register_coco_format(file, str(folder))
    assert MetadataCatalog.get(name).json_file == file
    assert register_coco_format(file, str(folder), train_json=file) == name
    assert not log.records
    content = coco()
    content["annotations"].pop()
    written(folder, content)
    assert register_coco_format(file, str(folder)) != name


def test_crowds_are_counted_by_class_and_can_be_objects(folder: Path, log: Any) -> None:
    content = coco()
    for annotation in content["annotations"]:
        annotation["iscrowd"] = int(annotation["category_id"] == 2 or annotation["id"] == 1)
    file = written(folder, content)
    register_coco_format(file, str(folder))
    assert (
        "5 of 12 objects are marked iscrowd=1 and are not trained on, nor counted in evaluation; "
        "dog: all 4, cat: 1 of 4: if they are ordinary objects, add data.iscrowd_as_objects=True"
    ) in log.text
    assert "1 of 3 classes have no object to train on: dog" in log.text
    log.clear()
    name = register_coco_format(file, str(folder), iscrowd_as_objects=True)
    assert not log.records
    crowds = Counter(a["iscrowd"] for r in DatasetCatalog.get(name) for a in r["annotations"])
    assert crowds == {0: 12}
    assert evaluated(name, coco())["bbox"]["AP-owl"] == pytest.approx(100)


def _with(**values: Any) -> Content:
    """With these values in the second annotation; None takes a key away."""
    content = coco()
    for key, value in values.items():
        if value is None:
            content["annotations"][1].pop(key)
        else:
            content["annotations"][1][key] = value
    return content


@pytest.mark.parametrize(
    "content",
    [
        _with(id=None),
        _with(id=0),
        _with(area=None),
        _with(iscrowd=None),
        _with(iscrowd=0.0),
        _with(area=0),
        _with(area=1e30),
        {**coco(), "categories": [{**c, "id": float(c["id"])} for c in coco()["categories"]]},
        {**coco(), "images": [{**i, "width": 40.0} for i in coco()["images"]]},
        {**coco(), "images": [{**i, "width": None, "height": None} for i in coco()["images"]]},
    ],
)
def test_what_is_missing_is_filled_in_so_that_metrics_stay(content: Content, folder: Path) -> None:
    expected = evaluated(
        register_coco_format(written(folder, coco(), "good.json"), str(folder)), coco()
    )
    name = register_coco_format(written(folder, content), str(folder))
    assert evaluated(name, coco()) == expected
    assert [(r["width"], r["height"]) for r in DatasetCatalog.get(name)] == [(40, 30)] * 4


def test_a_missing_size_is_that_of_the_turned_image(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 40)).save(folder / "1.png", exif=exif)
    content = coco()
    content["images"][0].update(width=None, height=None)
    name = register_coco_format(written(folder, content), str(folder))
    record = DatasetCatalog.get(name)[0]
    assert (record["width"], record["height"]) == (40, 30)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_are_read(encoding: str, folder: Path) -> None:
    (folder / "bom.json").write_text(json.dumps(coco()), encoding=encoding)
    name = register_coco_format(str(folder / "bom.json"), str(folder))
    assert len(DatasetCatalog.get(name)) == 4


def test_names_become_text_and_stay_apart(folder: Path, log: Any) -> None:
    content = coco()
    content["categories"][0]["name"] = 7
    content["categories"][2]["name"] = "dog"
    name = register_coco_format(written(folder, content), str(folder))
    DatasetCatalog.get(name)
    assert MetadataCatalog.get(name).thing_classes == ["7", "dog", "dog (id 3)"]
    assert "several categories are named dog" in log.text
    truth = {**coco(), "categories": coco()["categories"]}
    assert {"AP-7", "AP-dog", "AP-dog (id 3)"} <= evaluated(name, truth)["bbox"].keys()


def test_ignored_objects_are_crowds(folder: Path, log: Any) -> None:
    name = register_coco_format(written(folder, _with(ignore=1)), str(folder))
    assert "1 object is marked ignore=1 and is taken as crowd (iscrowd=1)" in log.text
    assert sum(a["iscrowd"] for r in DatasetCatalog.get(name) for a in r["annotations"]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"segmentation": [[1, 1, 9, 1]]},
        {"segmentation": [[1, 1, 1, 1, 1, 1]]},
        {"segmentation": [[1, 1, 99, 1, 1, 9]]},
        {"segmentation": []},
        {"segmentation": {"size": [30, 40], "counts": [0, 1199]}},
        {"segmentation": {"size": [40, 30], "counts": [0, 1200]}},
        {"bbox": [1, 1, 0, 5]},
        {"bbox": [1, math.nan, 5, 5]},
    ],
)
def test_what_is_left_out_is_left_out_of_evaluation_too(
    wrong: dict[str, Any], folder: Path, log: Any
) -> None:
    file = written(folder, _with(**wrong))
    with pytest.raises(UserError, match=r"or add data\.skip_invalid=True"):
        register_coco_format(file, str(folder))
    name = register_coco_format(file, str(folder), skip_invalid=True)
    assert "annotation 2 of image 1" in log.text
    rest = coco()
    del rest["annotations"][1]
    expected = register_coco_format(written(folder, rest, "rest.json"), str(folder))
    assert evaluated(name, rest) == evaluated(expected, rest)
    assert DatasetCatalog.get(name) == DatasetCatalog.get(expected)


def test_only_the_wrong_polygon_of_an_object_is_left_out(folder: Path) -> None:
    content = coco()
    content["annotations"][1]["segmentation"].append([1, 1, 9, 1])
    name = register_coco_format(written(folder, content), str(folder), skip_invalid=True)
    assert json_of(name)["annotations"] == coco()["annotations"]


def test_a_single_crowd_is_said_in_the_singular(
    folder: Path, project_log: pytest.LogCaptureFixture
) -> None:
    content = coco()
    content["annotations"][0]["iscrowd"] = 1
    register_coco_format(written(folder, content), str(folder))
    said = " ".join(project_log.messages)
    assert "1 of 12 objects is marked iscrowd=1 and is not trained on" in said
    assert "if it is an ordinary object, add data.iscrowd_as_objects=True" in said


@pytest.mark.parametrize("segmentation", [[], None, "missing"])
def test_objects_without_masks_leave_boxes(segmentation: Any, folder: Path) -> None:
    content = coco()
    for annotation in content["annotations"][:5]:
        annotation["segmentation"] = segmentation
        if segmentation == "missing":
            del annotation["segmentation"]
    file = written(folder, content)
    message = r"5 of 12 objects have no mask .*boxes only with data\.masks=False"
    with pytest.raises(UserError, match=message):
        register_coco_format(file, str(folder))
    with pytest.raises(UserError, match=r"mask_rcnn_coco_format\.py data\.masks=False"):
        register_coco_format(file, str(folder), masks_required=True)
    with pytest.raises(UserError, match="the model needs masks, and data.masks=False takes"):
        register_coco_format(file, str(folder), masks=False, masks_required=True)
    name = register_coco_format(file, str(folder), masks=False)
    boxes = [a["bbox"] for r in DatasetCatalog.get(name) for a in r["annotations"]]
    assert boxes == [a["bbox"] for a in coco()["annotations"]]


def rle(mask: np.ndarray, compressed: bool) -> dict[str, Any]:
    from pycocotools import mask as mask_util

    encoded = mask_util.encode(np.asfortranarray(mask, dtype=np.uint8))
    if compressed:
        return {"size": list(mask.shape), "counts": encoded["counts"].decode()}
    flat = mask.T.ravel().astype(int)
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *ends, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}


@pytest.mark.parametrize("compressed", [True, False])
def test_run_lengths_are_trained_on_without_a_key(compressed: bool, folder: Path) -> None:
    content = coco()
    mask = np.zeros((30, 40), dtype=bool)
    mask[2:7, 2:7] = True
    content["annotations"][0]["segmentation"] = rle(mask, compressed)
    name = register_coco_format(written(folder, content), str(folder))
    mapper = DatasetMapper(True, augmentations=[], image_format="RGB", use_instance_mask=True)
    loader = build_train_loader(DatasetCatalog.get(name), mapper=mapper, total_batch_size=4, seed=1)
    batch = next(iter(loader))
    first = next(sample for sample in batch if sample["image_id"] == 1)["instances"]
    assert len(first) == 3
    assert torch.equal(first.gt_masks.tensor[0], torch.from_numpy(mask))
    assert mapper.instance_mask_format == "polygon"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [12, 2, 60, 6]}, "which ends outside its image"),
        (
            {"bbox": [0.2, 0.1, 0.3, 0.3], "segmentation": [[0.2, 0.1, 0.5, 0.1, 0.5, 0.4]]},
            "which looks normalized to 0 … 1",
        ),
        ({"bbox": [0, 0, 1, 1]}, "which is not the one around its mask"),
        ({"bbox": [30, 20, 6, 6]}, "which is not the one around its mask"),
        ({"segmentation": [[12, 2, 43, 2, 18, 8, 12, 8]]}, "mask that ends outside its image"),
        ({"area": 0}, "which its object cannot have: it is computed instead"),
    ],
)
def test_what_changes_results_is_said(
    change: dict[str, Any], message: str, folder: Path, log: Any
) -> None:
    register_coco_format(written(folder, _with(**change)), str(folder))
    assert "annotation 2 of image 1 (1.png) has " in log.text
    assert message in log.text


def test_a_file_is_not_joined_with_itself(folder: Path) -> None:
    file = written(folder, coco(), "a.json")
    again = folder / "again.json"
    again.symlink_to(file)
    with pytest.raises(UserError, match=r"a\.json is the same file, given twice to be joined"):
        register_coco_format([file, file], str(folder))
    with pytest.raises(UserError, match=r"a\.json and .*again\.json are the same file"):
        register_coco_format([file, str(again)], [str(folder), f"{folder}/."])
    other = folder / "other"  # e.g. of the same images in another light
    shutil.copytree(folder, other)
    name = register_coco_format([file, file], [str(folder), str(other)])
    assert len(DatasetCatalog.get(name)) == 8


@pytest.mark.parametrize("first", [0, 2])
def test_boxes_as_corners_are_named_so(first: int, folder: Path, log: Any) -> None:
    """Those of cats stay inside their images, those of owls do not."""
    content = coco()
    content["annotations"] = content["annotations"][first::3]
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["bbox"] = [x, y, x + width, y + height]
    register_coco_format(written(folder, content), str(folder))
    assert "more like it: most look like corners (x1, y1, x2, y2)" in log.text


def test_corners_that_hide_in_much_of_the_same_area_are_named_so(folder: Path, log: Any) -> None:
    """Near the upper left, corners read as x, y, width and height still overlap the mask's box."""
    content = coco()
    content["annotations"] = content["annotations"][::3]
    for annotation in content["annotations"]:
        annotation["segmentation"] = [[3, 3, 20, 3, 20, 15, 3, 15]]
        annotation["bbox"] = [3, 3, 17, 12]
    register_coco_format(written(folder, content), str(folder))
    assert "look like corners" not in log.text
    for annotation in content["annotations"]:
        annotation["bbox"] = [3, 3, 20, 15]
    register_coco_format(written(folder, content, "b.json"), str(folder))
    assert "which is not the one around its mask" in log.text
    assert "more like it: most look like corners (x1, y1, x2, y2)" in log.text


@pytest.mark.parametrize(
    ("file_name", "message"),
    [
        ("/data/1.png", "an absolute path, so the folder of the images is not used"),
        ("C:\\data\\1.png", "an absolute path, so the folder of the images is not used"),
        ("data\\1.png", r"has backslashes, .* write 1\.png in place of it \(that file is there\)"),
        ("data/1.png", r"has folders in front; write 1\.png in place of it \(that file is there\)"),
        (17, "has the file_name 17: write the name of its file"),
        ("", 'has the file_name "" .text.: write the name of its file'),
    ],
)
def test_file_names_that_lead_nowhere(file_name: Any, message: str, folder: Path) -> None:
    content = coco()
    content["images"][0]["file_name"] = file_name
    with pytest.raises(UserError, match=message):
        register_coco_format(written(folder, content), str(folder))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("category_id", "1", r'has the category_id "1" \(text\), which is not a whole number'),
        ("image_id", "1", r'has the image_id "1" \(text\), which is not a whole number'),
        ("image_id", [1], r"has the image_id \[1\], which is not a whole number"),
        ("category_id", True, r"category_id true \(a boolean\), which is not a whole number"),
        ("id", "2", r'has the id "2" \(text\), which is not a whole number: give each'),
        ("id", 1, "has an id that is not its own, and 1 more like it"),
        ("iscrowd", "0", r'has iscrowd "0" \(text\): write 0 or 1, without quotes'),
        ("iscrowd", 2, "has iscrowd 2: write 0 or 1"),
        ("ignore", "no", r'has ignore "no" \(text\): write 0 or 1'),
        ("area", math.nan, "has the area NaN: write the number of its pixels"),
        ("area", "25", r'has the area "25" \(text\)'),
        ("area", -1, "has the area -1:"),
        ("bbox", [True, 1, 5, 5], r"which is not four numbers"),
    ],
)
def test_values_of_the_wrong_kind_are_named(
    key: str, value: Any, message: str, folder: Path
) -> None:
    with pytest.raises(UserError, match=message):
        register_coco_format(written(folder, _with(**{key: value})), str(folder))


@pytest.mark.parametrize(
    ("entries", "key", "value", "message"),
    [
        ("images", "width", "40", r'image 1 \(1.png\) has the width "40" \(text\): write a pos'),
        ("images", "height", 0, "has the height 0: write a positive whole number"),
        ("images", "height", -3, "has the height -3: write a positive"),
        ("images", "height", 2.5, "has the height 2.5: write a positive"),
        ("images", "height", True, r"has the height true \(a boolean\)"),
        ("images", "width", 10**9, "is said to have 1000000000 x 30 pixels"),
        ("images", "id", "1", r'an entry of images has the id "1" \(text\): ids are whole'),
        ("categories", "id", None, "an entry of categories has the id null"),
        ("categories", "name", None, "category 1 has the name null: give it a name"),
        ("categories", "name", " ", 'category 1 has the name " "'),
    ],
)
def test_wrong_images_and_categories_are_named(
    entries: str, key: str, value: Any, message: str, folder: Path
) -> None:
    content = coco()
    content[entries][0][key] = value
    with pytest.raises(UserError, match=message):
        register_coco_format(written(folder, content), str(folder))
