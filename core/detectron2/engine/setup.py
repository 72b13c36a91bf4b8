"""What a training program does before and around training: arguments, logs, seeds, writers."""

import argparse
import importlib.util
import logging
import os
import sys
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from detectron2.config import CfgNode, LazyConfig
from detectron2.utils import comm
from detectron2.utils.collect_env import collect_env_info
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import CommonMetricPrinter, EventWriter, JSONWriter, TensorboardXWriter
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import setup_logger

Config = CfgNode | DictConfig

_EPILOG = """
Examples:

  Train, in one process (on the GPU, where there is one):
    {program} --config-file cfg.yaml

  Train on 8 GPUs, with some options changed:
    {program} --num-gpus 8 --config-file cfg.yaml SOLVER.BASE_LR 0.001
    {program} --num-gpus 8 --config-file cfg.py optimizer.lr=0.001

  Evaluate a checkpoint:
    {program} --eval-only --config-file cfg.yaml MODEL.WEIGHTS /path/to/model.pth

  Train on two machines; the URL is one of machine 0, with any free port:
    (machine 0) {program} --num-gpus 8 --num-machines 2 --machine-rank 0 --dist-url tcp://HOST:PORT
    (machine 1) {program} --num-gpus 8 --num-machines 2 --machine-rank 1 --dist-url tcp://HOST:PORT
"""

_OPTIONS_HELP = (
    "Changes of the configuration, at the end of the command: pairs PATH.KEY VALUE for a YAML "
    "config, path.key=value for a Python (LazyConfig) one."
)


def default_argument_parser(epilog: str | None = None) -> argparse.ArgumentParser:
    """The command-line options that training programs share.

    Args:
        epilog: the text after the options' help; by default some examples.
    """
    parser = argparse.ArgumentParser(
        epilog=epilog or _EPILOG.format(program=sys.argv[0]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config-file", metavar="FILE", default="", help="the configuration")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the last checkpoint in the output folder, if there is one",
    )
    parser.add_argument("--eval-only", action="store_true", help="evaluate, do not train")
    group = parser.add_argument_group("several processes or machines")
    group.add_argument(
        "--num-gpus",
        metavar="N",
        type=int,
        default=1,
        help="GPUs of each machine, one process each (processes, where there is no GPU)",
    )
    group.add_argument(
        "--num-machines", metavar="N", type=int, default=1, help="how many machines take part"
    )
    group.add_argument(
        "--machine-rank", metavar="I", type=int, default=0, help="this machine's number, from 0"
    )
    group.add_argument(
        "--dist-url",
        metavar="URL",
        default="auto",
        help="where the processes meet, tcp://HOST:PORT of machine 0; "
        "'auto' (default) takes a free port, on one machine only",
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, default=None, help=_OPTIONS_HELP)
    return parser


def _lookup(cfg: Config, *paths: str, default: Any = None) -> Any:
    """The first of the dotted paths that ``cfg`` has."""
    for path in paths:
        node: Any = cfg
        for key in path.split("."):
            node = node[key] if isinstance(node, (dict, DictConfig)) and key in node else None
        if node is not None:
            return node
    return default


def default_setup(cfg: Config, args: argparse.Namespace) -> None:
    """Prepare this process: output folder, log files, seed, and a log that says what runs.

    Of ``cfg`` it reads (LazyConfig names under ``train.``): ``OUTPUT_DIR``, ``SEED`` (negative:
    another one each time), ``CUDNN_BENCHMARK`` (not for evaluation) and ``FLOAT32_PRECISION``
    ("highest", "high", "medium": of matrix products on the GPU). The complete
    configuration goes to ``config.yaml`` in the output folder.

    Args:
        cfg: a YAML-style or a LazyConfig configuration.
        args: what :func:`default_argument_parser` parsed; it is logged.

    Raises:
        ValueError: if the precision is none of the three.
    """
    rank = comm.get_rank()
    output_dir = _lookup(cfg, "OUTPUT_DIR", "output_dir", "train.output_dir")
    if output_dir and comm.is_main_process():
        PathManager.mkdirs(output_dir)
    setup_logger(output_dir, distributed_rank=rank, name="fvcore")
    logger = setup_logger(output_dir, distributed_rank=rank)

    logger.info(f"Rank of current process: {rank}. World size: {comm.get_world_size()}")
    logger.info("Environment info:\n" + collect_env_info())
    logger.info(f"Command line arguments: {args}")
    config_file = getattr(args, "config_file", "")
    if config_file:
        content = Path(PathManager.get_local_path(config_file)).read_text()
        logger.info(f"Contents of args.config_file={config_file}:\n{content}")
    if output_dir and comm.is_main_process():
        _save_config(cfg, os.path.join(output_dir, "config.yaml"), logger)

    seed = _lookup(cfg, "SEED", "train.seed", default=-1)
    # Each process has its own seed: they see different images and must not augment them alike.
    seed_all_rng(None if seed < 0 else seed + rank)
    if not getattr(args, "eval_only", False):
        benchmark = _lookup(cfg, "CUDNN_BENCHMARK", "train.cudnn_benchmark", default=False)
        torch.backends.cudnn.benchmark = benchmark
    precision = _lookup(cfg, "FLOAT32_PRECISION", "train.float32_precision", default="")
    if precision:
        _set_float32_precision(precision)


def _save_config(cfg: Config, path: str, logger: logging.Logger) -> None:
    """Log the complete configuration of a YAML config, and write either kind to ``path``."""
    if isinstance(cfg, CfgNode):
        logger.info(f"Running with full config:\n{cfg.dump()}")
        with PathManager.open(path, "w") as file:
            file.write(cfg.dump())
    else:
        LazyConfig.save(cfg, path)
    logger.info(f"Full config saved to {path}")


def _set_float32_precision(precision: str) -> None:
    """Say how exact float32 matrix products on the GPU have to be."""
    if precision not in ("highest", "high", "medium"):
        raise ValueError(
            f"FLOAT32_PRECISION (train.float32_precision) is {precision!r}; it is 'highest', "
            "'high' or 'medium', or '' for torch's own."
        )
    torch.set_float32_matmul_precision(precision)


def default_writers(output_dir: str, max_iter: int | None = None) -> list[EventWriter]:
    """Writers to the terminal, to ``metrics.json`` and, where it is installed, to TensorBoard.

    Args:
        output_dir: made if need be.
        max_iter: with it the terminal shows the remaining time.
    """
    PathManager.mkdirs(output_dir)
    writers: list[EventWriter] = [
        CommonMetricPrinter(max_iter),
        JSONWriter(os.path.join(output_dir, "metrics.json")),
    ]
    if importlib.util.find_spec("tensorboard") is not None:
        writers.append(TensorboardXWriter(output_dir))
    else:
        logging.getLogger(__name__).info(
            "TensorBoard is not installed: metrics go to the terminal and metrics.json alone."
        )
    return writers


def create_ddp_model(
    model: nn.Module, *, fp16_compression: bool = False, **kwargs: Any
) -> nn.Module:
    """Wrap ``model`` in ``DistributedDataParallel``, if there are several processes.

    Args:
        fp16_compression: exchange the gradients as float16.
        kwargs: more arguments of ``DistributedDataParallel``. ``device_ids`` is by default this
            process's GPU, or none for a model on the CPU.
    """
    if comm.get_world_size() == 1:
        return model
    if any(parameter.is_cuda for parameter in model.parameters()):
        kwargs.setdefault("device_ids", [comm.get_local_rank()])
    parallel = DistributedDataParallel(model, **kwargs)
    if fp16_compression:
        from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook

        parallel.register_comm_hook(state=None, hook=fp16_compress_hook)
    return parallel
