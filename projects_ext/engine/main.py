"""The command line behind ``train_net.py``."""

import logging
from argparse import Namespace
from typing import Any

from omegaconf import DictConfig

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import LazyConfig
from detectron2.engine import default_argument_parser, default_setup, launch

from .overview import describe_run
from .trainer import Trainer

logger = logging.getLogger("detectron2.projects_ext")


def run(arguments: Namespace) -> dict[str, Any]:
    cfg = LazyConfig.load(arguments.config_file)
    cfg = LazyConfig.apply_overrides(cfg, arguments.opts)
    default_setup(cfg, arguments)
    logger.info(describe_run(cfg, arguments.config_file))
    if arguments.eval_only:
        model = Trainer.build_model(cfg)
        DetectionCheckpointer(model).load(cfg.train.init_checkpoint)
        return Trainer.test(cfg, model)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=arguments.resume)
    return trainer.train()


def main() -> None:
    arguments = default_argument_parser().parse_args()
    launch(run, arguments.num_gpus, arguments.num_machines, arguments.machine_rank, arguments.dist_url, args=(arguments,))
