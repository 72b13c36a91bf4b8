"""YAML keys of CondInst."""

from detectron2.config import CfgNode

from .inference import Selection
from .training import Criterion


def add_condinst_config(cfg: CfgNode) -> None:
    """Add ``MODEL.CONDINST``, read where MODEL.META_ARCHITECTURE is "CondInst".

    Such a model wants MODEL.BACKBONE.NAME "build_condinst_resnet_fpn_backbone" and MODEL.MASK_ON.
    """
    node = type(cfg)
    cfg.MODEL.CONDINST = node(
        {
            "NUM_CLASSES": 80,
            "IN_FEATURES": ["p3", "p4", "p5", "p6", "p7"],
            # Convolutions of the two towers.
            "NUM_CONVS": 4,
            "NORM": "GN",
            "PRIOR_PROB": 0.01,
            # In strides, around the centres of masks.
            "CENTER_SAMPLING_RADIUS": 1.5,
            "FOCAL_LOSS_ALPHA": 0.25,
            "FOCAL_LOSS_GAMMA": 2.0,
            # Of a batch, shared fairly between images and instances.
            "MAX_MASKS": 300,
            # Learn the classes of cells beside the masks.
            "SEMANTIC_LOSS": False,
            "SCORE_THRESH_TEST": 0.05,
            "TOPK_CANDIDATES_TEST": 1000,
            # Choose by class x centerness, not by class alone, as AdelaiDet does.
            "CENTERNESS_FIRST": False,
            # Scores are (class x centerness) to this power: 1, or 0.5 for weights of AdelaiDet.
            "SCORE_EXPONENT": 1.0,
            "NMS_THRESH_TEST": 0.6,
            "MASK_BRANCH": {
                "IN_FEATURES": ["p3", "p4", "p5"],
                "CHANNELS": 128,
                "NUM_CONVS": 4,
                "OUT_CHANNELS": 8,
                "NORM": "BN",
            },
            "MASK_HEAD": {"CHANNELS": 8, "OUT_STRIDE": 4, "SIZE_OF_INTEREST": 8},
        }
    )


def criterion_from_config(cfg: CfgNode) -> Criterion:
    """The losses that the config describes."""
    options = cfg.MODEL.CONDINST
    return Criterion(
        center_sampling_radius=options.CENTER_SAMPLING_RADIUS,
        focal_alpha=options.FOCAL_LOSS_ALPHA,
        focal_gamma=options.FOCAL_LOSS_GAMMA,
        max_masks=options.MAX_MASKS,
    )


def selection_from_config(cfg: CfgNode) -> Selection:
    """What the config lets become detections."""
    options = cfg.MODEL.CONDINST
    return Selection(
        score_thresh=options.SCORE_THRESH_TEST,
        topk_candidates=options.TOPK_CANDIDATES_TEST,
        centerness_first=options.CENTERNESS_FIRST,
        score_exponent=options.SCORE_EXPONENT,
        nms_thresh=options.NMS_THRESH_TEST,
        max_detections=cfg.TEST.DETECTIONS_PER_IMAGE,
    )
