"""YAML keys of Grid R-CNN."""

from detectron2.config import CfgNode


def add_grid_rcnn_config(cfg: CfgNode) -> None:
    """Add ``MODEL.ROI_GRID_HEAD``, read where MODEL.ROI_HEADS.NAME is "GridROIHeads".

    Such a model wants MODEL.ROI_HEADS.SCORE_THRESH_TEST 0.03 and NMS_THRESH_TEST 0.3.
    """
    cfg.MODEL.ROI_GRID_HEAD = type(cfg)(
        {
            "POOLER_NAME": "ROIPooler",
            "POOLER_TYPE": "ROIAlignV2",
            "POOLER_RESOLUTION": 14,
            "POOLER_SAMPLING_RATIO": 0,
            # Points along a side of a box.
            "GRID_SIZE": 3,
            "NUM_CONV": 8,
            # Channels of each point, and groups of GroupNorm over those of all points.
            "POINT_CHANNELS": 64,
            "NORM_GROUPS": 36,
            "LOSS_WEIGHT": 15.0,
            # Boxes move and grow in training by up to this share of their sides.
            "JITTER": 0.15,
            # Regions of a batch that train the head.
            "MAX_REGIONS": 192,
        }
    )
