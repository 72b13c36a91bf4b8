"""Test-time augmentation in evaluations, from configs of both kinds."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from detectron2.config import instantiate
from detectron2.modeling import GeneralizedRCNN, GeneralizedRCNNWithTTA
from projects_ext.engine import Trainer, YamlTrainer, load_config
from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.evaluated_model import for_evaluation, say_not_augmented
from projects_ext.engine.key_reads import reads_of
from projects_ext.engine.main import run
from projects_ext.errors import UserError

CONFIGS = Path(__file__).parents[3] / "configs"
YAML = str(CONFIGS / "quickstart" / "mask_rcnn_shapes.yaml")
LAZY = str(CONFIGS / "quickstart" / "mask_rcnn_shapes.py")
ON = ["train.test_augmentation.enabled=True", "train.test_augmentation.min_sizes=[96,128]"]
YAML_ON = ["TEST.AUG.ENABLED=True", "TEST.AUG.MIN_SIZES=(96,128)"]


@pytest.fixture(scope="module")
def lazy_data(shapes_overrides: list[str]) -> list[str]:
    loading = ["dataloader.train.num_workers=0", "dataloader.test.num_workers=0"]
    return [*shapes_overrides, *loading, "train.device=cpu"]


def image(channels: int = 3) -> dict[str, Any]:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (channels, 96, 128), dtype=torch.uint8)
    return {"image": pixels, "height": 96, "width": 128, "file_name": "some.png"}


def detect(cfg: Any, model: nn.Module, given: dict[str, Any]) -> Any:
    with torch.no_grad():
        return for_evaluation(cfg, model.eval())([given])[0]["instances"]


def test_both_routes_evaluate_the_same(
    data: list[str], lazy_data: list[str], tmp_path: Path
) -> None:
    """The augmented model's detections, as Detectron2's own class gives them."""
    where = [f"OUTPUT_DIR={tmp_path}", "TEST.DETECTIONS_PER_IMAGE=20"]
    cfg = load_config(YAML, [*data, *where, *YAML_ON])
    model = YamlTrainer.build_model(cfg).eval()
    by_yaml = detect(cfg, model, image())
    with torch.no_grad():
        expected = GeneralizedRCNNWithTTA(cfg, model)([image()])[0]["instances"]
    lazy = load_config(LAZY, [*lazy_data, *ON])
    model.roi_heads.box_predictor.test_topk_per_image = 20
    by_lazy = detect(lazy, model, image())
    assert 0 < len(expected) <= 20
    for found in (by_yaml, by_lazy):
        assert torch.equal(found.scores, expected.scores)
        assert torch.equal(found.pred_masks, expected.pred_masks)

    plain = load_config(YAML, [*data, *where])
    results = []
    for one in (cfg, plain):
        YamlTrainer.test(one, model)
        results.append(json.loads((tmp_path / "coco_instances_results.json").read_text()))
    assert results[0]
    assert results[0] != results[1]


def test_trains_and_evaluates_with_it(
    lazy_data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    call = GeneralizedRCNNWithTTA.__call__

    def counted(self: Any, inputs: list[dict[str, Any]]) -> Any:
        seen.extend(sample["file_name"] for sample in inputs)
        return call(self, inputs)

    monkeypatch.setattr(GeneralizedRCNNWithTTA, "__call__", counted)
    keys = [*lazy_data, *ON, "train.max_iter=2", "train.eval_period=1"]
    keys += ["dataloader.train.total_batch_size=2", f"train.output_dir={tmp_path}"]
    metrics = run(parse_arguments(["--config-file", LAZY, *keys]))
    assert metrics is not None
    assert set(metrics) == {"bbox", "segm"}
    assert len(seen) == 2 * 4  # evaluations x images


def test_the_model_keeps_its_mode(lazy_data: list[str]) -> None:
    cfg = load_config(LAZY, [*lazy_data, *ON])
    model = Trainer.build_model(cfg)
    for training in (True, False):
        assert for_evaluation(cfg, model.train(training)).training is training
        assert model.training is training


def test_off_by_default(lazy_data: list[str], data: list[str]) -> None:
    model = nn.Identity()
    assert for_evaluation(load_config(LAZY, lazy_data), model) is model
    assert for_evaluation(load_config(YAML, data), model) is model


@pytest.mark.parametrize("name", ["grid_rcnn/grid_rcnn_shapes", "groie/mask_rcnn_groie_shapes"])
def test_heads_of_this_project(name: str, shapes_overrides: list[str]) -> None:
    keys = [*shapes_overrides, *ON, "train.device=cpu"]
    cfg = load_config(str(CONFIGS / f"{name}.py"), keys)
    found = detect(cfg, Trainer.build_model(cfg), image())
    assert len(found) > 0
    assert torch.isfinite(found.pred_boxes.tensor).all()


def test_in_a_cascade_the_last_stage_decides() -> None:
    cfg = load_config(str(CONFIGS / "groie" / "cascade_mask_rcnn_r50_fpn_groie_1x.py"), ON)
    predictors = cfg.model.roi_heads.box_predictors
    predictors[0].test_nms_thresh, predictors[-1].test_nms_thresh = 0.9, 0.25
    cfg.train.init_checkpoint = ""
    tta = for_evaluation(cfg, instantiate(cfg.model))
    assert isinstance(tta, GeneralizedRCNNWithTTA)
    assert tta.cfg.MODEL.ROI_HEADS.NMS_THRESH_TEST == 0.25
    assert tta.cfg.MODEL.MASK_ON


def test_wrong_channels_are_refused_by_name(lazy_data: list[str]) -> None:
    cfg = load_config(LAZY, [*lazy_data, *ON])
    with pytest.raises(UserError, match=r"some\.png"):
        detect(cfg, Trainer.build_model(cfg), image(channels=4))


def own_inference(self: Any, batched_inputs: Any, do_postprocess: bool = True) -> Any:
    """Of a model with one way to predict."""


class WithoutGivenBoxes(GeneralizedRCNN):
    inference = own_inference


@pytest.mark.parametrize(
    "make", [nn.Identity, lambda: WithoutGivenBoxes.__new__(WithoutGivenBoxes)]
)
def test_other_models_are_refused(
    make: Callable[[], nn.Module], lazy_data: list[str], data: list[str]
) -> None:
    for cfg in (load_config(LAZY, [*lazy_data, *ON]), load_config(YAML, [*data, *YAML_ON])):
        with pytest.raises(UserError, match="only two-stage detectors .* set it to False"):
            for_evaluation(cfg, make())


def test_condinst_is_refused_before_training(shapes_overrides: list[str], tmp_path: Path) -> None:
    keys = [*shapes_overrides, *ON, "train.device=cpu", f"train.output_dir={tmp_path}"]
    config = str(CONFIGS / "condinst" / "condinst_shapes.py")
    with pytest.raises(UserError, match="the model is a CondInst: set it to False"):
        run(parse_arguments(["--config-file", config, *keys]))
    weights = "train.init_checkpoint=missing.pth"
    with pytest.raises(UserError, match="the model is a CondInst: set it to False"):
        run(parse_arguments(["--eval-only", "--config-file", config, *keys, weights]))


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (["TEST.AUG.ENABLED=True", "TEST.AUG.MIN_SIZES=()"], "MIN_SIZES.* is empty"),
        (["TEST.AUG.ENABLED=True", "MODEL.LOAD_PROPOSALS=True"], "MODEL.LOAD_PROPOSALS is True"),
    ],
)
def test_what_it_cannot_do_from_yaml(keys: list[str], sentence: str, data: list[str]) -> None:
    cfg = load_config(YAML, [*data, *keys])
    model = GeneralizedRCNN.__new__(GeneralizedRCNN)
    with pytest.raises(UserError, match=sentence):
        for_evaluation(cfg, model)


def test_keys_have_an_effect_or_are_refused(data: list[str], lazy_data: list[str]) -> None:
    cfg = load_config(YAML, [*data, *YAML_ON])
    for_evaluation(cfg, YamlTrainer.build_model(cfg))
    assert not [key for key in reads_of(cfg).unread() if key.startswith("TEST.AUG")]
    with pytest.raises(UserError, match=r"TEST\.AUG\.MIN_SIZES.*TEST\.AUG\.ENABLED True"):
        YamlTrainer(load_config(YAML, [*data, "TEST.AUG.MIN_SIZES=(96,)"]))
    with pytest.raises(UserError, match=r"flip has no effect while .*enabled is False"):
        load_config(LAZY, [*lazy_data, "train.test_augmentation.flip=False"])


def test_predictions_say_that_they_are_plain(
    lazy_data: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "detectron2.projects_ext"):
        say_not_augmented(load_config(LAZY, [*lazy_data, *ON]))
    assert "has no effect here" in caplog.text
