"""Colours that are easy to tell apart, for drawing instances and classes.

The palette is computed: from a grid of RGB colours that are neither very dark nor very pale nor
grey, each next one is the colour farthest from all chosen so far in CIE L*a*b*, where distances are
close to what the eye sees. Its beginnings are therefore the best palettes of their length.
"""

import functools
import random

import numpy as np

__all__ = ["colormap", "random_color", "random_colors"]

NUM_COLORS = 96


def _to_lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] to CIE L*a*b* (D65), both (N, 3)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    relative = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    cubic = np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116)
    x, y, z = cubic.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@functools.lru_cache(maxsize=1)
def _palette() -> np.ndarray:
    """(NUM_COLORS, 3) RGB in [0, 1]."""
    steps = np.linspace(0, 1, 13)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _to_lab(grid)
    colourful = np.hypot(lab[:, 1], lab[:, 2]) > 28
    keep = colourful & (lab[:, 0] > 35) & (lab[:, 0] < 88)
    grid, lab = grid[keep], lab[keep]
    chosen = [int(np.abs(grid - (0.0, 0.5, 1.0)).sum(axis=1).argmin())]  # begin with a clear blue
    distance = np.full(len(lab), np.inf)
    while len(chosen) < NUM_COLORS:
        distance = np.minimum(distance, ((lab - lab[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(distance.argmax()))
    return grid[chosen].astype(np.float32)


def _scaled(colors: np.ndarray, rgb: bool, maximum: float) -> np.ndarray:
    assert maximum in (1, 255), f"The largest value of a colour is 1 or 255, not {maximum}."
    ordered = colors if rgb else colors[..., ::-1]
    return ordered * np.float32(maximum)


def colormap(rgb: bool = False, maximum: int = 255) -> np.ndarray:
    """The whole palette.

    Args:
        rgb: red first; otherwise blue first.
        maximum: 1 or 255, the value of full intensity.

    Returns:
        (N, 3) float32 in [0, maximum]; neighbours differ strongly.
    """
    return _scaled(_palette(), rgb, maximum)


def random_color(rgb: bool = False, maximum: int = 255) -> np.ndarray:
    """One colour of the palette, drawn with numpy's global generator: (3,) float32."""
    palette = _palette()
    return _scaled(palette[np.random.randint(len(palette))], rgb, maximum)


def random_colors(N: int, rgb: bool = False, maximum: int = 255) -> list[np.ndarray]:
    """``N`` colours in random order; none repeats before the whole palette has been used."""
    palette = _palette()
    order: list[int] = []
    while len(order) < N:
        order += random.sample(range(len(palette)), min(N - len(order), len(palette)))
    return [_scaled(palette[index], rgb, maximum) for index in order]


def __getattr__(name: str) -> np.ndarray:
    """Upstream's ``_COLORS``, which is computed only for who asks."""
    if name == "_COLORS":
        return _palette()
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
