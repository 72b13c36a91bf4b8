"""Averaged weights: their arithmetic, and their way through checkpoints and evaluations."""

from pathlib import Path

import pytest
import torch
from torch import nn

from projects_ext.engine import Trainer, load_config
from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.ema import AverageWeights, averaged_copy, averaged_weights
from projects_ext.engine.main import run

CONFIG = str(Path(__file__).parents[3] / "configs" / "quickstart" / "mask_rcnn_shapes.py")
KEYS = [
    "train.max_iter=2",
    "train.eval_period=0",
    "train.device=cpu",
    "train.ema.enabled=True",
    "train.checkpointer.period=1",
    "dataloader.train.num_workers=0",
    "dataloader.test.num_workers=0",
    "dataloader.train.total_batch_size=2",
]


def overrides(shapes_overrides: list[str], output: Path, *more: str) -> list[str]:
    return [*shapes_overrides, *KEYS, f"train.output_dir={output}", *more]


def test_arithmetic() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    average = averaged_copy(model, decay=0.5)
    hook = AverageWeights(average, model)
    weight, norm = model[0].weight, model[1]
    seen = []
    for value in (1.0, 3.0, 3.0):
        nn.init.constant_(weight, value)
        nn.init.constant_(norm.running_mean, 10 * value)
        norm.num_batches_tracked += 1
        hook.after_step()
        seen.append(average.module[0].weight.item())
    # The first weights as they are; then the decay is (1 + n) / (10 + n): 2 / 11 and 3 / 12.
    second = 1 * 2 / 11 + 3 * 9 / 11
    assert seen == pytest.approx([1.0, second, second / 4 + 3 * 3 / 4])
    assert average.module[1].running_mean.item() == pytest.approx(10 * seen[-1])
    assert average.module[1].num_batches_tracked == 3
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert weight.requires_grad


def test_decay_is_reached() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = averaged_copy(model, decay=0.5)
    average.n_averaged += 1000
    nn.init.constant_(average.module.weight, 1.0)
    nn.init.constant_(model.weight, 0.0)
    average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(0.5)


@pytest.fixture(scope="module")
def trained(shapes_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of two iterations with averaging; tests only read it."""
    output = tmp_path_factory.mktemp("averaged")
    run(parse_arguments(["--config-file", CONFIG, *overrides(shapes_overrides, output)]))
    return output


def test_checkpoint_holds_both_and_evaluation_takes_the_average(
    trained: Path, shapes_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[nn.Module] = []

    def remember(cls: type[Trainer], cfg: object, model: nn.Module) -> dict[str, object]:
        evaluated.append(model)
        return {}

    monkeypatch.setattr(Trainer, "test", classmethod(remember))
    checkpoint_file = f"train.init_checkpoint={trained / 'model_final.pth'}"
    keys = overrides(shapes_overrides, tmp_path, checkpoint_file)
    for more in ([], ["train.ema.enabled=False"]):
        run(parse_arguments(["--eval-only", "--config-file", CONFIG, *keys, *more]))
    taken, plain = (dict(model.named_parameters()) for model in evaluated)
    checkpoint = torch.load(trained / "model_final.pth", weights_only=True)
    average = checkpoint["ema"]
    assert average["n_averaged"] == 2
    for name in taken:
        assert torch.equal(taken[name], average[f"module.{name}"])
        assert torch.equal(plain[name], checkpoint["model"][name])
    assert not all(torch.equal(taken[name], plain[name]) for name in taken)


def test_resume_goes_on_with_the_average(
    trained: Path, shapes_overrides: list[str], tmp_path: Path
) -> None:
    for name in ("model_final.pth", "last_checkpoint"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    keys = overrides(shapes_overrides, tmp_path, "train.max_iter=3")
    trainer = Trainer(load_config(CONFIG, keys))
    trainer.resume_or_load(resume=True)
    assert trainer.average is not None
    saved = torch.load(trained / "model_final.pth", weights_only=True)["ema"]
    for name, value in trainer.average.state_dict().items():
        assert torch.equal(value, saved[name])
    assert trainer.start_iter == 2


def test_weights_without_an_average_stay_as_they_are(tmp_path: Path) -> None:
    torch.save({"model": nn.Linear(2, 2).state_dict()}, tmp_path / "plain.pth")
    assert averaged_weights(str(tmp_path / "plain.pth")) is None
