"""Whether torch.fx is tracing, and assertions that it cannot trace."""

import torch
from torch.fx._symbolic_trace import _orig_module_call  # noqa: F401
from torch.fx._symbolic_trace import is_fx_tracing as is_fx_tracing_current

from detectron2.utils.env import TORCH_VERSION

__all__ = ["TORCH_VERSION", "assert_fx_safe", "is_fx_tracing", "is_fx_tracing_legacy"]

tracing_current_exists = tracing_legacy_exists = True


def is_fx_tracing() -> bool:
    """Whether torch.fx is tracing a module symbolically."""
    if torch.jit.is_scripting():
        return False
    return is_fx_tracing_current()


is_fx_tracing_legacy = torch.jit.ignore(is_fx_tracing_current)


def assert_fx_safe(condition: bool, message: str) -> torch.Tensor:
    """Assert, unless torch.fx or TorchScript is looking, which could not follow.

    Args:
        condition: has to be true.
        message: of the AssertionError.

    Returns:
        One element, 1 where the condition has been checked.
    """
    if torch.jit.is_scripting() or is_fx_tracing():
        return torch.zeros(1)
    return _do_assert_fx_safe(condition, message)


@torch.jit.ignore
def _do_assert_fx_safe(condition: bool, message: str) -> torch.Tensor:
    torch._assert(condition, message)
    return torch.ones(1)
