"""Which config and which weights are meant; what is refused, in one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

import projects_ext
from detectron2.config import LazyConfig, get_cfg
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model
from projects_ext.engine import load_config
from projects_ext.engine.instantiation import build
from projects_ext.engine.settings import Settings
from projects_ext.errors import UserError
from projects_ext.prediction import weights as weights_module
from projects_ext.prediction.configs import find_config
from projects_ext.prediction.kinds import kind_of
from projects_ext.prediction.thresholds import ScoreThreshold
from projects_ext.prediction.weights import find_weights
from projects_ext.zoo import config_file, get_config
from tests.conftest import ROOT
from tests.projects_ext.prediction.models import SEMANTIC, config_path, label_keys, write_checkpoint

YAML = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.yaml")
NAME = "mask_rcnn_r50_fpn_groie_1x"


@pytest.fixture
def random_weights(shapes_overrides: list[str], tmp_path: Path) -> str:
    """A checkpoint of the small Mask R-CNN."""
    return write_checkpoint("mask", tmp_path, shapes_overrides)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Published weights lie at an address in place of a file: nothing is downloaded here."""
    monkeypatch.setattr(weights_module, "fetch", lambda experiment: f"fetched {experiment.name}")


def weights_for(config: Any, weights: Any = None, opts: tuple[str, ...] = ()) -> str:
    source = find_config(config, opts)
    return find_weights(source, Settings.of(source.cfg), weights)


@pytest.mark.usefixtures("published")
def test_weights_of_the_zoo_by_name_and_by_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = f"groie/{NAME}"
    monkeypatch.chdir(tmp_path)  # where there is no folder configs/
    names = (NAME, full, f"configs/{full}.py", config_file(NAME), Path(config_file(NAME)))
    for config in names:
        assert weights_for(config) == f"fetched {full}"
    assert weights_for("quickstart/mask_rcnn_shapes", NAME) == f"fetched {full}"
    # A loaded config says nothing of where it is from; its ImageNet weights are not all of it.
    assert weights_for(get_config(NAME)) == "torchvision://resnet50"
    key = "train.init_checkpoint=mine.pth"
    assert weights_for(NAME, opts=(key,)) == "mine.pth"


def test_overrides_of_yaml_without_effect_are_named(
    tmp_path: Path, project_log: pytest.LogCaptureFixture
) -> None:
    cfg = load_config(YAML, [], read_data=False).clone()
    cfg.defrost()
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 5
    content = {"model": build_model(cfg).state_dict(), "classes": list("abcde")}
    torch.save(content, tmp_path / "model.pth")
    opts = ["SOLVER.BASE_LR", "0.1", "MODEL.ROI_HEADS.NMS_THRESH_TEST", "0.4", "SEED", "3"]
    projects_ext.Predictor(YAML, tmp_path / "model.pth", "cpu", opts=opts)
    (warning,) = [x.getMessage() for x in project_log.records if "no effect" in x.getMessage()]
    assert warning == "SEED, SOLVER.BASE_LR have no effect in prediction"


def test_a_run_a_folder_and_a_config(tmp_path: Path, random_weights: str) -> None:
    assert weights_for("quickstart/mask_rcnn_shapes", tmp_path) == random_weights
    LazyConfig.save(get_config("quickstart/mask_rcnn_shapes"), str(tmp_path / "config.yaml"))
    assert weights_for(tmp_path / "config.yaml") == random_weights
    opts = ("train.init_checkpoint=other.pth",)
    assert weights_for(tmp_path / "config.yaml", opts=opts) == "other.pth"
    cfg = load_config(YAML, ["MODEL.WEIGHTS", "w.pth"], read_data=False)
    assert weights_for(cfg) == "w.pth"


@pytest.mark.parametrize(
    ("config", "weights", "sentence"),
    [
        ("quickstart/mask_rcnn_shapes", None, r"names no weights: give some, a file or the name"),
        ("quickstart/mask_rcnn_shapes", "none.pth", r"there is no file none\.pth with weights"),
        ("quickstart/mask_rcnn_shapes", ROOT / "configs", r"configs has no checkpoint"),
        ("mask_rcnn_groie", None, r"there is no config 'mask_rcnn_groie'"),
        ("none.py", None, r"no config file at none\.py"),
        (3, None, r"not a int"),
        (
            "quickstart/mask_rcnn_shapes",
            {},
            r"weights are a path, an address or a name, not a dict",
        ),
        (OmegaConf.create({"train": {}}), "w", r"the config has no model: import one"),
    ],
)
def test_what_is_not_there(config: Any, weights: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        projects_ext.Predictor(config, weights, "cpu")


def test_a_part_without_weights_is_refused(random_weights: str) -> None:
    content = torch.load(random_weights, weights_only=True)
    del content["model"]["roi_heads.box_predictor.cls_score.bias"]
    torch.save(content, random_weights)
    with pytest.raises(UserError, match=r"^1 of the model's \d+ entries get no value from .*bias"):
        projects_ext.Predictor(config_path("mask"), random_weights, "cpu")


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"device": "tpu"}, r"is 'tpu', which is no device"),
        ({"opts": ["model.nonsense=1"]}, r"the config has no key model\.nonsense"),
        ({"opts": ["train.ema.decay=0.5"]}, r"has no effect while train\.ema\.enabled"),
        ({"confidence_threshold": 1.5}, r"confidence_threshold is 1\.5: give a number from 0 to 1"),
        ({"opts": "train.seed=3"}, r"opts is 'train\.seed=3': give a list of overrides"),
        ({"opts": [3]}, r"opts is \[3\]: give a list"),
        ({"array_format": "RGBA"}, r"array_format is 'RGBA': it is BGR or RGB"),
    ],
)
def test_what_cannot_be(keys: dict[str, Any], sentence: str, random_weights: str) -> None:
    with pytest.raises(UserError, match=sentence):
        projects_ext.Predictor(config_path("mask"), random_weights, **keys)


def test_what_a_config_predicts_is_known_before_its_model_is_built() -> None:
    assert kind_of(get_config("condinst/condinst_shapes")) == "instances"
    assert kind_of(get_config(SEMANTIC.removesuffix(".py"))) == "semantic"
    cfg = load_config(YAML, [], read_data=False).clone()
    cfg.defrost()
    assert kind_of(cfg) == "instances"
    for name, kind in (("Segmentor", "semantic"), ("CondInst", "instances"), ("none", None)):
        cfg.MODEL.META_ARCHITECTURE = name
        assert kind_of(cfg) == kind
    function = OmegaConf.create({"model": {"_target_": "projects_ext.zoo.get_config"}})
    for config in (
        function,
        OmegaConf.create({"model": {"_target_": "no.such"}}),
        OmegaConf.create(),
    ):
        assert kind_of(config) is None


def test_a_threshold_of_scores_is_nothing_for_label_maps(shapes: Path, tmp_path: Path) -> None:
    weights = write_checkpoint(SEMANTIC, tmp_path, label_keys(shapes))
    with pytest.raises(UserError, match="gives each pixel a class and has no scores of objects"):
        projects_ext.Predictor(config_path(SEMANTIC), weights, "cpu", confidence_threshold=0.5)


def test_the_average_is_taken_as_in_an_evaluation(random_weights: str) -> None:
    content = torch.load(random_weights, weights_only=True)
    average = {f"module.{name}": value * 2 for name, value in content["model"].items()}
    content["ema"] = {"n_averaged": torch.tensor(3), **average}
    torch.save(content, random_weights)
    config, opts = config_path("mask"), ["train.ema.enabled=True"]
    plain = projects_ext.Predictor(config, random_weights, "cpu").model.state_dict()
    averaged = projects_ext.Predictor(config, random_weights, "cpu", opts=opts).model.state_dict()
    name = "roi_heads.box_predictor.cls_score.weight"
    assert torch.equal(averaged[name], 2 * plain[name])


def test_a_config_of_mixed_precision_on_a_gpu_predicts_on_the_cpu(random_weights: str) -> None:
    cfg = get_config("quickstart/mask_rcnn_shapes")
    cfg.train.amp.enabled, cfg.train.device = True, "cuda"
    assert projects_ext.Predictor(cfg, random_weights, "cpu").class_names


def test_overrides_without_effect_are_named(
    random_weights: str, project_log: pytest.LogCaptureFixture
) -> None:
    names = "train.classes=[disc,box,triangle,star,cross]"
    idle = ["optimizer.lr=0.1", "train.output_dir=x", "dataloader.evaluator=null"]
    opts = [names, f"train.init_checkpoint={random_weights}", "train.device=cpu", *idle]
    opts.append("model.proposal_generator.nms_thresh=0.6")
    projects_ext.Predictor(config_path("mask"), random_weights, "cpu", opts=opts)
    (warning,) = [x.getMessage() for x in project_log.records if "no effect" in x.getMessage()]
    keys = "dataloader.evaluator, optimizer.lr, train.output_dir"
    assert warning == f"{keys} have no effect in prediction"


@pytest.mark.parametrize(
    ("opts", "sentence"),
    [
        (
            ["train.init_checkpoint=a.pth"],
            r"train\.init_checkpoint has no effect beside the weights",
        ),
        (["train.device=cuda"], r"train\.device has no effect beside the device cpu: leave one"),
    ],
)
def test_the_same_said_twice(opts: list[str], sentence: str, random_weights: str) -> None:
    with pytest.raises(UserError, match=sentence):
        projects_ext.Predictor(config_path("mask"), random_weights, "cpu", opts=opts)


@pytest.mark.parametrize(
    ("config", "data_set", "names", "first"),
    [
        ("mask", "coco_2017_val", 80, "person"),
        (SEMANTIC, "cityscapes_fine_sem_seg_val", 19, "road"),
        (SEMANTIC, "ade20k_sem_seg_val", 150, "wall"),
        (SEMANTIC, "voc12aug_sem_seg_val", 21, "background"),
    ],
)
def test_names_of_known_data_sets(
    config: str, data_set: str, names: int, first: str, tmp_path: Path
) -> None:
    """Without their files; colours are theirs, too."""
    cfg = LazyConfig.load(config_path(config))
    cfg.dataloader.test.dataset.names = data_set
    if config == SEMANTIC:
        cfg.model.sem_seg_head.num_classes = names
    else:
        cfg.model.roi_heads.num_classes = names
    torch.save({"model": build(cfg.model, "model").state_dict()}, tmp_path / "model.pth")
    predictor = projects_ext.Predictor(cfg, tmp_path / "model.pth", "cpu")
    assert len(predictor.class_names) == names
    assert predictor.class_names[0].split(",")[0] == first
    kind = "stuff" if config == SEMANTIC else "thing"
    known = MetadataCatalog.get(data_set).get(f"{kind}_colors")
    assert known is None or predictor.metadata.get(f"{kind}_colors") == list(known)
    assert len(predictor.metadata.get(f"{kind}_colors")) == names


def test_a_config_without_this_projects_keys(tmp_path: Path) -> None:
    """As Detectron2's own programs make it."""
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TEST, cfg.MODEL.DEVICE, cfg.MODEL.MASK_ON = 64, "cpu", False
    cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 18, 64
    cfg.MODEL.FPN.OUT_CHANNELS, cfg.MODEL.ROI_HEADS.NUM_CLASSES = 32, 2
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[16], [32], [64], [128], [256]]
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    cfg.MODEL.ROI_BOX_HEAD.NAME, cfg.MODEL.ROI_BOX_HEAD.NUM_FC = "FastRCNNConvFCHead", 1
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM, cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 32, 7
    torch.save({"model": build_model(cfg).state_dict()}, tmp_path / "model.pth")
    predictor = projects_ext.Predictor(cfg, tmp_path / "model.pth", "cpu")
    assert predictor.class_names == ["0", "1"]
    assert predictor(np.zeros((40, 60, 3), np.uint8)).image_size == (40, 60)


def test_a_config_without_a_mapper(random_weights: str) -> None:
    cfg = get_config("quickstart/mask_rcnn_shapes")
    cfg.dataloader.test.mapper = None
    with pytest.raises(UserError, match=r"the config has no dataloader\.test\.mapper, which reads"):
        projects_ext.Predictor(cfg, random_weights, "cpu")


def test_every_stage_of_a_cascade_gets_the_threshold() -> None:
    heads = get_config("groie/cascade_mask_rcnn_r50_fpn_groie_1x").model.roi_heads
    stages = nn.ModuleList(build(heads.box_predictors, "predictors"))
    ScoreThreshold(stages).lower_to(0.01)
    assert [stage.test_score_thresh for stage in stages] == [0.01] * 3
    ScoreThreshold(stages).lower_to(0.5)
    assert [stage.test_score_thresh for stage in stages] == [0.01] * 3
