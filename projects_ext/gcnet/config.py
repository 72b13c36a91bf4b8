"""YAML keys of GCNet."""

from detectron2.config import CfgNode


def add_gcnet_config(cfg: CfgNode) -> None:
    """Add the options of context blocks in backbones and in the semantic head.

    ``MODEL.RESNETS.GC_BLOCK`` is what ``build_gcnet_resnet_[fpn_]backbone`` read, ``MODEL.GC_HEAD``
    is for MODEL.SEM_SEG_HEAD.NAME "GCHead".
    """
    cfg.MODEL.RESNETS.GC_BLOCK = type(cfg)(
        {
            # For res2 to res5.
            "ON_PER_STAGE": [False, True, True, True],
            # Channels of the bottleneck as a share of the block's: 1/16 and 1/4 in the paper.
            "RATIO": 0.0625,
            # "att" or "avg".
            "POOLING": "att",
            # "channel_add", "channel_mul" or both.
            "FUSIONS": ["channel_add"],
        }
    )
    cfg.MODEL.GC_HEAD = type(cfg)({"RATIO": 0.25, "POOLING": "att", "FUSIONS": ["channel_add"]})
