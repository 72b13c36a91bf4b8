"""CARAFE's operator in several formulations, beside its literal form.

    python -m benchmarks.carafe

The literal form (`tests/references/carafe.py`) unfolds, upsamples, multiplies and sums. Times: all
in turns in one process, medians. Memory: what one call needs on top of its inputs at its highest,
its results included, measured alone in a process of its own.

Formulations that were tried and lost are measured as well where they are a few lines:

- ``shifts``: the standard operators that `torch.export` is given; every tap is a pass over memory.
- ``shifts, by rows``: the same into blocks of rows that stay in the cache.
- ``positions``: a matrix product at each source position, s² kernels by k² neighbours. In the cache
  it is as fast as the weighted sums of rows that won; kernels and results have to be brought into
  and out of its order, which costs more than the product.

Lost on one core of the same machine at P3 -> P2 (256 channels, 100 x 168 -> 200 x 336, k = 5; the
core's time in ms, so figures of one run compare with each other, not with the tables of another):

| step | way | ms |
| --- | --- | --- |
| forward, channels last | weighted sums of rows, blocks (kept) | 50 |
| | products of 2 x 2 positions' banded kernels, without building the bands | 24 + bands |
| | products of 4 x 8 positions' banded kernels, without building the bands | 45 + bands |
| | a product at each position, by rows of the map | 84 |
| | shifts in place, by rows of the map | 90 + pixel shuffle |
| | shifts in place, whole maps | 206 + pixel shuffle |
| output to channels first | block by block, as whole transpositions (kept) | 10 |
| | block by block, straight into the map | 18 |
| | whole map, `contiguous()` | 153 |
| gradient of the kernels | a product at each position (kept) | 39 |
| | products over 4 positions in a row, bands cut out after | 43 |
| | `embedding_bag`'s own gradient, dot product by dot product | 56 |
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import PeakMemory, Result, apart, environment, measure_in_turns, table
from projects_ext.layers.carafe import by_shifts, carafe
from tests.references.carafe import carafe as literal

LITERAL = "literal"


@dataclass(frozen=True)
class Case:
    """Features (N, C, H, W) and what is done with them."""

    name: str
    size: tuple[int, int, int, int]
    training: bool
    kernel_size: int = 5
    groups: int = 1
    scale: int = 2

    def __str__(self) -> str:
        return f"{self.name}, {'forward + backward' if self.training else 'forward'}"


SIZES = {"P3 -> P2 of 800 x 1344": (1, 256, 100, 168), "mask head, 100 RoIs": (100, 256, 14, 14)}
CASES = tuple(
    Case(name, size, training) for name, size in SIZES.items() for training in (False, True)
)


def shifts_by_rows(x: Tensor, kernels: Tensor, kernel_size: int, groups: int, scale: int) -> Tensor:
    """Taps are added up in place, one row of all maps at a time; forward only, one group."""
    n, channels, height, width = x.shape
    weights = F.pixel_unshuffle(kernels, scale).view(n, kernel_size**2, -1, 1, height, width)
    around = F.pad(x, [kernel_size // 2] * 4)
    output = x.new_empty(n, channels, height, scale, width, scale)
    for row in range(height):
        block = x.new_zeros(n, scale**2, channels, width)
        for tap in range(kernel_size**2):
            i, j = divmod(tap, kernel_size)
            block.addcmul_(around[:, None, :, row + i, j : j + width], weights[:, tap, :, :, row])
        block = block.view(n, scale, scale, channels, width)
        output[:, :, row] = block.permute(0, 3, 1, 4, 2)
    return output.view(n, channels, height * scale, width * scale)


def positions(x: Tensor, kernels: Tensor, kernel_size: int, groups: int, scale: int) -> Tensor:
    """One matrix product at each source position, a row at a time; forward only, one group."""
    n, channels, height, width = x.shape
    k = kernel_size
    around = F.pad(x.permute(0, 2, 3, 1), [0, 0, *[k // 2] * 4]).contiguous()
    weights = kernels.view(n, k, k, height, scale, width, scale).permute(0, 3, 5, 4, 6, 2, 1)
    output = x.new_empty(n, channels, height, scale, width, scale)
    for m in range(n):
        for row in range(height):
            columns = around[m, row : row + k].transpose(0, 1).contiguous()
            neighbours = columns.as_strided((width, k**2, channels), (k * channels, channels, 1))
            found = weights[m, row].reshape(width, scale**2, k**2) @ neighbours
            found = found.view(width, scale, scale, channels)
            output[m, :, row] = found.permute(3, 1, 0, 2)
    return output.view(n, channels, height * scale, width * scale)


FORMS: dict[str, Callable[..., Tensor]] = {
    LITERAL: literal,
    "shifts": by_shifts,
    "shifts, by rows": shifts_by_rows,
    "positions": positions,
    "ours": carafe,
    "ours, channels last": carafe,
    "ours, bf16": carafe,
}
FORWARD_ONLY = ("shifts, by rows", "positions")


def ways(case: Case) -> list[str]:
    """What is measured of a case, the literal form first."""
    return [way for way in FORMS if not (case.training and way in FORWARD_ONLY)]


def prepare(case: Case, way: str, device: str, small: bool = False) -> Callable[[], None]:
    """A function that runs the case once in this way, ``small`` on a tiny map."""
    torch.manual_seed(0)
    n, channels, height, width = (1, 8, 6, 7) if small else case.size
    s, taps = case.scale, case.groups * case.kernel_size**2
    dtype = torch.bfloat16 if way.endswith("bf16") else torch.float32
    last = way.endswith("channels last")
    form = torch.channels_last if last else torch.contiguous_format

    def noise(*size: int) -> Tensor:
        return torch.randn(size, device=device).to(dtype, memory_format=form)

    x = noise(n, channels, height, width)
    kernels = torch.randn(n, taps, height * s, width * s, device=device).softmax(1).to(dtype)
    gradient = noise(n, channels, height * s, width * s) if case.training else None

    def run() -> None:
        x.grad = kernels.grad = None
        output = FORMS[way](x, kernels, case.kernel_size, case.groups, s)
        if gradient is not None:
            output.backward(gradient)

    for tensor in (x, kernels):
        tensor.requires_grad_(case.training)
    return run


def memory(case: Case, way: str, device: str) -> Result:
    """Peak memory of one way, after a small call that loads what the libraries load."""
    prepare(case, way, device, small=True)()
    run = prepare(case, way, device)
    with PeakMemory(device) as peak:
        run()
    return Result(way, 0.0, peak.mib)


def rows(case: Case, args: argparse.Namespace) -> list[dict]:
    """Time and memory of every way, beside the literal form's and the size of the output."""
    names = ways(case)
    runs = {way: prepare(case, way, args.device) for way in names}
    timed = measure_in_turns(runs, repeat=args.repeat, device=args.device)
    peaks = [apart(memory, case, way, args.device).peak_mib for way in names]
    n, channels, height, width = case.size
    output_mib = n * channels * height * width * case.scale**2 * 4 / 2**20
    return [
        {
            "case": str(case),
            "way": way,
            "s": result.seconds,
            "times faster": timed[0].seconds / result.seconds,
            "MiB": peak,
            "x literal MiB": peak / peaks[0],
            "x output MiB": peak / output_mib,
        }
        for way, result, peak in zip(names, timed, peaks, strict=True)
    ]


def main() -> None:
    """Measure every case, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--cases", default="", help="only those whose name contains this")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", default="", help="write the results to this file as well")
    args = parser.parse_args()

    found = [row for case in CASES if args.cases in str(case) for row in rows(case, args)]
    print(environment(), table([list(row.values()) for row in found], list(found[0])), sep="\n\n")
    if args.json:
        Path(args.json).write_text(json.dumps({"environment": environment(), "results": found}))


if __name__ == "__main__":
    main()
