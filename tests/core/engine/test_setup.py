"""Command line, setup of a process, writers, and the wrapping for several processes."""

import argparse
import importlib.util
import logging
import random

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from detectron2.config import LazyCall, LazyConfig, get_cfg
from detectron2.engine import (
    create_ddp_model,
    default_argument_parser,
    default_setup,
    default_writers,
)
from detectron2.utils.events import CommonMetricPrinter, JSONWriter, TensorboardXWriter


@pytest.fixture(autouse=True)
def _restore_global_state():
    """default_setup is about state of the whole process: log handlers, seeds, torch's settings."""
    loggers = {name: logging.getLogger(name) for name in ("detectron2", "fvcore")}
    before = {
        name: (logger.level, logger.propagate, list(logger.handlers))
        for name, logger in loggers.items()
    }
    precision, benchmark = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    yield
    for name, logger in loggers.items():
        for handler in set(logger.handlers) - set(before[name][2]):
            handler.close()
        logger.level, logger.propagate, logger.handlers = before[name]
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.benchmark = benchmark


def test_options_and_their_defaults():
    args = default_argument_parser().parse_args([])
    assert args.config_file == ""
    assert not args.resume
    assert not args.eval_only
    assert (args.num_gpus, args.num_machines, args.machine_rank) == (1, 1, 0)
    assert args.opts == []


def test_everything_after_the_options_changes_the_configuration():
    args = default_argument_parser().parse_args(
        [
            "--config-file",
            "a.yaml",
            "--resume",
            "--eval-only",
            "--num-gpus",
            "4",
            "--num-machines",
            "2",
            "--machine-rank",
            "1",
            "--dist-url",
            "tcp://host:1",
            "SOLVER.BASE_LR",
            "0.1",
            "x=-1",
        ]
    )
    assert (args.config_file, args.resume, args.eval_only) == ("a.yaml", True, True)
    assert (args.num_gpus, args.num_machines, args.machine_rank) == (4, 2, 1)
    assert args.dist_url == "tcp://host:1"
    assert args.opts == ["SOLVER.BASE_LR", "0.1", "x=-1"]


def test_help_has_examples_or_the_programs_own_epilog():
    assert "--num-gpus 8 --config-file cfg.yaml" in default_argument_parser().format_help()
    own = default_argument_parser("mine alone").format_help()
    assert "mine alone" in own
    assert "cfg.yaml" not in own


def numbers():
    return random.random(), float(np.random.rand()), float(torch.rand(1))


@pytest.mark.parametrize("kind", ["yaml", "lazy"])
def test_setup_saves_the_configuration_logs_and_seeds(tmp_path, kind):
    output = tmp_path / "made" / "by setup"
    if kind == "yaml":
        cfg = get_cfg()
        cfg.OUTPUT_DIR, cfg.SEED, cfg.CUDNN_BENCHMARK = str(output), 5, True
    else:
        train = {"output_dir": str(output), "seed": 5, "cudnn_benchmark": True}
        model = LazyCall(nn.Linear)(in_features=1, out_features=2)
        (tmp_path / "lazy.py").write_text("train = {}\n")
        cfg = LazyConfig.load(str(tmp_path / "lazy.py"))
        cfg.train, cfg.model = train, model
    config_file = tmp_path / "source.yaml"
    config_file.write_text("# the source of it all\n")

    drawn = []
    for _ in range(2):
        default_setup(cfg, argparse.Namespace(config_file=str(config_file), eval_only=False))
        drawn.append(numbers())
    assert drawn[0] == drawn[1]
    assert torch.backends.cudnn.benchmark

    log = (output / "log.txt").read_text()
    assert "the source of it all" in log
    assert np.__version__ in log
    saved = (output / "config.yaml").read_text()
    if kind == "yaml":
        assert yaml.safe_load(saved)["SEED"] == 5
    else:
        loaded = LazyConfig.load(str(output / "config.yaml"))
        assert loaded.train.seed == 5
        assert loaded.model.out_features == 2


def test_a_negative_seed_is_a_new_one_each_time(tmp_path):
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path)
    drawn = []
    for _ in range(2):
        torch.manual_seed(0)
        default_setup(cfg, argparse.Namespace())
        drawn.append(numbers())
    assert drawn[0] != drawn[1]


def test_cudnn_benchmark_is_not_for_evaluation(tmp_path):
    cfg = get_cfg()
    cfg.OUTPUT_DIR, cfg.CUDNN_BENCHMARK = str(tmp_path), True
    torch.backends.cudnn.benchmark = False
    default_setup(cfg, argparse.Namespace(config_file="", eval_only=True))
    assert not torch.backends.cudnn.benchmark


@pytest.mark.core_only(reason="upstream ignores it without a GPU")
def test_float32_precision(tmp_path):
    cfg = get_cfg()
    cfg.OUTPUT_DIR, cfg.FLOAT32_PRECISION = str(tmp_path), "high"
    default_setup(cfg, argparse.Namespace())
    assert torch.get_float32_matmul_precision() == "high"
    cfg.FLOAT32_PRECISION = "approximately"
    with pytest.raises(ValueError, match="approximately"):
        default_setup(cfg, argparse.Namespace())


def test_writers(tmp_path):
    folder = tmp_path / "new"
    writers = default_writers(str(folder), 10)
    kinds = [CommonMetricPrinter, JSONWriter]
    if importlib.util.find_spec("tensorboard") is not None:
        kinds.append(TensorboardXWriter)
    assert [type(writer) for writer in writers] == kinds
    assert (folder / "metrics.json").exists()
    for writer in writers:
        writer.close()


@pytest.mark.core_only(reason="upstream needs TensorBoard once it writes")
def test_without_tensorboard_there_is_one_writer_less_and_a_line_in_the_log(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with caplog.at_level("INFO", logger="detectron2.engine.setup"):
        writers = default_writers(str(tmp_path))
    assert [type(writer) for writer in writers] == [CommonMetricPrinter, JSONWriter]
    assert len(caplog.records) == 1
    assert "TensorBoard" in caplog.text
    writers[1].close()


def test_one_process_needs_no_wrapping():
    model = nn.Linear(1, 1)
    assert create_ddp_model(model, broadcast_buffers=False) is model
