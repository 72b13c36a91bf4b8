"""Second chances for functions that run out of GPU memory."""

import functools
import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

from detectron2.utils.unavailable import INTERNALS, unavailable

__all__ = ["retry_if_cuda_oom"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "CUDA out of memory" in str(error)


def _on_cpu(argument: Any) -> Any:
    device = getattr(argument, "device", None)
    on_gpu = isinstance(device, torch.device) and device.type == "cuda"
    return argument.to(device="cpu") if on_gpu and hasattr(argument, "to") else argument


def retry_if_cuda_oom(func: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """``func`` with two more attempts where it runs out of GPU memory.

    The first repetition follows the release of PyTorch's cached blocks; the second gets its
    arguments on the CPU. ``func`` must therefore be free of side effects, accept CPU arguments,
    and its caller must accept results on the CPU. Only arguments that are themselves tensors (or
    objects with ``device`` and ``to``, such as ``Boxes``) are moved, not what containers hold.
    """

    @functools.wraps(func)
    def attempts(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        logger = logging.getLogger(__name__)
        # The repetitions happen outside the handlers: a live traceback would keep tensors alive.
        for before_next in (torch.cuda.empty_cache, None):
            try:
                return func(*args, **kwargs)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
            if before_next is not None:
                before_next()
        logger.info(
            "Out of GPU memory twice: running %s on the CPU.", getattr(func, "__name__", func)
        )
        cpu_args = [_on_cpu(argument) for argument in args]
        cpu_kwargs = {name: _on_cpu(argument) for name, argument in kwargs.items()}
        return func(*cpu_args, **cpu_kwargs)

    return attempts


_ignore_torch_cuda_oom = unavailable(__name__, INTERNALS, "_ignore_torch_cuda_oom")
