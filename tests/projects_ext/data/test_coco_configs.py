"""The keys of data sets in COCO format, in both kinds of configs."""

import json
from pathlib import Path
from typing import Any

import pytest

from detectron2.data import DatasetCatalog, MetadataCatalog
from projects_ext.engine import load_config
from projects_ext.engine.main import trainer_for
from projects_ext.engine.settings import Settings
from projects_ext.errors import UserError
from tests.projects_ext.data.test_remedies import YAML
from tests.projects_ext.faults.runs import CONFIG, ROOT, end_of, short_run

CONDINST = str(ROOT / "configs" / "condinst" / "condinst_coco_format.py")


def sets_of(cfg: Any) -> tuple[str, str]:
    """The names of the training and of the test set."""
    trainer = trainer_for(cfg)
    (train,), (test,) = trainer.training_sets(cfg), trainer.test_sets(cfg)
    return train, test


@pytest.fixture
def data(shapes: Path, tmp_path: Path) -> dict[str, str]:
    """Annotation files next to the shapes data: with a class order of their own, partly crowds,
    and partly without masks.
    """
    content = json.loads((shapes / "annotations" / "instances_val.json").read_text())
    made = {}

    def write(name: str, changed: dict[str, Any]) -> None:
        made[name] = str(tmp_path / f"{name}.json")
        Path(made[name]).write_text(json.dumps(changed))

    last = max(category["id"] for category in content["categories"]) + 1
    turned = json.loads(json.dumps(content))
    for category in turned["categories"]:
        category["id"] = last - category["id"]
    for annotation in turned["annotations"]:
        annotation["category_id"] = last - annotation["category_id"]
    write("turned", turned)
    crowds = json.loads(json.dumps(content))
    crowds["annotations"][0]["iscrowd"] = 1
    write("crowds", crowds)
    for annotation in content["annotations"][1:]:
        annotation["segmentation"] = []
    write("boxes", content)
    return made


def test_both_routes_match_classes_and_join_files(
    data: dict[str, str], shapes: Path, shapes_overrides: list[str]
) -> None:
    train = str(shapes / "annotations" / "instances_train.json")
    folders = f"[{shapes / 'train'},{shapes / 'val'}]"
    files = f"[{train},{data['turned']}]"
    lazy = [f"data.train_json={files}", f"data.train_images={folders}"]
    lazy = load_config(CONFIG, [*shapes_overrides, *lazy, f"data.val_json={data['turned']}"])
    key = "DATASETS.COCO_FORMAT."
    listed = [f"{key}TRAIN_JSON", str(files[1:-1].split(",")), f"{key}TRAIN_IMAGES"]
    listed += [str(folders[1:-1].split(",")), f"{key}VAL_JSON", data["turned"]]
    yaml = load_config(YAML, [*listed, f"{key}VAL_IMAGES", str(shapes / "val")])
    assert sets_of(lazy) == sets_of(yaml)
    for name, count in zip(sets_of(lazy), (14, 4), strict=True):
        assert len(DatasetCatalog.get(name)) == count
        assert MetadataCatalog.get(name).thing_classes[0] == "disc"
    assert yaml.MODEL.ROI_HEADS.NUM_CLASSES == 5


def test_crowds_as_objects_in_both_routes(
    data: dict[str, str], shapes: Path, shapes_overrides: list[str], shapes_keys: list[str]
) -> None:
    key = "DATASETS.COCO_FORMAT."
    for as_objects in (True, False):
        lazy = [f"data.train_json={data['crowds']}", f"data.train_images={shapes / 'val'}"]
        lazy = [*shapes_overrides, *lazy, f"data.iscrowd_as_objects={as_objects}"]
        pairs = [f"{key}TRAIN_JSON", data["crowds"], f"{key}TRAIN_IMAGES", str(shapes / "val")]
        pairs += [f"{key}ISCROWD_AS_OBJECTS", str(as_objects)]
        train, _ = sets_of(load_config(CONFIG, lazy))
        assert sets_of(load_config(YAML, [*shapes_keys, *pairs]))[0] == train
        crowds = [a["iscrowd"] for r in DatasetCatalog.get(train) for a in r["annotations"]]
        assert sum(crowds) == int(not as_objects)


def test_boxes_only_trains_evaluates_and_runs_again_from_its_config(
    data: dict[str, str],
    shapes: Path,
    shapes_overrides: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boxes = [f"data.{part}_json={data['boxes']}" for part in ("train", "val")]
    boxes += [f"data.train_images={shapes / 'val'}"]
    output = tmp_path / "output"
    steps = ["train.max_iter=1", "train.eval_period=1"]
    command = short_run([*shapes_overrides, *boxes], output, *steps)
    code, said = end_of(command, monkeypatch)
    assert code == 1
    assert "objects have no mask (no segmentation)" in said
    assert "data.masks=False" in said
    code, said = end_of([*command, "data.masks=False"], monkeypatch)
    assert code == 0, said
    metrics = json.loads((output / "evaluation.json").read_text())["metrics"]
    assert list(metrics) == ["bbox"]
    assert (output / "model_best.pth").is_file()
    again = load_config(str(output / "config.yaml"), [])
    assert again.model.roi_heads.mask_in_features is None
    assert Settings.of(again).best_metric == "bbox/AP"
    assert sets_of(again)[0].startswith(data["boxes"])


def test_masks_switch_the_parts_of_the_config(shapes: Path, shapes_overrides: list[str]) -> None:
    for masks, metric in ((True, "segm/AP"), (False, "bbox/AP")):
        cfg = load_config(CONFIG, [*shapes_overrides, f"data.masks={masks}"])
        assert (cfg.model.roi_heads.mask_in_features is not None) == masks
        assert cfg.dataloader.train.mapper.use_instance_mask == masks
        assert Settings.of(cfg).best_metric == metric


def test_a_model_of_masks_alone_says_that_it_needs_them(shapes_overrides: list[str]) -> None:
    cfg = load_config(CONDINST, [*shapes_overrides, "data.masks=False"])
    with pytest.raises(UserError, match="the model needs masks, and data.masks=False takes them"):
        trainer_for(cfg).training_sets(cfg)


def test_yaml_follows_mask_on(data: dict[str, str], shapes_keys: list[str]) -> None:
    key = "DATASETS.COCO_FORMAT."
    pairs = [*shapes_keys, f"{key}VAL_JSON", data["boxes"]]
    with pytest.raises(UserError, match=r"boxes\.json: .* have no mask .*MODEL\.MASK_ON False"):
        load_config(YAML, pairs)
    cfg = load_config(YAML, [*pairs, "MODEL.MASK_ON", "False"])
    assert cfg.TEST.BEST_METRIC == "bbox/AP"
