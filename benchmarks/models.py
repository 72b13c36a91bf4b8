"""Parameters, FLOPs and inference time of the detectors, from their configs.

    python -m benchmarks.models

The ten models of GRoIE's table, and those of CARAFE and CondInst. Random weights and one made-up
picture. For each model to have as much to do as a trained one has, a few classes are made likely
everywhere: 100 detections go through the mask or grid branch. All models run in turns; "beside"
names the model that "x time" compares with.

FLOPs are those of convolutions and matrix products, as torch.utils.flop_counter finds them in one
run, and of CARAFE, a multiplication with its addition counted as one. RoIAlign, NMS and elementwise
work are not in them.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import environment, measure_in_turns, table
from benchmarks.scenes import batch
from detectron2.config import LazyConfig, instantiate

CONFIGS = Path(__file__).parents[1] / "configs"


class Entry(NamedTuple):
    """A config, and the model to compare with."""

    config: str
    beside: str


MODELS = {
    "Faster R50": Entry("groie/faster_rcnn_r50_fpn_1x", ""),
    "Faster R50 + GRoIE": Entry("groie/faster_rcnn_r50_fpn_groie_1x", "Faster R50"),
    "Faster R50 + CARAFE": Entry("carafe/faster_rcnn_r50_fpn_carafe_1x", "Faster R50"),
    "Grid R50, GN": Entry("grid_rcnn/grid_rcnn_r50_fpn_gn_1x", "Faster R50"),
    "Grid R50, GN + GRoIE": Entry("groie/grid_rcnn_r50_fpn_gn_groie_1x", "Grid R50, GN"),
    "Mask R50": Entry("groie/mask_rcnn_r50_fpn_1x", ""),
    "Mask R50 + GRoIE": Entry("groie/mask_rcnn_r50_fpn_groie_1x", "Mask R50"),
    "Mask R50 + CARAFE": Entry("carafe/mask_rcnn_r50_fpn_carafe_1x", "Mask R50"),
    "Mask R50, GC": Entry("gcnet/mask_rcnn_r50_fpn_syncbn_gcb_r4_1x", "Mask R50"),
    "Mask R50, GC + GRoIE": Entry("groie/mask_rcnn_r50_fpn_syncbn_gcb_r4_groie_1x", "Mask R50, GC"),
    "Mask R101, GC": Entry("gcnet/mask_rcnn_r101_fpn_syncbn_gcb_r4_1x", ""),
    "Mask R101, GC + GRoIE": Entry(
        "groie/mask_rcnn_r101_fpn_syncbn_gcb_r4_groie_1x", "Mask R101, GC"
    ),
    "CondInst R50": Entry("condinst/condinst_r50_fpn_ms_1x", "Mask R50"),
}

DETECTIONS = 100
LIKELY_CLASSES = 3


def build_model(config: str, device: str) -> nn.Module:
    """The model of a config, with random weights under which it finds things."""
    torch.manual_seed(0)
    model = instantiate(LazyConfig.load(str(CONFIGS / f"{config}.py")).model).eval().to(device)
    with torch.no_grad():
        for name, value in model.named_parameters():
            # Without ImageNet weights the residual branches would add up to infinity.
            if name.endswith("conv3.norm.weight"):
                value.zero_()
        if hasattr(model, "roi_heads"):
            model.roi_heads.box_predictor.cls_score.bias[:LIKELY_CLASSES] = 6.0
        else:
            model.head.cls_score.bias[:LIKELY_CLASSES] = 6.0
            # Boxes of 8 x 8 cells, in place of empty ones.
            model.head.bbox_pred.bias.fill_(4.0)
    return model


@torch.no_grad()
def detect(model: nn.Module, inputs: list[dict[str, Any]]) -> int:
    """Predictions at the picture's own size; how many."""
    return len(model(inputs)[0]["instances"])


def cost(model: nn.Module, run: Callable[[], int]) -> tuple[float, float]:
    """Millions of parameters, and 10^9 FLOPs of one run.

    Raises:
        SystemExit: the model does not have as much to do as it should.
    """
    with FlopCounterMode(display=False) as counter:
        found = run()
    if found != DETECTIONS:
        raise SystemExit(f"only {found} detections: give a larger --height or --width")
    parameters = sum(value.numel() for value in model.parameters())
    return parameters / 1e6, counter.get_total_flops() / 2e9


def rows(names: list[str], args: argparse.Namespace) -> list[list[Any]]:
    """Name, parameters, FLOPs, seconds; another model, and how many times its seconds these are."""
    inputs = batch(1, args.height, args.width, args.device)
    del inputs[0]["instances"]
    models = {name: build_model(MODELS[name].config, args.device) for name in names}
    runs = {name: partial(detect, model, inputs) for name, model in models.items()}
    # Counting is the warm-up.
    costs = {name: cost(models[name], runs[name]) for name in names}
    results = measure_in_turns(runs, warmup=0, repeat=args.repeat, device=args.device)
    seconds = {result.case: result.seconds for result in results}
    found = []
    for name in names:
        parameters, flops = costs[name]
        beside = MODELS[name].beside
        ratio = seconds[name] / seconds[beside] if beside in seconds else None
        found.append([name, parameters, round(flops), seconds[name], beside, ratio])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--width", type=int, default=1216)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--only", default="", help="only models with this in their names, such as 'R50, GC'"
    )
    args = parser.parse_args()

    names = [name for name in MODELS if args.only in name]
    if not names:
        parser.error(f"--only: no model has '{args.only}' in its name; there are {list(MODELS)}")
    print(environment(), f"inference, fp32, 1 x {args.height} x {args.width}", sep="\n", end="\n\n")
    headers = ["model", "M parameters", "GFLOPs", "s", "beside", "x time"]
    print(table(rows(names, args), headers))


if __name__ == "__main__":
    main()
