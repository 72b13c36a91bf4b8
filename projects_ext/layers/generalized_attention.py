"""Attention over the positions of a feature map whose terms can be chosen (arXiv 1904.05873).

Shapes: N maps, C channels, H heads of D = C // H channels each; queries at h x w positions, keys
and values at h' x w' of them, every ``kv_stride``-th in both directions.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

WAVE_LENGTH = 1000.0
"""The longest wave of the position encoding, in positions over 2 pi."""


def relative_positions(queries: int, keys: int, stride: int, dim: int, like: Tensor) -> Tensor:
    """Encode the distances of query and key positions along one axis by sines and cosines.

    Args:
        queries: number of query positions.
        keys: number of key positions; key k lies at position ``k * stride``.
        dim: a multiple of 4; there are dim / 4 wave lengths, from 2 pi to 2 pi times 1000.
        like: gives device and floating type.

    Returns:
        (queries, keys, dim / 2): the sines, then the cosines.
    """
    options: dict[str, Any] = {"device": like.device, "dtype": like.dtype}
    distance = torch.arange(queries, **options)[:, None] - stride * torch.arange(keys, **options)
    exponent = torch.arange(dim // 4, **options) * (4 / dim)
    angle = distance[..., None] / WAVE_LENGTH**exponent
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def stable_softmax(logits: Tensor) -> Tensor:
    """Softmax over the last axis, in float32 at least."""
    return logits.softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))


class GeneralizedAttention(nn.Module):
    """Attention with any of the four terms of "An Empirical Study of Spatial Attention Mechanisms".

    The logit of a query and a key position is the sum of the terms that ``attention_type`` switches
    on, digit by digit: query and key content (1), query content and relative position (2), key
    content alone (3), relative position alone (4). A term with position is one for the rows plus
    one for the columns, each divided by the square root of 2; nothing is divided by the square root
    of D. The result is ``x + gamma * projection(attention @ value)``.

    Without terms 1 and 3 the softmax over positions is the product of one over rows and one over
    columns. These types never build the logits of all pairs, nor the queries.

    Args:
        channels: C.
        num_heads: H; where it does not divide C, the heads together are narrower than C.
        attention_type: four digits, 0 or 1, such as "0100".
        kv_stride: keys and values are at every so many positions.
        transposed_rows: as OpenMMLab computes, and its published weights were trained, where term 2
            is on and term 4 is off: the row term of output row i, column j has the query of row j,
            column i. Only square maps can be computed so. False: the query of row i, column j.

    Raises:
        ValueError: the type is not four digits of 0 and 1 with at least one 1, or C and the number
            of heads do not fit.
    """

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int = 6,
        attention_type: str = "0100",
        kv_stride: int = 2,
        transposed_rows: bool = True,
    ) -> None:
        super().__init__()
        if len(attention_type) != 4 or set(attention_type) - {"0", "1"} or attention_type == "0000":
            raise ValueError(
                f"attention_type is '{attention_type}': give four digits of 0 and 1 with at least "
                "one 1, such as '0100'"
            )
        pair, by_query, by_key, by_place = (digit == "1" for digit in attention_type)
        has_position = by_query or by_place
        if not 0 < num_heads <= channels or (has_position and channels % 4):
            raise ValueError(
                f"{channels} channels and {num_heads} heads: give a positive number of heads, at "
                "most as many as channels, and for position terms a multiple of 4 channels"
            )
        self.channels, self.num_heads, self.kv_stride = channels, num_heads, kv_stride
        self.attention_type = attention_type
        self.transposed_rows = transposed_rows and by_query and not by_place
        self.factorised = not (pair or by_key)

        width = channels // num_heads * num_heads
        self.query = nn.Conv2d(channels, width, 1, bias=False) if pair or by_query else None
        self.key = nn.Conv2d(channels, width, 1, bias=False) if pair or by_key else None
        self.value = nn.Conv2d(channels, width, 1, bias=False)
        self.position_x = nn.Linear(channels // 2, width, bias=False) if has_position else None
        self.position_y = nn.Linear(channels // 2, width, bias=False) if has_position else None
        self.key_bias = nn.Parameter(torch.empty(width)) if by_key else None
        self.position_bias = nn.Parameter(torch.empty(width)) if by_place else None
        self.projection = nn.Conv2d(width, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self._initialise(width // num_heads)

    def _initialise(self, head_width: int) -> None:
        for module in self.children():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for bias in (self.key_bias, self.position_bias):
            if bias is not None:
                nn.init.uniform_(
                    bias, -1 / math.sqrt(2 * head_width), 1 / math.sqrt(2 * head_width)
                )

    def extra_repr(self) -> str:
        """Heads, type and stride."""
        return (
            f"channels={self.channels}, num_heads={self.num_heads}, "
            f"attention_type='{self.attention_type}', kv_stride={self.kv_stride}"
        )

    def forward(self, x: Tensor) -> Tensor:
        """Attend.

        Args:
            x: (N, C, h, w); N may be 0.

        Raises:
            ValueError: the map is not square where ``transposed_rows`` needs it to be.
        """
        height, width = x.shape[-2:]
        if self.transposed_rows and height != width:
            raise ValueError(
                f"attention of type {self.attention_type} with transposed rows needs square maps, "
                f"not {height} x {width}: set transposed_rows=False"
            )
        keys = x[:, :, :: self.kv_stride, :: self.kv_stride]
        weights = self._factorised_weights(x) if self.factorised else self._pair_weights(x, keys)
        value = self._by_head(self.value(keys))
        mixed = value @ weights.to(value.dtype).transpose(-1, -2)
        mixed = mixed.reshape(len(x), self.value.out_channels, height, width)
        return x + self.gamma * self.projection(mixed)

    def _by_head(self, x: Tensor) -> Tensor:
        """(N, H D, h, w) -> (N, H, D, h w)."""
        count, width = x.shape[:2]
        return x.reshape(count, self.num_heads, width // self.num_heads, x.shape[2] * x.shape[3])

    def _heads(self, vector: Tensor) -> Tensor:
        """(H D) -> (H, D)."""
        return vector.unflatten(0, (self.num_heads, -1))

    def _position_features(self, layer: nn.Linear, queries: int) -> Tensor:
        """Along one axis: (queries, keys, H, D)."""
        keys = -(-queries // self.kv_stride)
        # Made where the weights are, not in the type of autocast; not like the layer's own, which
        # is no tensor once the layer is quantized.
        where = self.gamma.detach()
        encoding = relative_positions(queries, keys, self.kv_stride, self.channels, where)
        return layer(encoding).unflatten(-1, (self.num_heads, -1)) / math.sqrt(2)

    def _factorised_weights(self, x: Tensor) -> Tensor:
        """(N, H, h w, h' w') as a product, of types with position terms alone."""
        assert self.position_x is not None
        assert self.position_y is not None
        count, _, height, width = x.shape
        columns = x.permute(3, 0, 2, 1).reshape(width, count * height, self.channels)
        rows = columns
        if not self.transposed_rows:
            rows = x.permute(2, 0, 3, 1).reshape(height, count * width, self.channels)
        by_column = self._axis_logits(self.position_x, columns, width)
        by_row = self._axis_logits(self.position_y, rows, height)
        # Lines are those of one query column (row); then come the maps, and the other coordinate.
        by_column = by_column.unflatten(1, (count, height)).permute(1, 3, 2, 0, 4)
        by_row = by_row.unflatten(1, (count, width)).permute(1, 3, 0, 2, 4)
        weights = stable_softmax(by_row)[..., None] * stable_softmax(by_column)[..., None, :]
        return weights.flatten(4).flatten(2, 3)

    def _axis_logits(self, layer: nn.Linear, lines: Tensor, queries: int) -> Tensor:
        """The logits of one axis.

        A query's product with a position feature is the input's product with that feature carried
        through the query layer: H keys values a position in place of H D.

        Args:
            lines: (queries, M, C), by the query position on this axis.

        Returns:
            (queries, M, H, keys).
        """
        features = self._position_features(layer, queries)
        heads, keys = self.num_heads, features.shape[1]
        logits = lines.new_zeros(())
        if self.query is not None:
            weight = self._heads(self.query.weight[:, :, 0, 0])
            carried = torch.einsum("qkhd,hdc->qchk", features, weight).flatten(2)
            logits = (lines @ carried).unflatten(-1, (heads, keys))
        if self.position_bias is not None:
            bias = torch.einsum("qkhd,hd->qhk", features, self._heads(self.position_bias))
            logits = logits + bias[:, None]
        return logits.expand(queries, lines.shape[1], heads, keys)

    def _pair_weights(self, x: Tensor, keys: Tensor) -> Tensor:
        """(N, H, h w, h' w'), of types that compare contents."""
        assert self.key is not None
        query = None if self.query is None else self._by_head(self.query(x)).transpose(-1, -2)
        key = self._by_head(self.key(keys))
        content = query if self.attention_type[0] == "1" else None
        if self.key_bias is not None:
            bias = self._heads(self.key_bias)[:, None]
            content = bias if content is None else content + bias
        assert content is not None
        logits = content @ key
        if self.position_x is not None:
            logits = logits + self._position_logits(x, query)
        return stable_softmax(logits).expand(len(x), -1, x.shape[2] * x.shape[3], -1)

    def _position_logits(self, x: Tensor, query: Tensor | None) -> Tensor:
        """(N or 1, H, h w, h' w'): terms 2 and 4, for every pair."""
        assert self.position_x is not None
        assert self.position_y is not None
        height, width = x.shape[-2:]
        features_x = self._position_features(self.position_x, width)
        features_y = self._position_features(self.position_y, height)
        place = query if self.attention_type[1] == "1" else None
        if self.position_bias is not None:
            bias = self._heads(self.position_bias)[None, :, None].expand(-1, -1, height * width, -1)
            place = bias if place is None else place + bias
        assert place is not None
        place = place.unflatten(2, (height, width))
        row_place = place.transpose(2, 3) if self.transposed_rows else place
        by_row = torch.einsum("nhijd,ikhd->nhijk", row_place, features_y)
        by_column = torch.einsum("nhijd,jlhd->nhijl", place, features_x)
        return (by_row[..., None] + by_column[..., None, :]).flatten(4).flatten(2, 3)
