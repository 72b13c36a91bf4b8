"""Run CARAFE's Triton kernels in Triton's interpreter and compare them with the literal form.

    TRITON_INTERPRET=1 python -m tests.projects_ext.layers.carafe_interpreted

A program of its own, for Triton looks at the variable when kernels are defined.
"""

import torch

from projects_ext.layers import carafe_triton
from tests.procedural import procedural_noise
from tests.references.carafe import carafe as literal

PRECISION = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}
# N, C, H, W, kernel size, groups, scale; sums of a program; types
CASES = [
    ((2, 3, 2, 3, 3, 1, 2), 2048, list(PRECISION)),
    ((1, 4, 1, 2, 3, 2, 3), 2048, [torch.float32]),
    ((1, 3, 1, 20, 3, 1, 1), 8, [torch.float32]),  # several blocks of columns and of channels
    ((1, 1, 2, 1, 5, 1, 2), 2048, [torch.float32]),  # smaller than the kernel
]


def compare(shape, dtype: torch.dtype, last: bool) -> None:
    n, channels, height, width, k, groups, s = shape
    form = torch.channels_last if last else torch.contiguous_format
    x = procedural_noise("x", (n, channels, height, width)).to(dtype, memory_format=form)
    kernels = procedural_noise("kernels", (n, groups * k**2, height * s, width * s)).to(dtype)
    gradient = procedural_noise("gradient", (n, channels, height * s, width * s))
    gradient = gradient.to(dtype, memory_format=form)

    exact = [value.double().requires_grad_() for value in (x, kernels)]
    expected = literal(*exact, k, groups, s)
    expected.backward(gradient.double())
    found = [carafe_triton.reassemble(x, kernels, k, groups, s)]
    found += carafe_triton.gradients(gradient, x, kernels, k, groups, s, True, True)
    for ours, theirs in zip(found, (expected, *(value.grad for value in exact)), strict=True):
        assert ours.dtype == dtype
        tolerance = PRECISION[dtype]
        torch.testing.assert_close(ours.double(), theirs.detach(), rtol=tolerance, atol=tolerance)


def main() -> None:
    for shape, tile, dtypes in CASES:
        carafe_triton.TILE = tile
        for dtype in dtypes:
            for last in (False, True):
                compare(shape, dtype, last)
                print("agrees", *shape, dtype, "channels last" if last else "channels first")


if __name__ == "__main__":
    main()
