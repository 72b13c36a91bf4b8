"""Training step and inference of the stock Mask R-CNN R50-FPN, on whichever detectron2 is active.

    python -m benchmarks.mask_rcnn
    python -m benchmarks.compare --other OTHER_PYTHON mask_rcnn

Random weights and made-up pictures. BatchNorm is trained in place of FrozenBN, whose activations
explode without ImageNet weights; every class score passes, so that inference has masks to paste.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import torch
from torch import nn

from benchmarks.measure import Result, apart, measure, report
from benchmarks.scenes import batch
from detectron2.config import LazyConfig, instantiate
from detectron2.utils.events import EventStorage

CONFIGS = Path(__file__).parents[1] / "configs"


def build_model(device: str) -> nn.Module:
    """Mask R-CNN R50-FPN of the project's own config; its weights depend on their names alone."""
    cfg = LazyConfig.load(str(CONFIGS / "quickstart" / "mask_rcnn_r50_fpn_coco.py")).model
    cfg.backbone.bottom_up.freeze_at = 0
    cfg.backbone.bottom_up.stem.norm = cfg.backbone.bottom_up.stages.norm = "BN"
    cfg.roi_heads.box_predictor.test_score_thresh = 0.0
    model = instantiate(cfg)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() > 1:
                generator = torch.Generator().manual_seed(crc32(name.encode()))
                value.normal_(0, float(f"{value.std().item():.1g}"), generator=generator)
    return model.to(device)


def training_step(args: argparse.Namespace) -> Result:
    """Forward, backward and the optimiser's step."""
    model = build_model(args.device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5, momentum=0.9)
    inputs = batch(args.batch, args.height, args.width, args.device)

    def run() -> None:
        with EventStorage():
            losses = sum(model(inputs).values())
        optimizer.zero_grad()
        losses.backward()
        optimizer.step()

    case = f"training step, {args.batch} x {args.height} x {args.width}"
    return measure(case, run, images=args.batch, repeat=args.repeat, device=args.device)


def inference(args: argparse.Namespace) -> Result:
    """Predictions at the picture's own size."""
    model = build_model(args.device)
    inputs = batch(1, args.height, args.width, args.device)
    model.train()
    with torch.no_grad(), EventStorage():
        # Statistics of BatchNorm from a picture so small that its memory does not count.
        for _ in range(9):
            model(batch(2, 128, 128, args.device))
    model.eval()
    del inputs[0]["instances"]
    counts = set()

    @torch.no_grad()
    def run() -> None:
        counts.add(len(model(inputs)[0]["instances"]))

    case = f"inference, 1 x {args.height} x {args.width}"
    result = measure(case, run, images=1, repeat=args.repeat, device=args.device)
    return replace(result, case=f"{case}, {counts.pop()} masks")


CASES = {"training": training_step, "inference": inference}


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--width", type=int, default=1216)
    parser.add_argument("--batch", type=int, default=2, help="pictures of a training step")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", default="", help="write the results to this file as well")
    args = parser.parse_args()

    report([apart(CASES[case], args) for case in args.cases], args.json)


if __name__ == "__main__":
    main()
