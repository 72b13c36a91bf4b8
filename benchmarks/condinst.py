"""CondInst's dynamic mask head beside its usual form, for the instances of one picture.

    python -m benchmarks.condinst

The usual form (`tests/references/condinst.py`) repeats the mask features for each instance, and
gives the same answers. Times: both in turns in one process, medians. Memory: what each needs on top
of features, parameters and targets at its highest, measured alone in a process of its own.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.measure import PeakMemory, Result, apart, environment, measure_in_turns, table
from projects_ext.condinst import DynamicMaskHead
from tests.references.condinst import dice_sum, interpolated, repeated_masks

USUAL, OURS = "usual", "ours"
CASES = (
    "mask logits, inference",
    "mask logits, forward + backward",
    "dice loss, forward + backward",
    "masks of the picture, inference",
)


@dataclass(frozen=True)
class Scene:
    """What a picture's instances are made from.

    Attributes:
        features: (8, H, W) at stride 8.
        parameters: (I, 169).
        points: (I, 2) in pixels.
        strides: (I,) of their levels.
        targets: (M, 2 H, 2 W) bool.
        instances: (I,) the target of each.
        gradient: of the logits (I, H, W).
        size: height and width of the picture that masks are wanted for.
    """

    features: Tensor
    parameters: Tensor
    points: Tensor
    strides: Tensor
    targets: Tensor
    instances: Tensor
    gradient: Tensor
    size: tuple[int, int]

    @property
    def given(self) -> tuple[Tensor, ...]:
        """What the head takes."""
        return self.features, self.parameters, self.points, self.strides


def scene(count: int, height: int, width: int, output: tuple[int, int], device: str) -> Scene:
    """Noise of the sizes that a picture of height x width gives."""
    torch.manual_seed(0)
    rows, columns = height // 8, width // 8
    objects = max(1, count // 5)
    return Scene(
        torch.randn(8, rows, columns, device=device).requires_grad_(),
        (0.1 * torch.randn(count, 169, device=device)).requires_grad_(),
        torch.rand(count, 2, device=device) * torch.tensor([width, height], device=device),
        8.0 * 2.0 ** (torch.arange(count, device=device) % 5),
        torch.rand(objects, 2 * rows, 2 * columns, device=device) > 0.7,
        torch.arange(count, device=device) % objects,
        torch.randn(count, rows, columns, device=device),
        output,
    )


def usual_logits(x: Scene) -> Tensor:
    """Features repeated, a grouped convolution."""
    return repeated_masks(x.features, x.parameters, x.points, x.strides * 8, 8)


def usual_loss(x: Scene) -> Tensor:
    """All masks, all targets, then the loss."""
    masks = interpolated(usual_logits(x), 2).sigmoid()
    return dice_sum(masks, x.targets[x.instances])


def usual_masks(x: Scene) -> Tensor:
    """All masks at the picture's size in float, then the threshold."""
    fine = interpolated(interpolated(usual_logits(x), 2).sigmoid(), 4)[:, None]
    return F.interpolate(fine, size=x.size, mode="bilinear", align_corners=False)[:, 0] > 0.5


def our_masks(x: Scene, head: DynamicMaskHead) -> Tensor:
    """As the model does."""
    logits = head(*x.given)
    return head.paste(logits, (logits.shape[1] * 8, logits.shape[2] * 8), x.size)


def run(case: str, way: str, x: Scene) -> Callable[[], None]:
    """A function that goes through a case once."""
    head = DynamicMaskHead()

    def compute() -> Tensor:
        if case.startswith("mask logits"):
            return head(*x.given) if way == OURS else usual_logits(x)
        if case.startswith("dice"):
            if way == OURS:
                return head.loss(*x.given, x.targets, x.instances)
            return usual_loss(x)
        return our_masks(x, head) if way == OURS else usual_masks(x)

    def inference() -> None:
        with torch.no_grad():
            compute()

    def training() -> None:
        x.features.grad = x.parameters.grad = None
        found = compute()
        found.backward(x.gradient if found.dim() else None)

    return inference if case.endswith("inference") else training


def make(args: argparse.Namespace) -> Scene:
    """The scene that the options describe."""
    output = (args.output_height, args.output_width)
    return scene(args.instances, args.height, args.width, output, args.device)


def memory(case: str, way: str, args: argparse.Namespace) -> Result:
    """Peak memory of one way, after a small call that loads what the libraries load."""
    run(case, way, scene(2, 64, 64, (80, 80), args.device))()
    go = run(case, way, make(args))
    with PeakMemory(args.device) as peak:
        go()
    return Result(way, 0.0, peak.mib)


def rows(case: str, args: argparse.Namespace) -> list[dict]:
    """Time and memory of both ways, and how they compare."""
    ways = (USUAL, OURS)
    x = make(args)
    timed = measure_in_turns(
        {way: run(case, way, x) for way in ways}, repeat=args.repeat, device=args.device
    )
    del x
    peaks = [apart(memory, case, way, args).peak_mib for way in ways]
    return [
        {
            "case": case,
            "way": way,
            "s": result.seconds,
            "times faster": timed[0].seconds / result.seconds,
            "MiB": peak,
            "x usual MiB": peak / peaks[0],
        }
        for way, result, peak in zip(ways, timed, peaks, strict=True)
    ]


def main() -> None:
    """Measure every case, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--instances", type=int, default=100)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--width", type=int, default=1344)
    parser.add_argument("--output-height", type=int, default=1800)
    parser.add_argument("--output-width", type=int, default=2500)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", default="", help="write the results to this file as well")
    args = parser.parse_args()

    found = [row for case in CASES for row in rows(case, args)]
    print(environment(), table([list(row.values()) for row in found], list(found[0])), sep="\n\n")
    if args.json:
        content = {"environment": environment(), "results": found}
        Path(args.json).write_text(json.dumps(content))


if __name__ == "__main__":
    main()
