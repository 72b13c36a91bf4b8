"""Inference of semantic segmentation beside its literal form: whole, slide, multi-scale + flip.

    python -m benchmarks.semantic
    python -m benchmarks.semantic --config configs/gcnet/semantic/NAME.py --only slide --repeat 0

The literal form (`tests/references/semantic_inference.py`) gives the same answers and keeps every
view at the output's size. Without --config, the network is a small one, and what is measured is
what lies around a network. Times: both in turns in one process, medians. Memory: what each needs on
top of image and weights at its highest, measured alone in a process of its own.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measure import (
    PeakMemory,
    Result,
    apart,
    environment,
    measure_in_turns,
    table,
    time_once,
)
from detectron2.config import LazyConfig, instantiate
from projects_ext.semantic import PUBLISHED_SCALES, build_inference
from tests.references.semantic_inference import literal_inference

LITERAL, OURS = "literal", "ours"
CASES = ("whole", "slide", "whole ms+flip", "slide ms+flip")


class SmallNetwork(nn.Module):
    """Stride 8, two convolutions, logits at the input's size."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 8, 8, padding=4), nn.ReLU(), nn.Conv2d(32, classes, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K, H, W) of images (N, 3, H, W)."""
        return F.interpolate(self.layers(images), size=images.shape[2:], mode="bilinear")


@dataclass(frozen=True)
class Bench:
    """An image, a network, and the ways to predict.

    Attributes:
        args: of the command line.
        case: one of ``CASES``.
    """

    args: argparse.Namespace
    case: str

    def encode(self) -> Callable[[Tensor], Tensor]:
        """The network on the device; its weights are random."""
        torch.manual_seed(0)
        if not self.args.config:
            return SmallNetwork(self.args.classes).to(self.args.device).eval()
        model = instantiate(LazyConfig.load(self.args.config).model).to(self.args.device).eval()
        return model.encode

    def runs(self, height: int, width: int) -> dict[str, Callable[[], object]]:
        """A function for each way, all on one image of this size."""
        encode, size = self.encode(), (height, width)
        image = torch.randn(3, height, width, device=self.args.device)
        crop, stride = (self.args.crop,) * 2, (self.args.stride,) * 2
        sliding = self.case.startswith("slide")
        views = self.case.endswith("ms+flip")
        way = build_inference(
            crop=crop if sliding else None,
            stride=stride if sliding else None,
            scales=PUBLISHED_SCALES if views else (1.0,),
            flip=views,
            accumulate_on=self.args.accumulate_on or None,
            windows_at_once=self.args.windows_at_once,
        )
        return {
            LITERAL: lambda: literal_inference(
                encode,
                image,
                size,
                windows=(crop, stride) if sliding else None,
                scales=PUBLISHED_SCALES if views else (),
                flip=views,
            ),
            OURS: lambda: way(encode, image, size),
        }


def alone(args: argparse.Namespace, case: str, way: str) -> Result:
    """Time and peak memory of one call, after a small one that loads what libraries load."""
    bench = Bench(args, case)
    bench.runs(128, 128)[way]()
    run = bench.runs(args.height, args.width)[way]
    with PeakMemory(args.device) as peak:
        seconds = time_once(run, args.device)
    return Result(way, seconds, peak.mib)


def rows(args: argparse.Namespace, case: str) -> list[dict]:
    """Time and memory of both ways, and how they compare with the literal form."""
    ways = [OURS] if args.ours_alone else [LITERAL, OURS]
    results = [apart(alone, args, case, way) for way in ways]
    seconds = {result.case: result.seconds for result in results}
    if args.repeat:
        runs = Bench(args, case).runs(args.height, args.width)
        timed = measure_in_turns(
            {way: runs[way] for way in ways}, repeat=args.repeat, device=args.device
        )
        seconds = {result.case: result.seconds for result in timed}
    return [
        {
            "case": case,
            "way": result.case,
            "images/s": 1 / seconds[result.case],
            "x first": seconds[ways[0]] / seconds[result.case],
            "peak MiB": result.peak_mib,
            "x first MiB": result.peak_mib / results[0].peak_mib,
        }
        for result in results
    ]


def main() -> None:
    """Measure every case, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", default="", help="a LazyConfig with a Segmentor as its model")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--height", type=int, default=1024)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--classes", type=int, default=19, help="of the small network")
    parser.add_argument("--crop", type=int, default=769)
    parser.add_argument("--stride", type=int, default=513)
    parser.add_argument("--windows-at-once", type=int, default=1)
    parser.add_argument("--accumulate-on", default="", help="cpu, where a GPU's memory is short")
    parser.add_argument("--ours-alone", action="store_true", help="leave the literal form out")
    parser.add_argument(
        "--repeat", type=int, default=3, help="0: the time of the call that memory is measured in"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", default="", help="write the results to this file as well")
    args = parser.parse_args()

    found = [row for case in args.only for row in rows(args, case)]
    print(environment(), table([list(row.values()) for row in found], list(found[0])), sep="\n\n")
    if args.json:
        content = {"environment": environment(), "results": found}
        Path(args.json).write_text(json.dumps(content))


if __name__ == "__main__":
    main()
