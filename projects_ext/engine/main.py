"""The program behind ``train_net.py``."""

import logging
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from projects_ext.checkpoint import class_names
from projects_ext.data import log_pending_warnings, require_class_count, require_safe_data
from projects_ext.errors import UserError
from projects_ext.report import require_libraries

from .arguments import parse_arguments
from .base import RunTrainer
from .config_check import check_config
from .config_files import Config, load_config
from .devices import require_device
from .evaluated_model import for_evaluation
from .evaluated_weights import load_for_evaluation
from .faults import one_sentence
from .idle_keys import refuse_idle, say_idle_in_evaluation, say_idle_in_training
from .launch import launch
from .memory import keep_freed_memory
from .output_folder import output_folder
from .overview import describe_run
from .places import is_first, require_places, world_size
from .resources import provide_file_descriptors, require_equal_batches
from .restarts import resume_after_restart
from .results import write_results
from .resuming import require_last_checkpoint
from .settings import Settings
from .standalone import save_with_classes
from .trainer import Trainer
from .yaml_trainer import YamlTrainer

logger = logging.getLogger("detectron2.projects_ext")


def trainer_for(cfg: Config) -> type[RunTrainer]:
    """The trainer class for this kind of config."""
    return YamlTrainer if isinstance(cfg, CfgNode) else Trainer


@contextmanager
def _log_file_only() -> Iterator[None]:
    """Within, Detectron2's log goes to its file and only warnings reach the terminal."""
    handlers = [
        handler
        for handler in logging.getLogger("detectron2").handlers
        # Upstream's log files are StreamHandlers, too.
        if getattr(handler, "stream", None) in (sys.stdout, sys.stderr)
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


def set_up(cfg: Config, arguments: Namespace) -> Config:
    """Logging, seeds and output folder as Detectron2 does it, with a short first screen.

    The environment and the whole config go to ``log.txt``; the terminal gets a summary.

    Returns:
        the config as it will run, and as it is saved.
    """
    setup_logger(Settings.of(cfg).output_dir, distributed_rank=comm.get_rank())
    cfg = trainer_for(cfg).prepare(cfg)
    with _log_file_only():
        default_setup(cfg, arguments)
    logger.info(describe_run(Settings.of(cfg), arguments.config_file))
    log_pending_warnings()  # a YAML config names its data sets while it is read
    return cfg


def evaluate(cfg: Config, arguments: Namespace) -> dict[str, Any]:
    """Evaluate the config's weights (with ``--resume``: the output folder's last checkpoint)."""
    settings = Settings.of(cfg)
    # Each trainer class takes its own kind of config.
    trainer: Any = trainer_for(cfg)
    model = trainer.build_model(cfg)
    for_evaluation(cfg, model)  # what is wrong with it is said before weights are read
    require_class_count(model, trainer.test_sets(cfg))
    require_safe_data(trainer.test_sets(cfg))
    checkpointer = DetectionCheckpointer(model, settings.output_dir)  # finds the last one
    checkpoint = settings.init_checkpoint
    if arguments.resume and checkpointer.has_checkpoint():
        checkpoint = checkpointer.get_checkpoint_file()
    elif arguments.resume and checkpoint:
        logger.warning(
            f"--resume: there is no checkpoint in {settings.output_dir}: {checkpoint} is evaluated"
        )
    if not checkpoint:
        yaml = isinstance(cfg, CfgNode)
        key = "MODEL.WEIGHTS FILE" if yaml else "train.init_checkpoint=FILE"
        folder = "OUTPUT_DIR FOLDER" if yaml else "train.output_dir=FOLDER"
        raise UserError(
            f"--eval-only --resume: there is no checkpoint in {settings.output_dir}: correct "
            f"{folder}, or add {key}"
            if arguments.resume
            else f"--eval-only has no weights to evaluate: add {key}, or --resume for the last "
            f"checkpoint in {settings.output_dir}"
        )
    classes = class_names(trainer.test_sets(cfg))
    save_with_classes(cfg, settings, classes, arguments.opts)
    report = load_for_evaluation(trainer, model, checkpoint, settings, classes)
    metrics = trainer.test(cfg, model)
    say_idle_in_evaluation(cfg, arguments, settings, checkpoint)
    write_results(settings, arguments, metrics, checkpoint, list(report.unloaded))
    return metrics


def train(cfg: Config, arguments: Namespace) -> dict[str, Any] | None:
    """Train to the end; the last evaluation is returned and written down."""
    trainer = trainer_for(cfg)(cfg)
    save_with_classes(trainer.cfg, trainer.settings, trainer.class_names(), arguments.opts)
    trainer.resume_or_load(resume=arguments.resume)
    say_idle_in_training(cfg, arguments, resumed=trainer.start_iter > 0)
    metrics = trainer.train()
    if metrics:
        checkpoint = trainer.checkpointer.get_checkpoint_file()
        write_results(trainer.settings, arguments, metrics, checkpoint)
    return metrics


def run(arguments: Namespace) -> dict[str, Any] | None:
    """What one process does, from config file to results."""
    keep_freed_memory()
    cfg = set_up(load_config(arguments.config_file, arguments.opts), arguments)
    metrics = evaluate(cfg, arguments) if arguments.eval_only else train(cfg, arguments)
    if arguments.report and comm.is_main_process():
        _report(Settings.of(cfg), metrics)
    return metrics


def _report(settings: Settings, metrics: dict[str, Any] | None) -> None:
    from projects_ext.report.command import report_on_run  # needs libraries that others do not

    if metrics:
        report_on_run(settings.output_dir)
    else:
        logger.warning("--report: nothing was evaluated, and there is no report")


def check(cfg: Config, arguments: Namespace) -> Settings:
    """Refuse what can be known to be wrong before anything is started or written.

    Returns:
        the run's part of the config.

    Raises:
        UserError: a value in the config, or something that this machine does not have.
    """
    if arguments.report:
        require_libraries()
    training = not arguments.eval_only
    check_config(cfg, training)
    settings, processes = Settings.of(cfg), world_size(arguments)
    resume_after_restart(arguments, settings.output_dir, is_first(arguments))
    if arguments.resume:
        require_last_checkpoint(settings.output_dir)
    refuse_idle(cfg, arguments, settings)
    require_device(settings.device)
    require_places(arguments, settings.on_gpu)
    if training:
        require_equal_batches(cfg, processes)
    provide_file_descriptors(cfg, processes)
    return settings


def _run_or_say(arguments: Namespace) -> None:
    with one_sentence():
        run(arguments)


def main(words: Sequence[str] | None = None) -> None:
    """Parse the command line and run, in as many processes as it asks for.

    What is wrong with the user's input ends in one sentence on stderr.

    Args:
        words: a command line in place of the program's own.
    """
    arguments = parse_arguments(words)
    # The folder stays locked until the processes that this one has started have ended.
    with ExitStack() as until_the_end, one_sentence():
        # Read here too: what is wrong with it is said once, and the device decides how to launch.
        settings = check(load_config(arguments.config_file, arguments.opts), arguments)
        if is_first(arguments):
            until_the_end.enter_context(output_folder(settings.output_dir))
        launch(_run_or_say, arguments, settings.on_gpu)
