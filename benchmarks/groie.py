"""GRoIE's pooler beside its literal form, on feature maps of one picture.

    python -m benchmarks.groie

The literal form (`tests/references/groie.py`) has the same weights and gives the same answers.
Times: both in turns in one process, medians. Memory: what each needs on top of feature maps and
weights at its highest, measured alone in a process of its own.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.measure import PeakMemory, Result, apart, environment, measure_in_turns, table
from benchmarks.scenes import boxes
from detectron2.structures import Boxes
from projects_ext.groie import GRoIEPooler
from tests.references.groie import LiteralGRoIE

CHANNELS = 256
STRIDES = (4, 8, 16, 32)
LITERAL = "literal"


@dataclass(frozen=True)
class Case:
    """So many boxes, pooled to size x size bins, with or without the backward pass."""

    count: int
    size: int
    training: bool = False

    def __str__(self) -> str:
        what = "forward + backward" if self.training else "inference"
        return f"{what}, {self.count} boxes, {self.size} x {self.size}"


CASES = (Case(1000, 7), Case(100, 14), Case(512, 7, True), Case(128, 14, True))


def ways(case: Case) -> list[str]:
    """What is measured of a case; the first one is compared with the others."""
    if case.training:
        return [LITERAL, "ours", "ours, recompute", "literal, bf16", "ours, bf16"]
    return [LITERAL, "ours", "literal, bf16", "ours, bf16"]


class Bench:
    """Feature maps, boxes and weights of a case, and the ways to pool."""

    def __init__(self, case: Case, args: argparse.Namespace) -> None:
        torch.manual_seed(0)
        self.case, self.device = case, args.device
        self.size = (args.height, args.width)
        self.pooler = GRoIEPooler(case.size, [1 / stride for stride in STRIDES]).to(self.device)
        nn.init.ones_(self.pooler.post_module.gamma)
        self.literal = LiteralGRoIE(self.pooler)

    def inputs(self, dtype: torch.dtype, size: tuple[int, int], count: int) -> tuple:
        """Feature maps of a picture, boxes, and the gradient of what is pooled from them."""
        height, width = size
        maps = [
            torch.randn(1, CHANNELS, height // stride, width // stride, device=self.device)
            .to(dtype)
            .requires_grad_(self.case.training)
            for stride in STRIDES
        ]
        found = torch.from_numpy(boxes(np.random.RandomState(0), count, width, height))
        gradient = torch.randn(count, CHANNELS, self.case.size, self.case.size, device=self.device)
        return maps, [Boxes(found.float().to(self.device))], gradient.to(dtype)

    def run(self, way: str, small: bool = False) -> Callable[[], None]:
        """A function that pools once in this way, ``small`` boxes from small maps."""
        half = way.endswith("bf16")
        size, count = ((128, 128), 2) if small else (self.size, self.case.count)
        maps, regions, gradient = self.inputs(
            torch.bfloat16 if half else torch.float32, size, count
        )
        module = self.literal if way.startswith(LITERAL) else self.pooler

        def pool() -> Tensor:
            self.pooler.recompute = way.endswith("recompute")
            with torch.autocast(self.device, torch.bfloat16, enabled=half):
                return module(maps, regions)

        def inference() -> None:
            with torch.no_grad():
                pool()

        def training() -> None:
            for x in (*maps, *self.pooler.parameters()):
                x.grad = None
            pool().backward(gradient)

        return training if self.case.training else inference


def memory(case: Case, way: str, args: argparse.Namespace) -> Result:
    """Peak memory of one way, after a small call that loads what the libraries load."""
    bench = Bench(case, args)
    bench.run(way, small=True)()
    run = bench.run(way)
    with PeakMemory(args.device) as peak:
        run()
    return Result(way, 0.0, peak.mib)


def rows(case: Case, args: argparse.Namespace) -> list[dict]:
    """Time and memory of every way, and how they compare with the literal form in float32."""
    names = ways(case)
    bench = Bench(case, args)
    timed = measure_in_turns(
        {way: bench.run(way) for way in names}, repeat=args.repeat, device=args.device
    )
    del bench
    peaks = [apart(memory, case, way, args).peak_mib for way in names]
    return [
        {
            "case": str(case),
            "way": way,
            "s": result.seconds,
            "x literal s": result.seconds / timed[0].seconds,
            "MiB": peak,
            "x literal MiB": peak / peaks[0],
        }
        for way, result, peak in zip(names, timed, peaks, strict=True)
    ]


def main() -> None:
    """Measure every case, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--width", type=int, default=1216)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="of the boxes, for a short try")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", default="", help="write the results to this file as well")
    args = parser.parse_args()

    found: list[dict] = []
    for case in CASES:
        count = max(1, round(case.count * args.share))
        found += rows(Case(count, case.size, case.training), args)
    print(environment(), table([list(row.values()) for row in found], list(found[0])), sep="\n\n")
    if args.json:
        content = {"environment": environment(), "results": found}
        Path(args.json).write_text(json.dumps(content))


if __name__ == "__main__":
    main()
