"""The global context block (GCNet, arXiv 1904.11492, Fig. 4d).

Shapes: N maps, C channels, h x w positions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

POOLINGS = ("att", "avg")
FUSIONS = ("channel_add", "channel_mul")


class ContextBlock(nn.Module):
    """Adds to every position, or scales it by, what the whole map says.

    Context modelling: the mean of all positions, weighted by a softmax over them ("att") or not
    ("avg"). Transform: a bottleneck of two 1x1 convolutions around LayerNorm and ReLU. Fusion:
    ``x * sigmoid(mul(context)) + add(context)``, either or both. The bottlenecks' last convolutions
    start at zero, so that a fresh block that only adds is the identity.

    Args:
        channels: C.
        ratio: channels of the bottleneck as a share of C; the paper's r = 16 is 1/16.
        pooling: "att" or "avg".
        fusions: any of "channel_add" and "channel_mul".

    Raises:
        ValueError: an unknown pooling or fusion, no fusion, or a bottleneck without channels.
    """

    def __init__(
        self,
        channels: int,
        *,
        ratio: float = 1 / 16,
        pooling: str = "att",
        fusions: Sequence[str] = ("channel_add",),
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling is '{pooling}': give 'att' or 'avg'")
        if not fusions or set(fusions) - set(FUSIONS):
            raise ValueError(
                f"fusions are {list(fusions)}: give 'channel_add', 'channel_mul' or both"
            )
        hidden = int(channels * ratio)
        if hidden < 1:
            raise ValueError(f"a ratio of {ratio:g} leaves no channel of {channels} in between")
        self.pooling = pooling
        self.mask = nn.Conv2d(channels, 1, 1) if pooling == "att" else None
        self.channel_add = bottleneck(channels, hidden) if "channel_add" in fusions else None
        self.channel_mul = bottleneck(channels, hidden) if "channel_mul" in fusions else None
        if self.mask is not None:
            zero(self.mask)
            nn.init.kaiming_normal_(self.mask.weight, mode="fan_in", nonlinearity="relu")

    def context(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, 1, 1): equation 4's sum over all positions."""
        if self.mask is None:
            return x.mean((2, 3), keepdim=True)
        logits = self.mask(x).flatten(1)
        weights = logits.softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
        pooled = x.flatten(2) @ weights.to(x.dtype)[..., None]
        return pooled[..., None]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> the same shape."""
        context = self.context(x)
        if self.channel_mul is not None:
            x = x * self.channel_mul(context).sigmoid()
        if self.channel_add is not None:
            x = x + self.channel_add(context)
        return x


def bottleneck(channels: int, hidden: int) -> nn.Sequential:
    """1x1 convolution, LayerNorm, ReLU, 1x1 convolution that starts at zero."""
    last = nn.Conv2d(hidden, channels, 1)
    zero(last)
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1), nn.LayerNorm([hidden, 1, 1]), nn.ReLU(inplace=True), last
    )


def zero(module: nn.Module) -> None:
    """All parameters become 0."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
