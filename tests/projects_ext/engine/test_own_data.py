"""``data=PATH``: from a folder in any format to losses, and a config that needs nothing else."""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from detectron2.config import instantiate
from projects_ext import Predictor
from projects_ext.engine import load_config
from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.config_check import check_config
from projects_ext.engine.main import run
from projects_ext.engine.trainer import Trainer
from projects_ext.errors import UserError
from projects_ext.zoo import config_file
from tests.coco_trial import warnings_said
from tests.golden_files import DATA
from tests.own_copies import (
    Content,
    label_maps,
    outlined,
    write_coco,
    write_labelme,
    write_voc,
    write_yolo,
)

IMAGES = DATA / "coco" / "train2017"
WRITERS = {"coco": write_coco, "labelme": write_labelme, "yolo": write_yolo, "voc": write_voc}
MAPS = "labels_supercategory"
# A mask model that draws no samples: with these, a digit more or less would draw others.
MASKS, BOXES = "condinst/condinst_coco_format", "groie/faster_rcnn_r50_fpn_groie_1x"
TINY = [
    *("dataloader.train.num_workers=0", "dataloader.test.num_workers=0"),
    "dataloader.train.mapper.augmentations.0.short_edge_length=64",
    "dataloader.test.mapper.augmentations.0.short_edge_length=64",
    *("train.device=cpu", "train.seed=1", "train.log_period=1", "train.eval_period=0"),
]


@pytest.fixture(scope="module")
def content() -> Content:
    """Without the class of a single object in the file, to whose image nothing else belongs."""
    file = DATA / "coco" / "annotations" / "instances_train2017.json"
    return outlined(json.loads(file.read_text()))


@pytest.fixture(scope="module")
def copies(content: Content, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("copies")
    return {name: str(write(content, IMAGES, root / name)) for name, write in WRITERS.items()}


def load(name: str, *overrides: str) -> DictConfig:
    cfg = load_config(config_file(name), overrides)
    assert isinstance(cfg, DictConfig)
    return cfg


def train(config: str, data: str, output: Path, *more: str) -> list[dict[str, float]]:
    """The losses of each iteration."""
    words = [f"data={data}", f"data.val={data}", f"train.output_dir={output}", *TINY, *more]
    run(parse_arguments(["--config-file", config_file(config), *words]))
    lines = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    return [
        {k: v for k, v in line.items() if "loss" in k} for line in lines if "total_loss" in line
    ]


@pytest.fixture(scope="module")
def runs(
    copies: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, list[dict[str, float]]]]:
    root = tmp_path_factory.mktemp("runs")
    found = {}
    for name in ("coco", "labelme", "yolo"):
        losses = train(
            MASKS,
            copies[name],
            root / name,
            "train.max_iter=10",
            "dataloader.train.total_batch_size=2",
            "optimizer.lr=1e-7",  # a larger one turns the digits that YOLO lacks into chaos
        )
        found[name] = root / name, losses
    return found


def apart(first: Sequence[dict[str, float]], second: Sequence[dict[str, float]]) -> float:
    assert len(first) == len(second) == 10
    return max(abs(a[key] - b[key]) for a, b in zip(first, second, strict=True) for key in a)


def test_ten_iterations_give_the_same_losses(runs: dict[str, Any]) -> None:
    coco, labelme, yolo = (runs[name][1] for name in ("coco", "labelme", "yolo"))
    assert {"loss_mask", "loss_cls", "total_loss"} <= coco[0].keys()
    assert coco == labelme
    assert 0 < apart(coco, yolo) < 1e-4


def test_config_of_a_run_needs_nothing_else(
    runs: dict[str, Any], copies: dict[str, str], content: Content, tmp_path: Path
) -> None:
    folder, _ = runs["coco"]
    cfg = load_config(str(folder / "config.yaml"), [])
    names = [category["name"] for category in content["categories"]]
    assert cfg.data.source == [copies["coco"]]
    assert cfg.data.classes == cfg.train.classes == names
    assert cfg.model.num_classes == len(names)
    weights = f"train.init_checkpoint={folder / 'model_final.pth'}"
    words = ["--config-file", str(folder / "config.yaml"), "--eval-only", weights]
    run(parse_arguments([*words, f"train.output_dir={tmp_path}"]))
    again = json.loads((tmp_path / "evaluation.json").read_text())["metrics"]
    assert "bbox" in again
    predictor = Predictor(str(folder / "config.yaml"), confidence_threshold=0.0)
    assert list(predictor.class_names) == names
    assert len(predictor(str(next(IMAGES.glob("*86.jpg"))))) > 0


def test_weights_of_other_classes_start_what_does_not_fit_afresh(
    runs: dict[str, Any], content: Content, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = {**content, "categories": content["categories"][:1]}
    first = content["categories"][0]["id"]
    other["annotations"] = [a for a in content["annotations"] if a["category_id"] == first]
    folder = write_labelme(other, IMAGES, tmp_path / "data")
    weights = runs["coco"][0] / "model_final.pth"
    logging.getLogger("detectron2").propagate = True
    with caplog.at_level(logging.INFO):
        train(
            MASKS,
            str(folder),
            tmp_path / "run",
            f"train.init_checkpoint={weights}",
            "train.max_iter=1",
        )
    classes = len(content["categories"])
    text = " ".join((tmp_path / "run" / "log.txt").read_text().split())
    assert f"the file has {classes} classes, the model 1:" in text
    assert "head.cls_score" in text
    assert "start fresh" in text


EXPERIMENTS = {
    "groie/mask_rcnn_r50_fpn_groie_1x": 0.02,
    "gcnet/cascade_mask_rcnn_x101_32x4d_fpn_syncbn_gcb_r4_1x": 0.02,
    "condinst/condinst_r101_fpn_ms_3x_sem": 0.01,
    "carafe/mask_rcnn_r50_fpn_carafe_1x": 0.02,
    BOXES: 0.02,
    "grid_rcnn/grid_rcnn_r50_fpn_gn_2x": 0.02,
}


def class_counts(node: Any) -> set[int]:
    if isinstance(node, list):
        return set().union(*map(class_counts, node)) if node else set()
    if not isinstance(node, dict):
        return set()
    own = {node["num_classes"]} if "num_classes" in node else set()
    return own.union(*(class_counts(value) for value in node.values()))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_kind_of_experiment_takes_own_data(
    name: str, copies: dict[str, str], content: Content
) -> None:
    published = load(name)
    cfg = load(name, f"data={copies['labelme']}")
    check_config(cfg, training=True)
    assert class_counts(OmegaConf.to_container(cfg.model, resolve=True)) == {
        len(content["categories"])
    }
    assert cfg.optimizer.lr == pytest.approx(EXPERIMENTS[name] * 4 / 16)
    assert (cfg.dataloader.train.total_batch_size, cfg.train.max_iter) == (4, 500)
    assert cfg.train.reference_batch_size == 4
    assert cfg.lr_multiplier.warmup_length == pytest.approx(0.1)
    assert cfg.lr_multiplier.scheduler == published.lr_multiplier.scheduler
    for part in ("train", "test"):
        ours, theirs = (one.dataloader[part].mapper.augmentations for one in (cfg, published))
        assert ours == theirs
    if "condinst" not in name:
        assert cfg.train.init_checkpoint == f"zoo://{name}"


def test_command_line_decides(copies: dict[str, str], tmp_path: Path) -> None:
    weights = tmp_path / "w.pth"
    cfg = load(
        "groie/mask_rcnn_r50_fpn_groie_1x",
        f"data={copies['labelme']}",
        "dataloader.train.total_batch_size=8",
        "optimizer.lr=0.003",
        "data.epochs=2000",
        "data.max_iterations=700",
        f"train.init_checkpoint={weights}",
        f"train.output_dir={tmp_path}",
    )
    assert cfg.optimizer.lr == 0.003
    assert (cfg.train.max_iter, cfg.train.eval_period, cfg.train.checkpointer.period) == (
        *(700, 70, 70),
    )
    assert cfg.train.init_checkpoint == str(weights)
    assert cfg.train.output_dir == str(tmp_path)
    epochs = load(BOXES, f"data={copies['coco']}", "data.epochs=1000", "data.split_seed=3")
    assert epochs.train.max_iter == 1000 * 3 / 4  # one of the four images is for validation


def test_boxes_alone_where_asked_for(copies: dict[str, str]) -> None:
    name = "groie/mask_rcnn_r50_fpn_groie_1x"
    with pytest.raises(UserError, match="have no mask .* data.masks=False"):
        load(name, f"data={copies['voc']}")
    cfg = load(name, f"data={copies['voc']}", "data.masks=False")
    assert cfg.model.roi_heads.mask_in_features is None
    assert cfg.dataloader.train.mapper.use_instance_mask is False
    assert cfg.train.best_checkpointer.val_metric == "bbox/AP"
    assert load(BOXES, f"data={copies['voc']}").data.masks is False
    with pytest.raises(UserError, match="the model needs masks"):
        load("condinst/condinst_r50_fpn_ms_1x", f"data={copies['voc']}", "data.masks=False")


def test_box_model_is_trained_on_the_same_from_all_formats(copies: dict[str, str]) -> None:
    found = {}
    for name, folder in copies.items():
        cfg = load(BOXES, f"data={folder}", f"data.val={folder}")
        records = instantiate(cfg.dataloader.train.dataset)
        assert Trainer.training_sets(cfg) != Trainer.test_sets(cfg)
        found[name] = [
            (Path(record["file_name"]).name, a["category_id"], *a["bbox"])
            for record in records
            for a in record["annotations"]
        ]
    wanted = found.pop("coco")
    for name, tolerance in (("labelme", 1e-9), ("yolo", 2e-3), ("voc", 1.0)):
        assert [row[:2] for row in found[name]] == [row[:2] for row in wanted]
        boxes, expected = (np.array([row[2:] for row in rows]) for rows in (found[name], wanted))
        assert np.abs(boxes - expected).max() <= tolerance


def test_joined_data_sets_match_classes_by_name(
    copies: dict[str, str], content: Content, tmp_path: Path
) -> None:
    turned = {**content, "categories": [dict(c) for c in reversed(content["categories"])]}
    for number, category in enumerate(turned["categories"], start=1):
        category["id"] = number
    ids = {c["name"]: c["id"] for c in turned["categories"]}
    names = {c["id"]: c["name"] for c in content["categories"]}
    turned["annotations"] = [
        {**a, "category_id": ids[names[a["category_id"]]]} for a in content["annotations"]
    ]
    other = write_coco(turned, IMAGES, tmp_path / "turned")
    cfg = load(BOXES, f"data=[{copies['labelme']},{other}]", f"data.val={copies['coco']}")
    records = instantiate(cfg.dataloader.train.dataset)
    by_file: dict[str, list[list[int]]] = {}
    for record in records:
        file = Path(record["file_name"]).name
        by_file.setdefault(file, []).append([a["category_id"] for a in record["annotations"]])
    assert all(len(both) == 2 and both[0] == both[1] for both in by_file.values())
    assert cfg.data.classes == sorted(names.values())


@pytest.mark.parametrize(
    "pair",
    ["far coco", "coco far", "far yolo", "far labelme", "labelme far", "few coco", "coco few"],
)
def test_any_numbers_of_classes_can_be_joined(
    copies: dict[str, str], content: Content, tmp_path: Path, pair: str
) -> None:
    """``far``: ids with gaps; ``few``: of fewer classes, from 1 on."""
    far = {c["id"]: 10 * c["id"] + 3 for c in content["categories"]}
    few = {c["id"]: number for number, c in enumerate(content["categories"][1:], start=1)}
    places = dict(copies)
    for name, ids in (("far", far), ("few", few)):
        other = {
            **content,
            "categories": [
                {**c, "id": ids[c["id"]]} for c in content["categories"] if c["id"] in ids
            ],
            "annotations": [
                {**a, "category_id": ids[a["category_id"]]}
                for a in content["annotations"]
                if a["category_id"] in ids
            ],
        }
        places[name] = write_coco(other, IMAGES, tmp_path / name)
    sources = [places[name] for name in pair.split()]
    cfg = load(BOXES, f"data=[{','.join(map(str, sources))}]", f"data.val={copies['coco']}")
    found = Counter(
        (Path(record["file_name"]).name, cfg.data.classes[a["category_id"]])
        for record in instantiate(cfg.dataloader.train.dataset)
        for a in record["annotations"]
    )
    names = {c["id"]: c["name"] for c in content["categories"]}
    files = {image["id"]: image["file_name"] for image in content["images"]}
    whole = Counter((files[a["image_id"]], names[a["category_id"]]) for a in content["annotations"])
    first = content["categories"][0]["name"]
    rest = Counter({key: n for key, n in whole.items() if key[1] != first or "few" not in pair})
    assert found == whole + rest


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["data={coco}", "data.epochs=inf"], "data.epochs is inf"),
        (["data={coco}", "data.val=nowhere"], r"nowhere: correct data\.val="),
        (["data={coco}", "data.images=nowhere"], r"no folder nowhere: correct data\.images="),
        (["data={coco}", "data.format=labelme"], r"leave data\.format out"),
        (["data="], "data= names nothing"),
        (["data={coco}", "data.val="], "data.val= names nothing"),
        (["data=nowhere"], "there is no file or folder .*nowhere"),
        (["data={coco}", "data.val_fraction=2"], "data.val_fraction is 2"),
        (["data={coco}", "data.epochs=-1"], "data.epochs is -1"),
        (["data={coco}", "data.format=xml"], "data.format is 'xml'"),
        (["data={coco}", "data.epoch=1"], "the config has no key data.epoch"),
    ],
)
def test_mistakes_end_in_a_sentence(
    words: list[str], sentence: str, copies: dict[str, str]
) -> None:
    with pytest.raises(UserError, match=sentence):
        load(BOXES, *(word.format(**copies) for word in words))


def test_semantic_experiments_take_folders_of_label_maps(tmp_path: Path) -> None:
    folder = label_maps(tmp_path / "data", "{what}")
    name = "gcnet/semantic/gcnet_r50_d8_512x1024_40k_cityscapes"
    cfg = load(name, f"data={folder}", f"data.classes={DATA}/coco_semseg/classes.json:{MAPS}")
    check_config(cfg, training=True)
    assert class_counts(OmegaConf.to_container(cfg.model, resolve=True)) == {13}
    assert cfg.train.init_checkpoint == f"zoo://{name}"
    assert cfg.train.best_checkpointer.val_metric == "sem_seg/mIoU"
    assert cfg.optimizer.lr == pytest.approx(0.01 * 4 / 8)
    assert (
        cfg.dataloader.train.mapper.augmentations
        == load(name).dataloader.train.mapper.augmentations
    )


def test_semantic_run_and_its_config(tmp_path: Path) -> None:
    folder = label_maps(tmp_path / "data", "{what}")
    run(
        parse_arguments(
            [
                *("--config-file", config_file("gcnet/semantic/gcnet_label_folders")),
                *(f"data={folder}", f"data.classes={DATA}/coco_semseg/classes.json:{MAPS}"),
                *("dataloader.train.num_workers=0", "dataloader.test.num_workers=0"),
                "dataloader.train.total_batch_size=1",
                "dataloader.train.mapper.augmentations.0.scale=[64,128]",
                "dataloader.train.mapper.augmentations.1.crop_size=[64,64]",
                "dataloader.train.mapper.augmentations.4.size=[64,64]",
                "dataloader.test.mapper.augmentations.0.short_edge_length=64",
                *("train.device=cpu", "train.max_iter=1", f"train.output_dir={tmp_path / 'run'}"),
            ]
        )
    )
    metrics = json.loads((tmp_path / "run" / "evaluation.json").read_text())["metrics"]
    assert "mIoU" in metrics["sem_seg"]
    cfg = load_config(str(tmp_path / "run" / "config.yaml"), [])
    assert cfg.model.sem_seg_head.num_classes == len(cfg.train.classes) == 13


def test_data_that_change_after_the_config_are_named(content: Content, tmp_path: Path) -> None:
    folder = write_labelme(content, IMAGES, tmp_path / "data")
    cfg = load(BOXES, f"data={folder}")
    node = cfg.dataloader.train.dataset.names
    with warnings_said() as said:
        instantiate(node)
    assert said == []
    next(iter(sorted(folder.glob("*.json")))).unlink()
    with warnings_said() as said:
        instantiate(node)
    assert any("written for 3 + 1 images" in text for text in said)


def test_images_of_both_parts_are_named(content: Content, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for split in ("train", "val"):
        write_labelme(content, IMAGES, folder / split)
    logging.getLogger("detectron2.projects_ext").addHandler(logging.NullHandler())
    with warnings_said() as said:
        load(BOXES, f"data={folder}")
    assert any("4 of the 4 validation images are trained on as well" in text for text in said)
