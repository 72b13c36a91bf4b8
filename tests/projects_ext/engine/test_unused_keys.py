"""Keys that are set without effect: refused on the command line, named where a file has them."""

import logging
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, StandardROIHeads
from projects_ext.engine import YamlTrainer, load_config
from projects_ext.engine.key_reads import plain, reads_of
from projects_ext.engine.settings import Settings
from projects_ext.engine.unused_keys import unread_lazy_keys, warn_of_unread_lazy_keys
from projects_ext.errors import UserError
from projects_ext.grid_rcnn import GridROIHeads
from projects_ext.groie import GRoIEPooler
from projects_ext.modeling import RegisteredPoolersROIHeads
from tests.projects_ext.faults.runs import end_of

ROOT = Path(__file__).parents[3]
YAML = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.yaml")
LAZY = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.py")
BOX_POOLER = "MODEL.ROI_BOX_HEAD.POOLER_NAME"
MASK_POOLER = "MODEL.ROI_MASK_HEAD.POOLER_NAME"


def model(*keys: str) -> Any:
    return YamlTrainer.build_model(load_config(YAML, list(keys)))


class HeadsOfAnotherProject(StandardROIHeads):
    """Such as a user registers."""


class HeadsThatChooseTheirPooler(StandardROIHeads):
    """Their constructor's parts do not come from what the standard heads ask."""

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Any) -> dict[str, Any]:
        return {**super().from_config(cfg, input_shape), **cls._boxes(cfg, input_shape)}

    @classmethod
    def _boxes(cls, cfg: CfgNode, input_shape: Any) -> dict[str, Any]:
        return StandardROIHeads._init_box_head.__func__(cls, cfg, input_shape)

    @classmethod
    def _init_box_head(cls, cfg: CfgNode, input_shape: Any) -> dict[str, Any]:
        return {}


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    for heads in (HeadsOfAnotherProject, HeadsThatChooseTheirPooler):
        if heads.__name__ not in ROI_HEADS_REGISTRY:
            ROI_HEADS_REGISTRY.register(heads)


@pytest.mark.parametrize(
    ("heads", "more"),
    [
        ("StandardROIHeads", []),
        ("CascadeROIHeads", ["MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG=True"]),
        ("GridROIHeads", []),
        ("RegisteredPoolersROIHeads", []),
        ("HeadsOfAnotherProject", []),
    ],
)
def test_a_named_pooler_is_built_into_heads_of_every_kind(
    heads: str, more: list[str], data: list[str]
) -> None:
    built = model(*data, f"MODEL.ROI_HEADS.NAME={heads}", f"{BOX_POOLER}=GRoIEPooler", *more)
    assert type(built.roi_heads.box_pooler) is GRoIEPooler
    assert type(built.roi_heads.mask_pooler) is ROIPooler
    assert isinstance(built.roi_heads, ROI_HEADS_REGISTRY.get(heads))


def test_the_recipe_of_the_readme_in_a_file(data: list[str], tmp_path: Path) -> None:
    path = tmp_path / "groie.yaml"
    section = "{POOLER_NAME: GRoIEPooler, POOLER_SAMPLING_RATIO: 2}"
    path.write_text(
        f"_BASE_: {YAML}\nMODEL: {{ROI_BOX_HEAD: {section}, ROI_MASK_HEAD: {section}}}\n"
    )
    cfg = load_config(str(path), data)
    built = build_model(cfg)
    assert type(built.roi_heads) is RegisteredPoolersROIHeads
    assert type(built.roi_heads.box_pooler) is type(built.roi_heads.mask_pooler) is GRoIEPooler
    # The config that a run saves says the same in another process.
    (tmp_path / "saved.yaml").write_text(cfg.dump())
    again = YamlTrainer.build_model(load_config(str(tmp_path / "saved.yaml"), []))
    assert again.state_dict().keys() == built.state_dict().keys()


def test_without_a_name_the_heads_are_those_of_the_config(data: list[str]) -> None:
    assert type(model(*data).roi_heads) is StandardROIHeads
    assert type(model(*data, "MODEL.ROI_HEADS.NAME=GridROIHeads").roi_heads) is GridROIHeads


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ([f"{BOX_POOLER}=GRoIE"], f"{BOX_POOLER} is 'GRoIE', but no such pooler .* GRoIEPooler"),
        ([f"{MASK_POOLER}=groie_pooler"], f"{MASK_POOLER} is 'groie_pooler'.* use GRoIEPooler"),
        (["MODEL.ROI_GRID_HEAD.POOLER_NAME=x"], "MODEL.ROI_GRID_HEAD.POOLER_NAME is 'x'"),
        (
            [f"{BOX_POOLER}=GRoIEPooler", "MODEL.ROI_HEADS.NAME=HeadsThatChooseTheirPooler"],
            f"{BOX_POOLER} is GRoIEPooler, but GeneralizedRCNN .* does not read it: leave it out",
        ),
        (
            [
                f"{BOX_POOLER}=GRoIEPooler",
                "MODEL.META_ARCHITECTURE=CondInst",
                "MODEL.BACKBONE.NAME=build_condinst_resnet_fpn_backbone",
            ],
            f"{BOX_POOLER} is GRoIEPooler, but CondInst",
        ),
        (
            [f"{MASK_POOLER}=GRoIEPooler", "MODEL.MASK_ON=False"],
            f"nothing reads {MASK_POOLER} with this config.*leave it out",
        ),
        (
            ["MODEL.RETINANET.NMS_THRESH_TEST=0.3"],
            r"nothing reads MODEL\.RETINANET\.NMS_THRESH_TEST with",
        ),
    ],
)
def test_keys_of_the_model_that_it_does_not_read(
    keys: list[str], sentence: str, data: list[str]
) -> None:
    with pytest.raises(UserError, match=sentence):
        model(*data, *keys)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (["SOLVER.EMA.DECAY=0.9"], r"SOLVER\.EMA\.DECAY has no effect while SOLVER\.EMA\.ENABLED"),
        (["SOLVER.AMP.DTYPE=bfloat16"], "has no effect while SOLVER.AMP.ENABLED is False"),
        (["TEST.BEST_METRIC=", "TEST.BEST_METRIC_MODE=min"], "while TEST.BEST_METRIC is ''"),
        (["MODEL.ROI_HEADS.NUM_CLASSES=7"], "NUM_CLASSES has no effect here.*COCO_FORMAT"),
    ],
)
def test_what_is_known_from_the_yaml_config_alone(
    keys: list[str], sentence: str, data: list[str]
) -> None:
    with pytest.raises(UserError, match=sentence):
        load_config(YAML, [*data, *keys])


@pytest.mark.parametrize(
    ("keys", "unread"),
    [
        ([], []),
        # The schedule of the config is a cosine.
        (["SOLVER.STEPS=(3,4)", "SOLVER.GAMMA=0.5"], ["SOLVER.GAMMA", "SOLVER.STEPS"]),
        (["SOLVER.STEPS=(3,4)", "SOLVER.LR_SCHEDULER_NAME=WarmupMultiStepLR"], []),
        (["INPUT.CROP.SIZE=[0.5,0.5]"], ["INPUT.CROP.SIZE"]),
        (["INPUT.CROP.SIZE=[0.5,0.5]", "INPUT.CROP.ENABLED=True"], []),
        (["DATALOADER.REPEAT_THRESHOLD=0.1", "TEST.KEYPOINT_OKS_SIGMAS=[0.1]"],
         ["DATALOADER.REPEAT_THRESHOLD", "TEST.KEYPOINT_OKS_SIGMAS"]),
        (["SOLVER.CLIP_GRADIENTS.CLIP_VALUE=2.0", "TEST.PRECISE_BN.NUM_ITER=9"],
         ["SOLVER.CLIP_GRADIENTS.CLIP_VALUE", "TEST.PRECISE_BN.NUM_ITER"]),
        (["VIS_PERIOD=7", "TEST.PICTURES=1", "SEED=3", "INPUT.MAX_SIZE_TEST=99",
          "SOLVER.REFERENCE_BATCH_SIZE=4", "SOLVER.MAX_GRAD_NORM=1.0"], []),
        # The rate is scaled, and with it what a cosine does not have.
        (["SOLVER.STEPS=(3,4)", "SOLVER.REFERENCE_BATCH_SIZE=4"], ["SOLVER.STEPS"]),
    ],
)  # fmt: skip
def test_a_training_run_refuses_keys_that_nothing_reads(
    keys: list[str], unread: list[str], data: list[str], tmp_path: Path
) -> None:
    cfg = load_config(YAML, [*data, f"OUTPUT_DIR={tmp_path}", *keys])
    if not unread:
        assert not reads_of(YamlTrainer(cfg).cfg).unread()
        return
    with pytest.raises(UserError, match=f"nothing reads {', '.join(unread)} with this config"):
        YamlTrainer(cfg)


def test_the_program_ends_before_the_first_iteration(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [*data, f"OUTPUT_DIR={tmp_path}", "SOLVER.STEPS=(3,4)"]
    code, stderr = end_of(["--config-file", YAML, *keys], monkeypatch)
    assert code == 1
    last = stderr.strip().splitlines()[-1]
    assert last.startswith("error: nothing reads SOLVER.STEPS with this config")
    assert not list(tmp_path.glob("*.pth"))


def test_keys_of_a_file_that_nothing_reads_are_named_once(
    data: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("detectron2"), "propagate", True)
    path = tmp_path / "x.yaml"
    path.write_text(
        f"_BASE_: {YAML}\nSOLVER: {{STEPS: [5, 7]}}\nMODEL: {{RETINANET: {{NUM_CONVS: 3}}}}\n"
    )
    with caplog.at_level(logging.WARNING, logger="detectron2"):
        YamlTrainer(load_config(str(path), [*data, f"OUTPUT_DIR={tmp_path}"]))
    named = [text for text in dict.fromkeys(caplog.messages) if "no effect" in text]
    assert [text.rpartition(": ")[2] for text in named] == [
        "MODEL.RETINANET.NUM_CONVS",
        "SOLVER.STEPS",
    ]


def no_effect(path: Path, text: str, keys: list[str], caplog: pytest.LogCaptureFixture) -> str:
    """What a training run says about the keys of a file based on the quickstart's."""
    path.write_text(f"_BASE_: {YAML}\n{text}\n")
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="detectron2"):
        YamlTrainer(load_config(str(path), [*keys, f"OUTPUT_DIR={path.parent / 'output'}"]))
    return "\n".join(dict.fromkeys(text for text in caplog.messages if "no effect" in text))


def test_keys_of_a_yaml_file_for_something_that_is_off_are_named(
    data: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("detectron2"), "propagate", True)
    file = "TEST: {BEST_METRIC: '', BEST_METRIC_MODE: min}\nSOLVER: {AMP: {DTYPE: bfloat16}}"
    said = no_effect(tmp_path / "x.yaml", file, data, caplog)
    assert said.endswith("no effect: SOLVER.AMP.DTYPE, TEST.BEST_METRIC_MODE")
    file = "TEST: {BEST_METRIC: bbox/AP, BEST_METRIC_MODE: min}"
    assert not no_effect(tmp_path / "x.yaml", file, data, caplog)


def test_a_base_file_may_describe_a_head_that_is_off(
    data: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("detectron2"), "propagate", True)
    middle = tmp_path / "middle.yaml"
    middle.write_text(f"_BASE_: {YAML}\nMODEL: {{ROI_MASK_HEAD: {{NUM_CONV: 3}}}}\n")
    path, off = tmp_path / "x.yaml", [*data, "MODEL.MASK_ON=False"]
    monkeypatch.setattr(f"{__name__}.YAML", str(middle))
    assert not no_effect(path, "SEED: 3", off, caplog)
    said = no_effect(path, "MODEL: {ROI_MASK_HEAD: {NORM: GN}}", off, caplog)
    assert said.endswith("no effect: MODEL.ROI_MASK_HEAD.NORM")


def test_a_section_of_train_that_is_null_is_off() -> None:
    for name in ("best_checkpointer", "ema", "amp"):
        cfg = load_config(LAZY, [f"train.{name}=null"])
        assert unread_lazy_keys(cfg) == []
        settings = Settings.of(cfg)
        assert (settings.best_metric == "") == (name == "best_checkpointer")
    with pytest.raises(UserError, match="train.mine is set, but nothing reads it"):
        load_config(LAZY, ["+train.mine=null"])


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (["MODEL.RPN.IN_FEATURES=['q2']"], "MODEL cannot be built: .*q2"),
        (["MODEL.FPN.IN_FEATURES=['nothing']"], "MODEL cannot be built: .*nothing"),
        (["MODEL.RESNETS.DEPTH=20"], "MODEL cannot be built: .*20"),
    ],
)
def test_messages_on_yaml_configs_name_no_types_of_exceptions(
    keys: list[str], sentence: str, data: list[str]
) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        model(*data, *keys)
    assert "Error" not in caught.value.sentence


def test_a_config_that_records_is_a_config(data: list[str]) -> None:
    cfg = load_config(YAML, data)
    reads = reads_of(cfg)
    assert cfg.is_frozen()
    assert not reads.keys
    copied = cfg.clone()
    assert copied == cfg == plain(cfg)
    assert copied.dump() == plain(cfg).dump()
    assert str(copied) == str(plain(cfg))
    assert not reads.keys
    copied.defrost()
    copied.SOLVER.MAX_ITER = 7
    assert (cfg.SOLVER.MAX_ITER, copied.SOLVER.get("MAX_ITER")) == (1000, 7)
    assert reads.keys == {"SOLVER.MAX_ITER"}
    assert dict(**copied.TEST.PRECISE_BN) == {"ENABLED": False, "NUM_ITER": 200}
    assert set(dict(copied.SOLVER.AMP)) == {"ENABLED", "DTYPE"}
    assert reads.keys >= {"TEST.PRECISE_BN.NUM_ITER", "SOLVER.AMP.DTYPE"}
    assert "TEST.EVAL_PERIOD" not in reads.keys


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["+train.max_iters=5"], r"train.max_iters is set, but nothing reads it: did you mean "
         r"train.max_iter.* leave it out"),
        (["+train.comet.project=x"], "train.comet.project is set, but nothing reads it"),
        (["train.ema.decay=0.9"], "train.ema.decay has no effect while train.ema.enabled is False"),
        (["train.amp.dtype=bfloat16"], "while train.amp.enabled is False"),
        (["train.clip_grad.max_norm=0", "train.clip_grad.norm_type=1"], "max_norm is 0"),
        (["train.best_checkpointer.val_metric=''", "train.best_checkpointer.mode=min"],
         "train.best_checkpointer.mode has no effect while"),
    ],
)  # fmt: skip
def test_keys_of_train_without_effect(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        load_config(LAZY, overrides)


def test_keys_of_train_with_effect() -> None:
    keys = ["train.ema={enabled: true, decay: 0.9}", "+train.cudnn_benchmark=False"]
    keys += ["train.amp.enabled=True", "train.amp.dtype=bfloat16", "+train.mine=7"]
    cfg = load_config(LAZY, [*keys, "dataloader.train.num_workers=${train.mine}"])
    assert cfg.train.ema.decay == 0.9
    assert cfg.dataloader.train.num_workers == 7


def test_misspelt_keys_of_a_file_are_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("detectron2"), "propagate", True)
    cfg = load_config(LAZY, [])
    assert unread_lazy_keys(cfg) == []
    cfg.optimiser = {"lr": 3}
    cfg.dataloader.val = {"num_workers": 3}
    cfg.width = {"of": "nothing that is known"}
    cfg.train.eval_periods = 5
    cfg.train.mine = {"width": 3, "height": 4}
    cfg.dataloader.train.num_workers = "${train.mine.width}"
    with caplog.at_level(logging.WARNING, logger="detectron2"):
        warn_of_unread_lazy_keys(cfg)
    # Once each, however many handlers pytest has.
    assert list(dict.fromkeys(caplog.messages)) == [
        "optimiser is set, but nothing reads it: did you mean optimizer?",
        "dataloader.val is set, but nothing reads it: did you mean dataloader.evaluator?",
        "train.eval_periods is set, but nothing reads it: did you mean train.eval_period or "
        "train.log_period or train.checkpointer.period?",
        "train.mine.height is set, but nothing reads it",
    ]
    foreign = OmegaConf.create({"train": {"max_iter": 5, "ddp": {"static_graph": True}}})
    assert unread_lazy_keys(foreign) == []


def test_what_a_lazy_file_sets_for_something_that_is_off_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cfg: Any = load_config(LAZY, [])
    cfg.train.ema.decay, cfg.train.amp.dtype = 0.5, "float16"  # the second is the default
    with caplog.at_level(logging.WARNING, logger="detectron2"):
        warn_of_unread_lazy_keys(cfg)
    assert caplog.messages == [
        "train.ema.decay is 0.5, which has no effect while train.ema.enabled is False"
    ]
