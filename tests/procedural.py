"""Weights and images that are functions of their names: parity tests store outputs only.

A test regenerates hundreds of megabytes of weights from nothing. An array is drawn from NumPy's
frozen legacy generator, seeded with the CRC-32 of its name, then scaled by what the name's last
component and the shape say it is.
"""

import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch

Gains = Sequence[tuple[str, float]]


def _generator(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))


def _offset_and_spread(name: str, shape: tuple[int, ...], gains: Gains) -> tuple[float, float]:
    """Mean and standard deviation of the entry (variances are treated by the caller)."""
    kind = name.rsplit(".", 1)[-1]
    layer_norm = len(shape) == 3 and shape[1:] == (1, 1) and kind in ("weight", "bias")
    vector = len(shape) == 1 or layer_norm
    if kind in ("running_mean", "running_var"):
        return (1.0 if kind == "running_var" else 0.0), 0.1
    if kind in ("gamma", "geom_bias", "appr_bias"):
        return 0.5, 0.1
    if not shape or (shape == (1,) and kind == "scale") or (vector and kind == "weight"):
        return 1.0, 0.1
    if vector:
        return 0.0, 0.05
    gain = next((value for pattern, value in gains if re.search(pattern, name)), 1.0)
    return 0.0, gain * float(np.sqrt(2.0 / np.prod(shape[1:])))


def procedural_array(name: str, shape: Sequence[int], gains: Gains = ()) -> np.ndarray:
    """The array of state-dict entry ``name``: float32, or int64 zero for batch counters."""
    size = tuple(int(length) for length in shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(size, dtype=np.int64)
    noise = _generator(name).standard_normal(size)
    if name.endswith("running_var"):
        noise = np.abs(noise)
    offset, spread = _offset_and_spread(name, size, gains)
    return np.asarray(offset + spread * noise, dtype=np.float32)


def procedural_state(shapes: Mapping[str, Sequence[int]], gains: Gains = ()) -> dict:
    """``{name: shape}`` -> ``{name: array}``."""
    return {name: procedural_array(name, shape, gains) for name, shape in shapes.items()}


def procedural_image(name: str, height: int, width: int) -> np.ndarray:
    """A smooth uint8 RGB image (H, W, 3) with 24 blobs of several sizes and a little noise."""
    random = _generator(name)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    canvas = np.zeros((height, width, 3))
    for _ in range(24):
        row, column = random.uniform(0, height), random.uniform(0, width)
        radius = random.uniform(0.03, 0.25) * min(height, width)
        colour = random.uniform(-160, 160, size=3)
        distance = (rows - row) ** 2 + (columns - column) ** 2
        canvas += np.exp(-distance / (2 * radius**2))[..., None] * colour
    canvas += 127 + 8 * random.standard_normal((height, width, 3))
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def golden_state(keys: Sequence[str], gains: Gains) -> dict[str, np.ndarray]:
    """The weights behind a golden file's ``keys`` (one ``name AxBxC`` or ``name`` an entry)."""
    state = {}
    for line in keys:
        name, _, shape = str(line).partition(" ")
        size = [] if shape in ("", "scalar") else [int(length) for length in shape.split("x")]
        state[name] = procedural_array(name, size, gains)
    return state


def procedural_noise(name: str, shape: Sequence[int]) -> torch.Tensor:
    """Standard normal values, float32: inputs and output gradients of single operators."""
    noise = _generator(name).standard_normal(tuple(shape))
    return torch.from_numpy(noise.astype(np.float32))
