"""PASCAL VOC: loading and evaluation of a small made data set; figures are upstream's answers."""

import numpy as np
import pytest
import torch

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_voc_instances, register_pascal_voc
from detectron2.data.datasets.pascal_voc import CLASS_NAMES
from detectron2.evaluation import PascalVOCDetectionEvaluator
from detectron2.evaluation.pascal_voc_evaluation import parse_rec, voc_ap, voc_eval
from detectron2.structures import Boxes, BoxMode, Instances

CLASSES = ("cat", "dog", "owl")
FIGURES = {
    "test_voc_2007": {
        "AP": 19.80019342495201,
        "AP50": 38.02649223288168,
        "AP75": 20.486998381735223,
    },
    "test_voc_2012": {
        "AP": 20.272310646237138,
        "AP50": 38.13558194178546,
        "AP75": 21.398117801626572,
    },
}
OBJECT = """<object><name>{0}</name><pose>Left</pose><truncated>0</truncated>
<difficult>{1}</difficult><bndbox><xmin>{2}</xmin><ymin>{3}</ymin><xmax>{4}</xmax>
<ymax>{5}</ymax></bndbox></object>"""


def objects_of(random: np.random.RandomState) -> list[tuple]:
    """(class, difficult, corners); there is no owl."""
    found = []
    for _ in range(random.randint(1, 6)):
        x0, y0 = random.randint(1, 60, size=2)
        width, height = random.randint(5, 40, size=2)
        name, difficult = CLASSES[random.randint(2)], int(random.rand() < 0.2)
        found.append((name, difficult, x0, y0, x0 + width, y0 + height))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("VOC2007")
    for name in ("Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    random = np.random.RandomState(3)
    for index in range(12):
        body = "".join(OBJECT.format(*x) for x in objects_of(random))
        size = "<size><width>100</width><height>90</height><depth>3</depth></size>"
        text = f"<annotation>{size}{body}</annotation>"
        (root / f"Annotations/im_{index}.xml").write_text(text)
    names = "".join(f"im_{index}\n" for index in range(12))
    (root / "ImageSets/Main/val.txt").write_text(names)
    return root


@pytest.fixture(params=[2007, 2012])
def data_set(folder, request):
    name = f"test_voc_{request.param}"
    register_pascal_voc(name, str(folder), "val", request.param, CLASSES)
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def predictions_for(record: dict, random: np.random.RandomState) -> Instances:
    """Each object once or twice, moved a little, and a few boxes anywhere."""
    boxes, classes = [], []
    for annotation in record["annotations"]:
        for _ in range(random.randint(1, 3)):
            boxes.append(np.array(annotation["bbox"]) + random.uniform(-3, 3, size=4))
            classes.append(annotation["category_id"])
    for _ in range(2):
        corner = random.uniform(0, 50, size=2)
        boxes.append(np.concatenate([corner, corner + random.uniform(5, 40, size=2)]))
        classes.append(random.randint(2))
    return Instances(
        (90, 100),
        pred_boxes=Boxes(torch.tensor(np.array(boxes), dtype=torch.float32)),
        scores=torch.from_numpy(random.rand(len(boxes))),
        pred_classes=torch.tensor(classes),
    )


def test_loading(folder):
    records = load_voc_instances(str(folder), "val", CLASSES)
    assert len(records) == 12
    first = records[0]
    assert (first["image_id"], first["height"], first["width"]) == ("im_0", 90, 100)
    assert first["file_name"] == str(folder / "JPEGImages/im_0.jpg")
    raw = parse_rec(str(folder / "Annotations/im_0.xml"))
    assert len(first["annotations"]) == len(raw) > 0
    for annotation, entry in zip(first["annotations"], raw, strict=True):
        x0, y0, x1, y1 = entry["bbox"]
        assert annotation["bbox"] == [x0 - 1, y0 - 1, x1, y1]
        assert annotation["bbox_mode"] == BoxMode.XYXY_ABS
        assert CLASSES[annotation["category_id"]] == entry["name"]


@pytest.mark.core_only("bad files end in a sentence that names the file")
def test_bad_files_are_named(tmp_path):
    for name in ("Annotations", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "ImageSets/Main/val.txt").write_text("a\n")
    size = "<size><width>9</width><height>9</height></size>"
    for text, message in (
        ("<annotation>", "a.xml' is not valid XML"),
        ("<annotation/>", "a.xml': a <annotation> has no <size/height>"),
        (f"<annotation>{size}<object><name>yak</name></object></annotation>", "class 'yak'"),
    ):
        (tmp_path / "Annotations/a.xml").write_text(text)
        with pytest.raises(ValueError, match=message):
            load_voc_instances(str(tmp_path), "val", CLASSES)


def test_builtin():
    expected = {"voc_2007_trainval", "voc_2007_test", "voc_2012_trainval", "voc_2012_val"}
    assert expected <= set(DatasetCatalog.list())
    meta = MetadataCatalog.get("voc_2012_train")
    assert (meta.evaluator_type, meta.year, meta.split) == ("pascal_voc", 2012, "train")
    assert meta.dirname.endswith("VOC2012")
    assert meta.thing_classes == list(CLASS_NAMES)
    assert len(set(CLASS_NAMES)) == 20
    assert list(CLASS_NAMES) == sorted(CLASS_NAMES)


def test_evaluation(data_set, folder, tmp_path):
    evaluator = PascalVOCDetectionEvaluator(data_set)
    evaluator.reset()
    random = np.random.RandomState(8)
    for record in DatasetCatalog.get(data_set):
        evaluator.process([record], [{"instances": predictions_for(record, random)}])
    figures = evaluator.evaluate()["bbox"]
    assert figures == pytest.approx(FIGURES[data_set], abs=1e-9)
    (tmp_path / "cat.txt").write_text("\n".join(evaluator._predictions[0]))
    recall, precision, ap = voc_eval(
        str(tmp_path / "{}.txt"), str(folder / "Annotations/{}.xml"),
        str(folder / "ImageSets/Main/val.txt"), "cat", 0.7, data_set.endswith("2007"),
    )  # fmt: skip
    assert len(recall) == 43
    assert recall.sum() == pytest.approx(22.0555555556)
    assert precision.sum() == pytest.approx(16.4822966833)
    assert ap == pytest.approx({"7": 0.43382213970, "2": 0.45077996549}[data_set[-1]])


def test_average_precision_of_a_curve():
    recall, precision = np.array([0.25, 0.25, 0.5, 0.75]), np.array([1.0, 0.5, 0.6, 0.75])
    assert voc_ap(recall, precision) == pytest.approx(0.25 + 0.5 * 0.75)
    assert voc_ap(recall, precision, True) == pytest.approx((3 * 1.0 + 5 * 0.75) / 11)
    assert voc_ap(np.zeros(0), np.zeros(0)) == 0


def test_nothing_was_predicted(data_set):
    evaluator = PascalVOCDetectionEvaluator(data_set)
    evaluator.reset()
    assert evaluator.evaluate()["bbox"] == {"AP": 0, "AP50": 0, "AP75": 0}


def test_other_years_are_refused(folder):
    name = "test_voc_2010"
    register_pascal_voc(name, str(folder), "val", 2010, CLASSES)
    with pytest.raises(AssertionError, match="2010"):
        PascalVOCDetectionEvaluator(name)
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)
