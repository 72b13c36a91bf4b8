"""Random state and the installed PyTorch's version."""

import logging
import os
import random

import numpy as np
import torch

__all__ = ["TORCH_VERSION", "seed_all_rng"]

TORCH_VERSION: tuple[int, ...] = tuple(int(part) for part in torch.__version__.split(".")[:2])
"""Major and minor version, e.g. ``(2, 15)``."""


def seed_all_rng(seed: int | None = None) -> None:
    """Seed the generators of Python, NumPy and PyTorch (CPU and GPUs).

    Args:
        seed: from 0 to 2**32 - 1; None draws one from the operating system and logs it.
    """
    if seed is None:
        seed = int.from_bytes(os.urandom(4), "little")
        logging.getLogger(__name__).info("Using a random seed: %d", seed)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    # For child processes that hash strings; this one's hashing was fixed when it started.
    os.environ["PYTHONHASHSEED"] = str(seed)
