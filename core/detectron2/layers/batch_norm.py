"""Normalisation layers, and how configs name them."""

import itertools
from collections.abc import Callable
from typing import Any

import torch
import torchvision.ops
from fvcore.nn.distributed import differentiable_all_reduce
from torch import nn
from torch.nn import functional as F

from detectron2.utils import comm

TRAINABLE_BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)
STATISTICS = ("running_mean", "running_var")


def _swap_modules(
    module: nn.Module, old: type | tuple[type, ...], make: Callable[[Any], nn.Module]
) -> nn.Module:
    """Replaces every ``old`` submodule, or ``module`` itself, by what ``make`` returns for it."""
    if isinstance(module, old):
        return make(module)
    for name, child in module.named_children():
        replacement = _swap_modules(child, old, make)
        if replacement is not child:
            module.add_module(name, replacement)
    return module


class FrozenBatchNorm2d(torchvision.ops.FrozenBatchNorm2d):
    """Batch normalisation whose statistics and affine parameters never change.

    It is the linear map ``(x - running_mean) / sqrt(running_var + eps) * weight + bias`` per
    channel, in training and in evaluation. All four are buffers, so no optimizer sees them. A fresh
    layer is the identity (``running_var`` starts at ``1 - eps``).

    Checkpoints load from trainable batch norms (``num_batches_tracked`` is ignored), and from
    models whose statistics were merged into the weights (missing statistics become 0 and 1).
    """

    _version = 3

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        """An identity for ``num_features`` channels."""
        super().__init__(num_features, eps)
        self.num_features = num_features
        self.running_var.sub_(eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalises ``x`` (N, C, H, W), keeping its precision."""
        if not x.requires_grad:
            # One fused kernel, no intermediate tensors.
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        # batch_norm would keep x for gradients of its buffers, which nobody wants: with a plain
        # multiplication only the C factors are kept.
        factor = self.weight * torch.rsqrt(self.running_var + self.eps)
        offset = self.bias - self.running_mean * factor
        per_channel = (1, self.num_features, 1, 1)
        return x * factor.view(per_channel).to(x.dtype) + offset.view(per_channel).to(x.dtype)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, local_metadata: dict, *args: Any
    ) -> None:
        # Version 1 and files without versions (converted from other frameworks) may lack the
        # statistics: they had been merged into weight and bias.
        if (local_metadata.get("version") or 1) < 2:
            for name, neutral in zip(STATISTICS, (0.0, 1.0), strict=True):
                own = getattr(self, name)
                state_dict.setdefault(prefix + name, torch.full_like(own, neutral))
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_features={self.num_features}, eps={self.eps})"

    @classmethod
    def convert_frozen_batchnorm(cls, module: nn.Module) -> nn.Module:
        """Freezes all batch norms (BatchNorm2d, SyncBatchNorm and their subclasses) in a module.

        Returns:
            ``module``, changed in place, or its frozen copy if it is a batch norm itself.
        """

        def freeze(norm: nn.BatchNorm2d) -> nn.Module:
            frozen = cls(norm.num_features, norm.eps)
            return _copy_batch_norm(norm, frozen)

        return _swap_modules(module, TRAINABLE_BATCH_NORMS, freeze)

    @classmethod
    def convert_frozenbatchnorm2d_to_batchnorm2d(cls, module: nn.Module) -> nn.Module:
        """The way back: every FrozenBatchNorm2d in a module becomes a BatchNorm2d.

        Returns:
            ``module``, changed in place, or its copy if it is a FrozenBatchNorm2d itself.
        """

        def thaw(frozen: FrozenBatchNorm2d) -> nn.Module:
            return _copy_batch_norm(frozen, nn.BatchNorm2d(frozen.num_features, frozen.eps))

        return _swap_modules(module, cls, thaw)


def _copy_batch_norm(source: nn.Module, target: nn.Module) -> nn.Module:
    """Gives ``target`` copies of whatever state ``source`` has, its device and its mode."""
    reference = next(itertools.chain(source.parameters(), source.buffers()))
    target.to(device=reference.device, dtype=reference.dtype)
    with torch.no_grad():
        for name in ("weight", "bias", *STATISTICS):
            value = getattr(source, name)
            if value is not None:
                getattr(target, name).copy_(value)
    return target.train(source.training)


class NaiveSyncBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over all processes that accepts batches of different sizes.

    In contrast to :class:`torch.nn.SyncBatchNorm` it works on any device and, with
    ``stats_mode="N"``, with processes whose batch is empty. Like Detectron2's it updates the
    running variance with the biased variance of the batch.
    """

    def __init__(self, *args: Any, stats_mode: str = "", **kwargs: Any) -> None:
        """Takes the arguments of :class:`torch.nn.BatchNorm2d` and one more.

        Args:
            *args: as for BatchNorm2d.
            stats_mode: how the processes' statistics are averaged. ``""``: all count the same,
                however many images they have. ``"N"``: by their number of images, which may be 0.
            **kwargs: as for BatchNorm2d.

        Raises:
            ValueError: another ``stats_mode``, or ``momentum=None``.
        """
        super().__init__(*args, **kwargs)
        if stats_mode not in ("", "N"):
            raise ValueError(f"stats_mode of NaiveSyncBatchNorm is '' or 'N', not '{stats_mode}'")
        if self.momentum is None:
            raise ValueError("NaiveSyncBatchNorm needs a momentum: it has no cumulative average")
        self._stats_mode = stats_mode

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalises ``input`` (N, C, H, W) by the statistics of all processes."""
        synchronise = self.training and comm.get_world_size() > 1
        if not synchronise:
            return super().forward(input)
        x = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
        mean, mean_of_squares, share = self._global_moments(x)
        variance = mean_of_squares - mean.square()
        self._update_statistics(mean.detach(), variance.detach(), share)

        factor = torch.rsqrt(variance + self.eps)
        if self.affine:
            factor = factor * self.weight
        offset = -mean * factor
        if self.affine:
            offset = offset + self.bias
        return (x * factor.view(1, -1, 1, 1) + offset.view(1, -1, 1, 1)).to(input.dtype)

    def _global_moments(
        self, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | float]:
        """Mean and mean of squares over all processes; 1.0, or 0 if no process had an image."""
        images = x.shape[0]
        if images == 0:
            if self._stats_mode != "N":
                raise ValueError(
                    "this NaiveSyncBatchNorm cannot be trained with an empty batch: "
                    "use stats_mode='N' (naiveSyncBN_N)"
                )
            # Zeros that depend on x: backward communicates too, so every process has to join in.
            moments = x.new_zeros(2 * self.num_features) + x.sum()
        else:
            moments = torch.cat([x.mean(dim=(0, 2, 3)), x.square().mean(dim=(0, 2, 3))])

        if self._stats_mode == "":
            summed = differentiable_all_reduce(moments)
            mean, mean_of_squares = (summed / comm.get_world_size()).chunk(2)
            return mean, mean_of_squares, 1.0
        weighted = torch.cat([moments * images, x.new_full((1,), float(images))])
        summed = differentiable_all_reduce(weighted)
        total = summed[-1].detach()
        mean, mean_of_squares = (summed[:-1] / total.clamp(min=1)).chunk(2)
        return mean, mean_of_squares, total.clamp(max=1)

    @torch.no_grad()
    def _update_statistics(
        self, mean: torch.Tensor, variance: torch.Tensor, share: torch.Tensor | float
    ) -> None:
        """Moves the running statistics towards the batch's, by ``momentum * share``."""
        if not self.track_running_stats:
            return
        step = share * float(self.momentum or 0)
        for running, batch in ((self.running_mean, mean), (self.running_var, variance)):
            if running is not None:
                running += step * (batch - running)


class LayerNorm(nn.Module):
    """Layer normalisation over the channels of (N, C, H, W), position by position (ConvNeXt)."""

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, normalized_shape: int, eps: float = 1e-6) -> None:
        """Starts as a plain normalisation of ``normalized_shape`` channels."""
        super().__init__()
        self.normalized_shape, self.eps = (normalized_shape,), eps
        for name, start in (("weight", 1.0), ("bias", 0.0)):
            self.register_parameter(name, nn.Parameter(torch.full((normalized_shape,), start)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalises ``x`` of shape (N, C, H, W)."""
        channels_last = x.movedim(1, -1)
        out = F.layer_norm(channels_last, self.normalized_shape, self.weight, self.bias, self.eps)
        return out.movedim(-1, 1)


class CycleBatchNormList(nn.ModuleList):
    """Batch norms with statistics of their own, used in turn, and one common weight and bias.

    For a head that is shared by several feature levels: the i-th call of a round is level i. See
    "Rethinking 'Batch' in BatchNorm" (arXiv:2105.07576), section 6.2.
    """

    def __init__(
        self, length: int, bn_class: type[nn.Module] = nn.BatchNorm2d, **kwargs: Any
    ) -> None:
        """Makes ``length`` norms.

        Args:
            length: calls in one round (number of levels).
            bn_class: class of the norms.
            **kwargs: its arguments, ``num_features`` among them; ``affine`` (True by default) is
                about the common weight and bias.
        """
        affine = kwargs.pop("affine", True)
        super().__init__([bn_class(affine=False, **kwargs) for _ in range(length)])
        self._turn = 0
        self._affine = affine
        if affine:
            channels = kwargs["num_features"]
            self.weight = nn.Parameter(torch.ones(channels))
            self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalises ``x`` (N, C, H, W) with the norm whose turn it is."""
        norm = self[self._turn]
        self._turn = (self._turn + 1) % len(self)
        out = norm(x)
        if self._affine:
            weight, bias = self.weight.view(1, -1, 1, 1), self.bias.view(1, -1, 1, 1)
            out = weight * out + bias
        return out

    def extra_repr(self) -> str:
        """Whether there is a common weight and bias."""
        return f"affine={self._affine}"


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels)


def _weighted_sync_norm(channels: int) -> NaiveSyncBatchNorm:
    return NaiveSyncBatchNorm(channels, stats_mode="N")


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "BN": nn.BatchNorm2d,
    "SyncBN": nn.SyncBatchNorm,
    "FrozenBN": FrozenBatchNorm2d,
    "GN": _group_norm,
    "nnSyncBN": nn.SyncBatchNorm,
    "naiveSyncBN": NaiveSyncBatchNorm,
    "naiveSyncBN_N": _weighted_sync_norm,
    "LN": LayerNorm,
}


def get_norm(norm: str | Callable[[int], nn.Module] | None, out_channels: int) -> nn.Module | None:
    """A normalisation layer by its name in configs.

    Args:
        norm: one of BN, SyncBN, FrozenBN, GN (32 groups), nnSyncBN, naiveSyncBN, naiveSyncBN_N, LN;
            or a callable that makes a layer from a number of channels; or "" or None for no layer.
        out_channels: number of channels.

    Raises:
        KeyError: an unknown name.
    """
    if not norm:
        return None
    if isinstance(norm, str):
        if norm not in NORMS:
            raise KeyError(f"there is no norm '{norm}', only '' (none) and {', '.join(NORMS)}")
        return NORMS[norm](out_channels)
    return norm(out_channels)
