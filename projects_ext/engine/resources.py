"""What a config asks of the machine, checked before a run starts."""

from typing import Any

from omegaconf import OmegaConf

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer
from projects_ext.errors import UserError

from .config_files import Config
from .instantiation import building
from .places import require_batch
from .settings import Settings

try:
    import resource
except ImportError:  # Windows sets no such limit
    resource = None  # type: ignore[assignment]

# File descriptors, as measured: of a run by itself; of a loading process (its pipes); and of each
# tensor that waits in shared memory, of which an image has about five.
BASE, PER_WORKER, PER_IMAGE = 40, 6, 5
PREFETCHED = 2  # batches per loading process


def require_equal_batches(cfg: Config, processes: int) -> None:
    """Refuse a batch that the processes cannot share equally.

    Args:
        cfg: of either kind.
        processes: on all machines.

    Raises:
        UserError: with the nearest batch sizes that can.
    """
    key = "dataloader.train.total_batch_size"
    if isinstance(cfg, CfgNode):
        key = "SOLVER.IMS_PER_BATCH"
        with building("SOLVER.REFERENCE_WORLD_SIZE"):
            cfg = DefaultTrainer.auto_scale_workers(cfg, processes)
    require_batch(Settings.of(cfg).batch_size, processes, key)


def provide_file_descriptors(cfg: Config, processes: int) -> None:
    """Let this process and those that it starts open as many files as their loaders need.

    Args:
        cfg: of either kind.
        processes: that share a batch.

    Raises:
        UserError: the system does not allow so many.
    """
    if resource is None:
        return
    training, testing, key = _loading_processes(cfg)
    waiting = training * PREFETCHED * PER_IMAGE * Settings.of(cfg).batch_size // processes
    needed = BASE + PER_WORKER * (training + testing) + waiting
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY or needed <= limit:
        return
    if most != resource.RLIM_INFINITY and needed > most:
        raise UserError(
            f"{training + testing} loading processes need about {needed} open files, and the "
            f"limit is {most} (ulimit -n): lower {key}, or start from a shell with a higher limit"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))


def _loading_processes(cfg: Any) -> tuple[int, int, str]:
    """Those of training and of evaluation, which overlap, and the key that sets them."""
    if isinstance(cfg, CfgNode):
        workers = cfg.DATALOADER.NUM_WORKERS
        return workers, workers, "DATALOADER.NUM_WORKERS"
    keys = ("dataloader.train.num_workers", "dataloader.test.num_workers")
    train, test = (OmegaConf.select(cfg, key) or 0 for key in keys)
    return train, test, keys[0] if train else keys[1]
