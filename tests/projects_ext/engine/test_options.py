"""The options of a training run, from the command line to what the run leaves behind."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pycocotools import mask as mask_util

from detectron2.config import LazyCall as L
from detectron2.engine import HookBase
from detectron2.utils.events import EventWriter, get_event_storage
from projects_ext.engine import load_config
from projects_ext.engine.main import check, run, train
from projects_ext.errors import UserError

from .test_main import arguments
from .test_yaml import arguments as yaml_arguments


class CountSteps(HookBase):
    """Writes how many iterations there were."""

    def __init__(self, file: str) -> None:
        self.file, self.count = Path(file), 0

    def after_step(self) -> None:
        self.count += 1
        self.file.write_text(str(self.count))


class LastLoss(EventWriter):
    """Writes the latest total loss."""

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def write(self) -> None:
        self.file.write_text(str(get_event_storage().latest()["total_loss"][0]))


def metrics_of(output: Path) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for line in (output / "metrics.json").read_text().splitlines():
        entry = json.loads(line)
        found.setdefault(entry["iteration"], {}).update(entry)
    return found


def trained_iterations(output: Path) -> int:
    return sum("total_loss" in entry for entry in metrics_of(output).values())


def test_hooks_and_writers_of_the_config(shapes_overrides: list[str], tmp_path: Path) -> None:
    given = arguments(shapes_overrides, tmp_path)
    cfg = load_config(given.config_file, given.opts)
    cfg.train.hooks = [L(CountSteps)(file=str(tmp_path / "steps"))]
    cfg.train.writers = [L(LastLoss)(file=str(tmp_path / "loss"))]
    train(cfg, given)
    assert (tmp_path / "steps").read_text() == "2"
    assert float((tmp_path / "loss").read_text()) > 0
    # What is saved is what ran.
    saved = load_config(str(tmp_path / "config.yaml"), [])
    assert saved.train.hooks[0]["file"] == str(tmp_path / "steps")


def test_hooks_of_the_config_file_itself_stay_out_of_the_saved_config(
    shapes_overrides: list[str], tmp_path: Path
) -> None:
    given = arguments(shapes_overrides, tmp_path, "train.max_iter=1")
    config = tmp_path / "with_hook.py"
    config.write_text(
        "from detectron2.config import LazyCall as L, LazyConfig\n"
        "from detectron2.engine import HookBase\n\n"
        f"globals().update(LazyConfig.load({given.config_file!r}))\n\n"
        "class Touch(HookBase):\n"
        "    def after_train(self):\n"
        f"        open({str(tmp_path / 'touched')!r}, 'w').close()\n\n"
        "train.hooks = [L(Touch)()]\n"
    )
    given.config_file = str(config)
    run(given)
    assert (tmp_path / "touched").is_file()
    assert "leaves them out" in (tmp_path / "log.txt").read_text()
    assert load_config(str(tmp_path / "config.yaml"), []).train.hooks == []


def test_validation_losses_of_masks_in_run_lengths(
    shapes_overrides: list[str], shapes: Path, tmp_path: Path
) -> None:
    content = json.loads((shapes / "annotations" / "instances_val.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    for annotation in content["annotations"]:
        if isinstance(annotation["segmentation"], list):
            parts = mask_util.frPyObjects(
                annotation["segmentation"], *sizes[annotation["image_id"]]
            )
            merged = mask_util.merge(parts)
            annotation["segmentation"] = {**merged, "counts": merged["counts"].decode()}
    file = tmp_path / "val.json"
    file.write_text(json.dumps(content))
    keys = ["train.max_iter=1", "train.eval_period=1", "train.validation_loss=True"]
    metrics = run(arguments(shapes_overrides, tmp_path, *keys, f"data.val_json={file}"))
    assert metrics is not None
    assert metrics["validation"]["loss_mask"] > 0


def test_what_is_no_hook_is_refused(shapes_overrides: list[str], tmp_path: Path) -> None:
    given = arguments(shapes_overrides, tmp_path)
    cfg = load_config(given.config_file, given.opts)
    cfg.train.hooks = [L(LastLoss)(file="")]
    with pytest.raises(UserError, match=r"train\.hooks\.0 is LastLoss: it must describe"):
        train(cfg, given)


def test_options_together(shapes_overrides: list[str], tmp_path: Path) -> None:
    """Two batches per update, frozen stem, decayed rates, recomputing, validation losses."""
    keys = ["train.accumulate=2", "train.freeze=[backbone.bottom_up.stem]", "train.recompute=True"]
    keys += ["train.layer_decay=0.5", "train.validation_loss=True", "train.eval_period=1"]
    keys += ["train.best_checkpointer.val_metric=validation/total_loss"]
    keys += ["train.best_checkpointer.mode=min"]
    metrics = run(arguments(shapes_overrides, tmp_path, *keys))
    assert metrics is not None
    assert metrics["validation"]["total_loss"] > 0
    recorded = metrics_of(tmp_path)
    assert {"validation/total_loss", "validation/loss_mask"} <= set(recorded[0])
    best = torch.load(tmp_path / "model_best.pth", weights_only=True)
    losses = {i: entry["validation/total_loss"] for i, entry in recorded.items() if i != 1}
    assert best["iteration"] == min(losses, key=lambda iteration: losses[iteration])
    log = (tmp_path / "log.txt").read_text()
    assert "2 iterations of 4 images" in log
    assert "Frozen: backbone.bottom_up.stem" in log
    final = torch.load(tmp_path / "model_final.pth", weights_only=True)["model"]
    first = torch.load(tmp_path / "model_0000000.pth", weights_only=True)["model"]
    changed = {name for name in final if (final[name] != first[name]).any()}
    assert not [name for name in changed if name.startswith("backbone.bottom_up.stem")]
    assert [name for name in changed if name.startswith("backbone.bottom_up.res5")]


def test_the_same_options_in_yaml(shapes_keys: list[str], tmp_path: Path) -> None:
    keys = ["SOLVER.ACCUMULATE", "2", "MODEL.FREEZE", "['backbone.bottom_up.stem']"]
    keys += ["MODEL.RECOMPUTE", "True", "SOLVER.LAYER_DECAY", "0.5", "TEST.VALIDATION_LOSS", "True"]
    keys += ["TEST.BEST_METRIC", "validation/total_loss", "TEST.BEST_METRIC_MODE", "min"]
    keys += ["SOLVER.EARLY_STOPPING.PATIENCE", "3", "TRACKING.TENSORBOARD", "False"]
    run(yaml_arguments(shapes_keys, tmp_path, *keys))
    recorded = metrics_of(tmp_path)
    assert {"validation/total_loss", "validation/loss_mask"} <= set(recorded[2])
    assert "2 iterations of 4 images" in (tmp_path / "log.txt").read_text()
    assert "Frozen: backbone.bottom_up.stem" in (tmp_path / "log.txt").read_text()
    assert (tmp_path / "model_best.pth").is_file()
    assert not list(tmp_path.glob("events.out.tfevents*"))


def test_validation_losses_do_not_change_the_training(
    shapes_overrides: list[str], tmp_path: Path
) -> None:
    keys = ["train.seed=3", "train.max_iter=3", "train.eval_period=1"]
    for name, more in (("with", ["train.validation_loss=True"]), ("without", [])):
        run(arguments(shapes_overrides, tmp_path / name, *keys, *more))
    one, other = (metrics_of(tmp_path / name) for name in ("with", "without"))
    assert [one[i]["total_loss"] for i in range(3)] == [other[i]["total_loss"] for i in range(3)]


def test_early_stopping_ends_with_a_final_checkpoint(
    shapes_overrides: list[str], tmp_path: Path
) -> None:
    keys = ["train.max_iter=5", "train.eval_period=1", "train.early_stopping.min_delta=100"]
    keys += ["train.best_checkpointer.val_metric=bbox/AP", "train.early_stopping.patience=2"]
    metrics = run(arguments(shapes_overrides, tmp_path, *keys))
    assert metrics is not None
    assert trained_iterations(tmp_path) == 3
    assert torch.load(tmp_path / "model_final.pth", weights_only=True)["iteration"] == 2
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"
    assert "Stopped early: bbox/AP" in (tmp_path / "log.txt").read_text()
    run(arguments(shapes_overrides, tmp_path, *keys, resume=True))
    assert trained_iterations(tmp_path) == 3
    more = [*keys[:-1], "train.early_stopping.patience=4"]
    run(arguments(shapes_overrides, tmp_path, *more, resume=True))
    assert trained_iterations(tmp_path) == 5


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (["train.early_stopping.patience=2"], r"set train\.best_checkpointer\.val_metric"),
        (["train.early_stopping.min_delta=1"], "no effect while train.early_stopping.patience"),
        (["train.layer_decay=0"], r"train\.layer_decay is 0: set it to a number of above 0"),
        (["train.accumulate=0"], r"train\.accumulate is 0"),
        (["train.freeze=stem"], r"train\.freeze is 'stem': it must be a list"),
    ],
)
def test_wrong_values_are_refused(
    shapes_overrides: list[str], tmp_path: Path, keys: list[str], sentence: str
) -> None:
    given = arguments(shapes_overrides, tmp_path, *keys)
    if "best_checkpointer" in sentence:
        given.opts.append("train.best_checkpointer.val_metric=''")
    with pytest.raises(UserError, match=sentence):
        check(load_config(given.config_file, given.opts), given)


def test_a_batch_that_does_not_fit_ends_in_one_sentence(
    shapes_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*rest: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("detectron2.modeling.GeneralizedRCNN.forward", full)
    remedies = r"train\.accumulate=2 .* \(train\.amp\.enabled=True.* \(train\.recompute=True"
    with pytest.raises(UserError, match=remedies):
        run(arguments(shapes_overrides, tmp_path))
