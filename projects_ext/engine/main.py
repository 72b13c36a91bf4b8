"""The command line behind ``train_net.py``."""

import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import LazyConfig
from detectron2.engine import default_argument_parser, default_setup, launch
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from .overview import describe_run
from .results import write_results
from .trainer import Trainer

logger = logging.getLogger("detectron2.projects_ext")

EPILOG = """\
examples:
  train        python train_net.py --config-file configs/quickstart/mask_rcnn_shapes.py
  go on        python train_net.py --config-file … --resume
  evaluate     python train_net.py --config-file … --eval-only train.init_checkpoint=model.pth
  change keys  python train_net.py --config-file … train.max_iter=2000 optimizer.lr=0.001

What a run writes into train.output_dir: config.yaml, log.txt, metrics.json, TensorBoard events,
model_*.pth, last_checkpoint, evaluation.json and the evaluators' own files.
"""


def argument_parser() -> ArgumentParser:
    """Detectron2's options with this project's examples."""
    parser = default_argument_parser(epilog=EPILOG)
    parser.description = "Train, resume or evaluate what a LazyConfig file describes."
    return parser


def load_config(config_file: str, overrides: list[str]) -> DictConfig:
    """The config file with the command line's ``key=value`` pairs on top."""
    return LazyConfig.apply_overrides(LazyConfig.load(config_file), overrides)


@contextmanager
def _log_file_only() -> Iterator[None]:
    """Within, Detectron2's log goes to its file and only warnings reach the terminal."""
    handlers = [
        handler
        for handler in logging.getLogger("detectron2").handlers
        if isinstance(handler, logging.StreamHandler)
        and not isinstance(handler, logging.FileHandler)
        and handler.level < logging.WARNING
    ]
    levels = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)


def set_up(cfg: DictConfig, arguments: Namespace) -> None:
    """Logging, seeds and output folder as Detectron2 does it, with a short first screen.

    The environment and the whole config go to ``log.txt``; the terminal gets a summary.
    """
    setup_logger(cfg.train.output_dir, distributed_rank=comm.get_rank())
    with _log_file_only():
        default_setup(cfg, arguments)
    logger.info(describe_run(cfg, arguments.config_file))


def evaluate(cfg: DictConfig, arguments: Namespace) -> dict[str, Any]:
    """Evaluate ``train.init_checkpoint`` (with ``--resume``: the output folder's last one)."""
    model = Trainer.build_model(cfg)
    checkpointer = DetectionCheckpointer(model, cfg.train.output_dir)
    checkpoint = cfg.train.init_checkpoint
    if arguments.resume and checkpointer.has_checkpoint():
        checkpoint = checkpointer.get_checkpoint_file()
    if not checkpoint:
        raise ValueError(
            "--eval-only has no weights to evaluate: add train.init_checkpoint=FILE, or --resume "
            f"for the last checkpoint in {cfg.train.output_dir}"
        )
    checkpointer.load(checkpoint)
    metrics = Trainer.test(cfg, model)
    write_results(cfg, arguments, metrics, checkpoint)
    return metrics


def train(cfg: DictConfig, arguments: Namespace) -> dict[str, Any] | None:
    """Train to the end; the last evaluation is returned and written down."""
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=arguments.resume)
    metrics = trainer.train()
    if metrics:
        write_results(cfg, arguments, metrics, trainer.checkpointer.get_checkpoint_file())
    return metrics


def run(arguments: Namespace) -> dict[str, Any] | None:
    """What one process does, from config file to results."""
    cfg = load_config(arguments.config_file, arguments.opts)
    set_up(cfg, arguments)
    return evaluate(cfg, arguments) if arguments.eval_only else train(cfg, arguments)


def main() -> None:
    """Parse the command line and run, in as many processes as it asks for."""
    arguments = argument_parser().parse_args()
    launch(
        run,
        arguments.num_gpus,
        num_machines=arguments.num_machines,
        machine_rank=arguments.machine_rank,
        dist_url=arguments.dist_url,
        args=(arguments,),
    )
