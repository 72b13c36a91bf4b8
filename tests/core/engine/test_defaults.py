"""DefaultTrainer and DefaultPredictor with a toy architecture from the registry."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.engine import DefaultPredictor, DefaultTrainer, HookBase, hooks
from detectron2.evaluation import DatasetEvaluator
from detectron2.modeling import META_ARCH_REGISTRY

from .toy import Batches, TwoLosses


@META_ARCH_REGISTRY.register()
class ToyArchitecture(TwoLosses):
    """In training two losses of a batch, in inference the mean colour of each image."""

    def __init__(self, cfg) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, batch):
        if self.training:
            return super().forward(self.norm(batch))
        return [
            {
                "colour": sample["image"].mean(dim=(1, 2)) + self.layer.bias,
                "input_size": tuple(sample["image"].shape[1:]),
                "size": (sample["height"], sample["width"]),
            }
            for sample in batch
        ]


class Evaluator(DatasetEvaluator):
    """Counts images."""

    def reset(self):
        self.count = 0

    def process(self, inputs, outputs):
        self.count += len(outputs)

    def evaluate(self):
        return {"bbox": {"AP": 50.0, "count": float(self.count)}}


class Trainer(DefaultTrainer):
    @classmethod
    def build_train_loader(cls, cfg):
        return Batches()

    @classmethod
    def build_test_loader(cls, cfg, dataset_name):
        sample = {"image": torch.zeros(3, 2, 2), "height": 2, "width": 2}
        return [[sample] for _ in range(3)]

    @classmethod
    def build_evaluator(cls, cfg, dataset_name):
        return Evaluator()


@pytest.fixture
def cfg(tmp_path):
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = "ToyArchitecture"
    cfg.MODEL.DEVICE = "cpu"
    cfg.DATASETS.TEST = ("toy_val",)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 6, (4,)
    cfg.SOLVER.BASE_LR, cfg.SOLVER.WARMUP_ITERS = 0.05, 2
    cfg.SOLVER.CHECKPOINT_PERIOD = 2
    cfg.TEST.EVAL_PERIOD = 3
    cfg.OUTPUT_DIR = str(tmp_path)
    return cfg


def trained(cfg, resume=False):
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    trainer.train()
    return trainer


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]


def test_a_whole_run(cfg, tmp_path):
    trainer = trained(cfg)
    assert [type(hook).__name__ for hook in trainer._hooks] == [
        "IterationTimer",
        "LRScheduler",
        "PeriodicCheckpointer",
        "EvalHook",
        "PeriodicWriter",
    ]
    assert {path.name for path in tmp_path.glob("*.pth")} == {
        "model_0000001.pth",
        "model_0000003.pth",
        "model_0000005.pth",
        "model_final.pth",
    }
    by_iteration = {line["iteration"]: line for line in lines(tmp_path)}
    assert by_iteration[2] == {"iteration": 2, "bbox/AP": 50.0, "bbox/count": 3.0}
    assert by_iteration[6] == {"iteration": 6, "bbox/AP": 50.0, "bbox/count": 3.0}
    assert {"total_loss", "loss_square", "loss_absolute", "lr", "time", "eta_seconds"} <= set(
        by_iteration[5]
    )
    assert by_iteration[5]["lr"] == pytest.approx(0.005)


def test_the_losses_are_those_that_upstream_has(cfg, tmp_path):
    """Figures of upstream Detectron2, June 2026, with torch 2.15 on a CPU."""
    trained(cfg)
    (last,) = [line for line in lines(tmp_path) if "lr" in line]
    assert last["loss_square"] == pytest.approx(0.2560509145259857, rel=1e-5)
    assert last["loss_absolute"] == pytest.approx(0.4211899936199188, rel=1e-5)


def test_checkpoints_have_upstreams_layout_and_load_without_running_code(cfg, tmp_path):
    trained(cfg)
    saved = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert set(saved) == {"model", "trainer", "iteration"}
    assert set(saved["trainer"]) == {"iteration", "hooks", "_trainer"}
    assert saved["trainer"]["hooks"] == {"LRScheduler": {"base_lrs": [0.05, 0.05], "last_epoch": 6}}
    assert set(saved["trainer"]["_trainer"]) == {"iteration", "optimizer"}
    assert [
        len(group["params"]) for group in saved["trainer"]["_trainer"]["optimizer"]["param_groups"]
    ] == [2, 2]
    assert saved["iteration"] == saved["trainer"]["iteration"] == 5


def test_a_resumed_run_goes_on_where_the_first_one_stopped(cfg, tmp_path):
    first = trained(cfg)
    cfg.SOLVER.MAX_ITER = 8
    resumed = Trainer(cfg)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 6
    for mine, theirs in zip(resumed.model.parameters(), first.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    state = zip(resumed.optimizer.state.values(), first.optimizer.state.values(), strict=True)
    assert all(torch.equal(a["momentum_buffer"], b["momentum_buffer"]) for a, b in state)
    resumed.train()
    rates = [rate for rate, _ in resumed.storage.history("lr").values()]
    assert rates == pytest.approx([0.005, 0.005])
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"
    assert lines(tmp_path)[-1]["iteration"] == 8


def test_without_resume_only_weights_are_loaded(cfg, tmp_path):
    first = trained(cfg)
    cfg.MODEL.WEIGHTS = str(tmp_path / "model_final.pth")
    cfg.OUTPUT_DIR = str(tmp_path / "second")
    second = Trainer(cfg)
    second.resume_or_load(resume=False)
    assert second.start_iter == second.iter == 0
    assert torch.equal(second.model.layer.weight, first.model.layer.weight)
    assert not second.optimizer.state


def test_expected_results_are_verified(cfg):
    cfg.TEST.EXPECTED_RESULTS = [["bbox", "AP", 50.0, 0.1]]
    results = Trainer(cfg).train()
    assert results == {"bbox": {"AP": 50.0, "count": 3.0}}


def test_precise_batch_norm_is_switched_on_by_the_configuration(cfg):
    cfg.TEST.PRECISE_BN.ENABLED, cfg.TEST.PRECISE_BN.NUM_ITER = True, 4
    trainer = Trainer(cfg)
    assert [type(hook).__name__ for hook in trainer._hooks][2] == "PreciseBN"
    trainer.train()
    # The statistics are those of the 4 batches after the first 4, which iteration 2 has used.
    batches = torch.cat([batch for _, batch in zip(range(8), Batches(), strict=False)][4:])
    torch.testing.assert_close(trainer.model.norm.running_mean, batches.mean(0))


@pytest.mark.core_only(reason="upstream's inner trainer has hooks of its own only")
def test_hooks_are_told_of_the_backward_pass(cfg):
    class Gradients(HookBase):
        norms: list[float] = []  # noqa: RUF012

        def after_backward(self):
            self.norms.append(self.trainer.model.layer.weight.grad.norm().item())

    trainer = Trainer(cfg)
    trainer.register_hooks([Gradients()])
    trainer.train()
    assert len(Gradients.norms) == 6
    assert min(Gradients.norms) > 0


@pytest.mark.core_only(reason="upstream's needs a GPU")
def test_mixed_precision_is_switched_on_by_the_configuration(cfg, tmp_path):
    cfg.SOLVER.AMP.ENABLED = True
    trained(cfg)
    saved = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert "scale" in saved["trainer"]["_trainer"]["grad_scaler"]


def test_results_of_several_data_sets_are_kept_apart(cfg):
    cfg.DATASETS.TEST = ("toy_val", "toy_test")
    results = Trainer.test(cfg, Trainer.build_model(cfg))
    assert list(results) == ["toy_val", "toy_test"]
    assert results["toy_test"]["bbox"]["count"] == 3.0


def test_a_data_set_without_evaluator_is_skipped_with_a_warning(cfg, caplog):
    class NoEvaluator(Trainer):
        build_evaluator = DefaultTrainer.build_evaluator

    with caplog.at_level("WARNING", logger="detectron2.engine.defaults"):
        assert NoEvaluator.test(cfg, Trainer.build_model(cfg)) == {}
    assert "build_evaluator" in caplog.text


def test_evaluators_can_be_passed_but_one_for_each_data_set(cfg):
    model = Trainer.build_model(cfg)
    assert Trainer.test(cfg, model, Evaluator())["bbox"]["AP"] == 50.0
    with pytest.raises((AssertionError, ValueError)):
        Trainer.test(cfg, model, [Evaluator(), Evaluator()])


def test_the_schedule_is_scaled_with_the_number_of_processes():
    cfg = get_cfg()
    cfg.SOLVER.REFERENCE_WORLD_SIZE, cfg.SOLVER.IMS_PER_BATCH = 8, 16
    cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 0.02, 1001, (100, 333)
    cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.CHECKPOINT_PERIOD, cfg.TEST.EVAL_PERIOD = 10, 7, 3
    cfg.freeze()
    scaled = DefaultTrainer.auto_scale_workers(cfg, 3)
    solver = scaled.SOLVER
    assert (solver.IMS_PER_BATCH, solver.REFERENCE_WORLD_SIZE) == (6, 3)
    assert pytest.approx(0.0075) == solver.BASE_LR
    assert (solver.MAX_ITER, solver.STEPS, solver.WARMUP_ITERS) == (2669, (267, 888), 27)
    assert (solver.CHECKPOINT_PERIOD, scaled.TEST.EVAL_PERIOD) == (19, 8)
    assert scaled.is_frozen()
    assert cfg.SOLVER.IMS_PER_BATCH == 16
    assert DefaultTrainer.auto_scale_workers(cfg, 8) is cfg
    assert DefaultTrainer.auto_scale_workers(scaled, 3) is scaled


def test_a_reference_batch_that_does_not_divide_is_refused():
    cfg = get_cfg()
    cfg.SOLVER.REFERENCE_WORLD_SIZE, cfg.SOLVER.IMS_PER_BATCH = 8, 12
    with pytest.raises((AssertionError, ValueError)):
        DefaultTrainer.auto_scale_workers(cfg, 4)


@pytest.mark.parametrize(
    ("image_format", "expected"), [("BGR", [10, 20, 30]), ("RGB", [30, 20, 10])]
)
def test_predictor_resizes_orders_channels_and_loads_weights(cfg, tmp_path, image_format, expected):
    model = Trainer.build_model(cfg)
    nn.init.constant_(model.layer.bias, 0.5)
    DetectionCheckpointer(model, str(tmp_path)).save("weights")
    cfg.MODEL.WEIGHTS = str(tmp_path / "weights.pth")
    cfg.INPUT.FORMAT = image_format
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 32, 48
    predictor = DefaultPredictor(cfg)
    image = np.full((10, 20, 3), (10, 20, 30), dtype=np.uint8)
    result = predictor(image)
    assert result["colour"].tolist() == [value + 0.5 for value in expected]
    assert not result["colour"].requires_grad
    assert result["input_size"] == (24, 48)
    assert result["size"] == (10, 20)
    assert predictor.metadata.name == "toy_val"


@pytest.mark.core_only(reason="upstream fails somewhere inside the resizing")
def test_predictor_refuses_what_is_no_colour_image(cfg):
    with pytest.raises(ValueError, match=r"\(10, 20\)"):
        DefaultPredictor(cfg)(np.zeros((10, 20), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"values of 0 to 255 .* got uint16"):
        DefaultPredictor(cfg)(np.zeros((10, 20, 3), dtype=np.uint16))


def test_custom_hooks_can_follow_the_stock_ones(cfg):
    class More(Trainer):
        def build_hooks(self):
            return [*super().build_hooks(), hooks.CallbackHook()]

    assert isinstance(More(cfg)._hooks[-1], hooks.CallbackHook)
