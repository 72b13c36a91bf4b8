"""How many detections of an image count, and the warning where they cannot be enough."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig, get_cfg, instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.evaluation import COCOEvaluator, DatasetEvaluators
from detectron2.structures import Boxes, Instances
from projects_ext.config import add_config
from projects_ext.engine import Trainer, YamlTrainer, load_config
from projects_ext.evaluation import (
    SemanticEvaluator,
    beyond_standard,
    detection_limit,
    follow_model,
    lazy_key,
    limits,
    proposal_limit,
    warn_of_crowded_images,
)

ROOT = Path(__file__).parents[3]
CONFIGS = ROOT / "configs"
OBJECTS = 300


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registered data set of two images: one of 300 objects, one of a single object."""
    folder = tmp_path_factory.mktemp("crowded")
    boxes = [(1, 20 * (i % 20), 20 * (i // 20)) for i in range(OBJECTS)] + [(2, 5, 5)]
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 400, "height": 400} for i in (1, 2)],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [
            {
                "id": index + 1,
                "image_id": image,
                "category_id": 1,
                "bbox": [x, y, 12, 12],
                "area": 144,
                "iscrowd": 0,
            }
            for index, (image, x, y) in enumerate(boxes)
        ],
    }
    (folder / "a.json").write_text(json.dumps(content))
    name = "test_limits_crowded"
    register_coco_instances(name, {}, str(folder / "a.json"), str(folder))
    DatasetCatalog.get(name)  # enters the classes into the metadata
    return name


@pytest.fixture(autouse=True)
def nothing_has_been_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_warned", set())


def average_precision(evaluator: Any) -> float:
    """Of perfect predictions; the module's data set is meant."""
    evaluator.reset()
    for image, places in (
        (1, [(20 * (i % 20), 20 * (i // 20)) for i in range(300)]),
        (2, [(5, 5)]),
    ):
        found = Instances((400, 400))
        found.pred_boxes = Boxes(torch.tensor([[x, y, x + 12, y + 12] for x, y in places]).float())
        found.scores = torch.linspace(1, 0.5, len(places))
        found.pred_classes = torch.zeros(len(places), dtype=torch.int64)
        evaluator.process([{"image_id": image}], [{"instances": found}])
    return evaluator.evaluate()["bbox"]["AP"]


def yaml_config(limit: int, crowded: str, tmp_path: Path) -> Any:
    cfg = get_cfg()
    add_config(cfg)
    cfg.DATASETS.TEST, cfg.OUTPUT_DIR = (crowded,), str(tmp_path)
    cfg.TEST.DETECTIONS_PER_IMAGE = limit
    return cfg


def test_yaml_evaluators_count_what_the_model_keeps(crowded: str, tmp_path: Path) -> None:
    cfg = yaml_config(OBJECTS, crowded, tmp_path)
    assert average_precision(YamlTrainer.build_evaluator(cfg, crowded)) == pytest.approx(100)
    for limit in (20, 100):  # COCO's own setting
        built = YamlTrainer.build_evaluator(yaml_config(limit, crowded, tmp_path), crowded)
        assert built._evaluators[0]._max_dets_per_image == [1, 10, 100]
    assert average_precision(built) < 50


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ("quickstart/mask_rcnn_shapes", "+model.roi_heads.box_predictor.test_topk_per_image"),
        ("condinst/condinst_shapes", "+model.selection.max_detections"),
        ("grid_rcnn/grid_rcnn_shapes", "+model.roi_heads.box_predictor.test_topk_per_image"),
    ],
)
def test_every_detectors_limit_is_found_and_its_key_works(config: str, key: str) -> None:
    file = str(CONFIGS / f"{config}.py")
    classes = (
        "model.num_classes=3" if config.startswith("cond") else "model.roi_heads.num_classes=3"
    )
    cfg = load_config(file, [classes])
    limit = detection_limit(instantiate(cfg.model))
    assert limit is not None
    assert limit.count == 100
    assert lazy_key(cfg, limit).lstrip("+") == key.lstrip("+")
    changed = load_config(file, [classes, f"{lazy_key(cfg, limit)}=300"])
    raised = detection_limit(instantiate(changed.model))
    assert raised is not None
    assert raised.count == 300


def test_of_a_cascade_the_last_stage_decides() -> None:
    cfg = LazyConfig.load(str(CONFIGS / "common/models/cascade_mask_rcnn_r50_fpn_openmmlab.py"))
    cfg.model.roi_heads.box_predictors[2].test_topk_per_image = 250
    limit = detection_limit(instantiate(cfg.model))
    assert limit is not None
    assert limit.count == 250
    assert lazy_key(cfg, limit) == "model.roi_heads.box_predictors.2.test_topk_per_image"


def lazy_config(crowded: str, *evaluators: Any) -> Any:
    from omegaconf import OmegaConf

    nodes = list(evaluators) or [L(COCOEvaluator)(dataset_name=crowded)]
    return OmegaConf.create({"dataloader": {"evaluator": nodes}}, flags={"allow_objects": True})


def test_lazy_evaluators_count_what_the_model_keeps(crowded: str) -> None:
    limit = limits.DetectionLimit(OBJECTS, "max_detections_per_image")
    cfg = lazy_config(crowded)
    followed = follow_model(cfg, limit)
    assert "max_dets_per_image" not in cfg.dataloader.evaluator[0]
    assert average_precision(Trainer.build_evaluator(followed)) == pytest.approx(100)
    assert average_precision(Trainer.build_evaluator(cfg)) < 50
    for count in (None, 20, 100):
        given = None if count is None else limits.DetectionLimit(count, "max_detections")
        assert follow_model(cfg, given) is cfg
    assert beyond_standard(101) == 101


def test_what_the_config_sets_itself_stays(crowded: str) -> None:
    cfg = lazy_config(
        crowded,
        L(COCOEvaluator)(dataset_name=crowded, max_dets_per_image=150),
        L(SemanticEvaluator)(dataset_name="other"),
    )
    followed = follow_model(cfg, limits.DetectionLimit(OBJECTS, "max_detections")).dataloader
    assert followed.evaluator[0].max_dets_per_image == 150
    assert "max_dets_per_image" not in followed.evaluator[1]


def test_more_objects_than_detections_are_said_once(
    crowded: str, project_log: pytest.LogCaptureFixture
) -> None:
    evaluator = DatasetEvaluators([COCOEvaluator(crowded)])
    limit = limits.DetectionLimit(100, "max_detections_per_image")
    for _ in range(2):
        warn_of_crowded_images(evaluator, limit, "TEST.DETECTIONS_PER_IMAGE ")
    (said,) = [
        record.getMessage() for record in project_log.records if "objects" in record.getMessage()
    ]
    assert "image 1.jpg (image id 1) has 300 objects, but the model keeps at most 100" in said
    assert "(1 of 2 images have more than that): set TEST.DETECTIONS_PER_IMAGE 300" in said
    project_log.clear()
    raised = limits.DetectionLimit(OBJECTS, "max_detections_per_image")
    fewer = COCOEvaluator(crowded, max_dets_per_image=150)
    warn_of_crowded_images(fewer, raised, "")
    assert "has 300 objects of a class, but the evaluator counts at most 150" in project_log.text
    assert "set its max_dets_per_image=300" in project_log.text
    project_log.clear()
    enough = COCOEvaluator(crowded, max_dets_per_image=OBJECTS)
    warn_of_crowded_images(enough, raised, "")
    assert "objects" not in project_log.text
    warn_of_crowded_images(enough, raised, "", proposals=OBJECTS)
    assert "objects" not in project_log.text
    warn_of_crowded_images(enough, raised, "", proposals=200)
    assert "300 objects of a class, but the proposal generator keeps at most 200 proposals" in (
        project_log.text
    )
    assert "(YAML: MODEL.RPN.POST_NMS_TOPK_TEST) to 300" in project_log.text
    assert MetadataCatalog.get(crowded).thing_classes == ["a"]


def test_the_proposals_of_region_based_models_are_a_limit() -> None:
    cfg = LazyConfig.load(str(CONFIGS / "quickstart" / "mask_rcnn_coco_format.py"))
    cfg.model.roi_heads.num_classes = 2
    cfg.model.proposal_generator.post_nms_topk = [200, 70]
    assert proposal_limit(instantiate(cfg.model)) == 70
    assert proposal_limit(torch.nn.Linear(1, 1)) is None
