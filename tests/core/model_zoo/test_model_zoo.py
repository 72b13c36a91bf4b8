"""The zoo's configs and addresses: these tests pass with upstream's files, too."""

import hashlib
import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from detectron2 import model_zoo
from detectron2.config import get_cfg, instantiate
from detectron2.model_zoo.model_zoo import _ModelZooUrls
from detectron2.modeling import (
    FCOS,
    FPN,
    GeneralizedRCNN,
    RetinaNet,
    SemanticSegmentor,
    build_model,
)

FOLDER = Path(model_zoo.get_config_file("Base-RCNN-FPN.yaml")).parent
NAMES = sorted(
    path.relative_to(FOLDER).as_posix()
    for path in FOLDER.rglob("*.yaml")
    if "quick_schedules" not in path.parts
)
# Of all configs' keys and values: what upstream 0.6 answers.
DIGEST = "d214ca20da1db3138eb407cedf813a517d61510dd8090d838180f255397c9a1b"
# Of some LazyConfigs, each without the order of keys.
LAZY_DIGESTS = {
    "common/train": "57c7495b86def6d2",
    "common/optim": "985ae5a053c7e4e1",
    "common/coco_schedule": "8dfa20dd045df56d",
    "common/data/coco": "661b8f4f83c4e137",
    "common/models/mask_rcnn_fpn": "34a164ec2dad9bfb",
    "common/models/cascade_rcnn": "fd0934ec8a858e99",
    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x": "f0b9863ba1f6e65a",
    "COCO-Detection/retinanet_R_50_FPN_1x": "5ea49ef7a0b165bb",
    "COCO-Detection/fcos_R_50_FPN_1x": "c390a8b8e103e76c",
}


def test_all_published_names_are_there():
    assert len(NAMES) == 65
    trained = {f"{name}.yaml" for name in _ModelZooUrls.CONFIG_PATH_TO_URL_SUFFIX}
    assert {name for name in trained if not name.startswith("new_baselines")} <= set(NAMES)
    assert len(trained) == 64


def test_every_value_of_every_config():
    answers = {}
    for name in NAMES:
        cfg = get_cfg()
        cfg.merge_from_file(str(FOLDER / name))
        cfg.pop("FLOAT32_PRECISION", None)
        answers[name] = cfg
    text = json.dumps(answers, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST


def test_a_config():
    cfg = model_zoo.get_config("Misc/cascade_mask_rcnn_R_50_FPN_3x.yaml")
    assert cfg.MODEL.WEIGHTS == "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
    assert cfg.MODEL.MASK_ON
    assert cfg.MODEL.ROI_HEADS.NAME == "CascadeROIHeads"
    assert cfg.SOLVER.STEPS == (210000, 250000)
    assert cfg.DATASETS.TRAIN == ("coco_2017_train",)
    trained = model_zoo.get_config("COCO-Detection/retinanet_R_50_FPN_1x.yaml", trained=True)
    assert trained.MODEL.WEIGHTS == (
        "https://dl.fbaipublicfiles.com/detectron2/COCO-Detection/retinanet_R_50_FPN_1x/190397773/"
        "model_final_bfca0b.pkl"
    )
    assert trained.MODEL.ANCHOR_GENERATOR.SIZES[1][2] == 64 * 2 ** (2 / 3)


def test_addresses_of_weights():
    for name in (
        "Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml",
        "Misc/cascade_mask_rcnn_R_50_FPN_1x.py",
    ):
        assert model_zoo.get_checkpoint_url(name) == (
            "https://dl.fbaipublicfiles.com/detectron2/Misc/cascade_mask_rcnn_R_50_FPN_1x/138602847/"
            "model_final_e9d89b.pkl"
        )
    with pytest.raises(RuntimeError, match="1x_giou"):
        model_zoo.get_checkpoint_url("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_giou.yaml")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("COCO-Detection/faster_rcnn_R_50_FPN_1x", GeneralizedRCNN),
        ("COCO-Detection/faster_rcnn_R_50_DC5_1x", GeneralizedRCNN),
        ("COCO-Detection/retinanet_R_50_FPN_3x", RetinaNet),
        ("Misc/cascade_mask_rcnn_R_50_FPN_1x", GeneralizedRCNN),
        ("Misc/mask_rcnn_R_50_FPN_1x_dconv_c3-c5", GeneralizedRCNN),
        ("Misc/semantic_R_50_FPN_1x", SemanticSegmentor),
    ],
)
def test_models_are_built(name, kind):
    cfg = model_zoo.get_config(f"{name}.yaml")
    cfg.MODEL.DEVICE = "cpu"
    assert isinstance(build_model(cfg), kind)


def test_get_builds_and_loads():
    model = model_zoo.get("Misc/scratch_mask_rcnn_R_50_FPN_3x_gn.yaml", device="cpu")
    assert isinstance(model, GeneralizedRCNN)
    assert isinstance(model.backbone, FPN)
    assert model.training


@pytest.mark.parametrize("name", ["get_config", "get_config_file", "get_checkpoint_url", "get"])
def test_unknown_config_is_a_runtime_error_that_names_it(name):
    with pytest.raises(RuntimeError, match=r"COCO/nope\.yaml"):
        getattr(model_zoo, name)("COCO/nope.yaml")


@pytest.mark.core_only(reason="core has no conversion of Caffe2's weights")
def test_weights_of_caffe2_are_refused():
    with pytest.raises(ValueError, match="R-50-GN has Caffe2's weight names"):
        model_zoo.get("Misc/mask_rcnn_R_50_FPN_3x_gn.yaml", device="cpu")


@pytest.mark.core_only(reason="core has some of the LazyConfigs only")
def test_the_message_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"of the Python ones, those of Mask R-CNN, RetinaNet"):
        model_zoo.get_config("common/models/panoptic_fpn.py")


def plain(value):
    """Without order of keys, tuples and functions."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (int, float)):
        return float(value)
    return value.__qualname__ if callable(value) else str(value)


@pytest.mark.parametrize("name", LAZY_DIGESTS)
def test_every_value_of_the_lazy_configs(name):
    config = OmegaConf.to_container(model_zoo.get_config(f"{name}.py"), resolve=False)
    text = json.dumps(plain(config), sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == LAZY_DIGESTS[name]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("mask_rcnn_fpn", GeneralizedRCNN), ("cascade_rcnn", GeneralizedRCNN),
     ("retinanet", RetinaNet), ("fcos", FCOS)],
)  # fmt: skip
def test_models_of_the_lazy_configs_are_built(name, kind):
    model = model_zoo.get_config(f"common/models/{name}.py").model
    assert isinstance(instantiate(model), kind)


def test_schedules_of_the_lazy_configs():
    schedules = model_zoo.get_config("common/coco_schedule.py")
    once, thrice = (instantiate(schedules[f"lr_multiplier_{x}x"]) for x in (1, 3))
    assert [round(once(x / 90), 3) for x in (0, 59, 61, 79, 81)] == [0.001, 1, 0.1, 0.1, 0.01]
    assert [round(thrice(x / 270), 3) for x in (209, 211, 249, 251)] == [1, 0.1, 0.1, 0.01]
