"""What tracing needs: models on plain tensors."""

from .flatten import TracingAdapter

__all__ = ["TracingAdapter"]
