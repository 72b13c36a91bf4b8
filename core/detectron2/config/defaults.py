"""Every key of the YAML configuration with its default.

The keys and values are Detectron2's, so that its YAML files load. Sections of features that
detectron2-core leaves out (keypoints, panoptic segmentation, rotated boxes) are kept for that
reason too; switching such a feature on is refused where it would be built.

Sizes are in pixels, learning-rate and period entries in iterations, unless said otherwise.
"""

from typing import Any

_UNIT_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
_BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)

# How region features are cut out, common to the three RoI heads.
_POOLER = {"POOLER_TYPE": "ROIAlignV2", "POOLER_RESOLUTION": 14, "POOLER_SAMPLING_RATIO": 0}

_BACKBONE: dict[str, Any] = {
    # FREEZE_AT: stages kept at their initial weights (1: the stem, 2: also res2...).
    "BACKBONE": {"NAME": "build_resnet_backbone", "FREEZE_AT": 2},
    "RESNETS": {
        "DEPTH": 50,
        "OUT_FEATURES": ["res4"],
        "NORM": "FrozenBN",
        # ResNeXt: NUM_GROUPS > 1.
        "NUM_GROUPS": 1,
        "WIDTH_PER_GROUP": 64,
        # True for the MSRA weights, False for torchvision's.
        "STRIDE_IN_1X1": True,
        "STEM_OUT_CHANNELS": 64,
        "RES2_OUT_CHANNELS": 256,
        "RES5_DILATION": 1,
        # res2 to res5.
        "DEFORM_ON_PER_STAGE": [False, False, False, False],
        "DEFORM_MODULATED": False,
        "DEFORM_NUM_GROUPS": 1,
    },
    # FUSE_TYPE: "sum" or "avg".
    "FPN": {"IN_FEATURES": [], "OUT_CHANNELS": 256, "NORM": "", "FUSE_TYPE": "sum"},
}

_PROPOSALS: dict[str, Any] = {
    "PROPOSAL_GENERATOR": {"NAME": "RPN", "MIN_SIZE": 0},
    "ANCHOR_GENERATOR": {
        "NAME": "DefaultAnchorGenerator",
        # One list for all feature maps, or one list for each.
        "SIZES": [[32, 64, 128, 256, 512]],
        "ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
        # Degrees; rotated boxes only.
        "ANGLES": [[-90, 0, 90]],
        # Of an anchor's centre, as a part of the stride.
        "OFFSET": 0.0,
    },
    "RPN": {
        "HEAD_NAME": "StandardRPNHead",
        "CONV_DIMS": [-1],
        "IN_FEATURES": ["res4"],
        # Anchors further outside the image are left out of training; -1 keeps all.
        "BOUNDARY_THRESH": -1,
        "IOU_THRESHOLDS": [0.3, 0.7],
        "IOU_LABELS": [0, -1, 1],
        "BATCH_SIZE_PER_IMAGE": 256,
        "POSITIVE_FRACTION": 0.5,
        "BBOX_REG_WEIGHTS": _UNIT_WEIGHTS,
        "BBOX_REG_LOSS_TYPE": "smooth_l1",
        "SMOOTH_L1_BETA": 0.0,
        "BBOX_REG_LOSS_WEIGHT": 1.0,
        "LOSS_WEIGHT": 1.0,
        # Before NMS: per feature map; after it: per image.
        "PRE_NMS_TOPK_TRAIN": 12000,
        "PRE_NMS_TOPK_TEST": 6000,
        "NMS_THRESH": 0.7,
        "POST_NMS_TOPK_TRAIN": 2000,
        "POST_NMS_TOPK_TEST": 1000,
    },
}

_REGION_HEADS: dict[str, Any] = {
    "ROI_HEADS": {
        "NAME": "Res5ROIHeads",
        "NUM_CLASSES": 80,
        "IN_FEATURES": ["res4"],
        "IOU_THRESHOLDS": [0.5],
        "IOU_LABELS": [0, 1],
        "BATCH_SIZE_PER_IMAGE": 512,
        "POSITIVE_FRACTION": 0.25,
        "PROPOSAL_APPEND_GT": True,
        "SCORE_THRESH_TEST": 0.05,
        "NMS_THRESH_TEST": 0.5,
    },
    "ROI_BOX_HEAD": {
        **_POOLER,
        "NAME": "",
        "NUM_CONV": 0,
        "CONV_DIM": 256,
        "NUM_FC": 0,
        "FC_DIM": 1024,
        "NORM": "",
        "CLS_AGNOSTIC_BBOX_REG": False,
        "TRAIN_ON_PRED_BOXES": False,
        "BBOX_REG_WEIGHTS": _BOX_WEIGHTS,
        "BBOX_REG_LOSS_TYPE": "smooth_l1",
        "BBOX_REG_LOSS_WEIGHT": 1.0,
        "SMOOTH_L1_BETA": 0.0,
        # Federated loss (LVIS): classes drawn per batch, by their frequency to this power.
        "USE_FED_LOSS": False,
        "FED_LOSS_NUM_CLASSES": 50,
        "FED_LOSS_FREQ_WEIGHT_POWER": 0.5,
        "USE_SIGMOID_CE": False,
    },
    # One entry for each stage.
    "ROI_BOX_CASCADE_HEAD": {
        "IOUS": (0.5, 0.6, 0.7),
        "BBOX_REG_WEIGHTS": (_BOX_WEIGHTS, (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0)),
    },
    "ROI_MASK_HEAD": {
        **_POOLER,
        "NAME": "MaskRCNNConvUpsampleHead",
        "NUM_CONV": 0,
        "CONV_DIM": 256,
        "NORM": "",
        "CLS_AGNOSTIC_MASK": False,
    },
    "ROI_KEYPOINT_HEAD": {
        **_POOLER,
        "NAME": "KRCNNConvDeconvUpsampleHead",
        "CONV_DIMS": (512,) * 8,
        "NUM_KEYPOINTS": 17,
        "MIN_KEYPOINTS_PER_IMAGE": 1,
        "NORMALIZE_LOSS_BY_VISIBLE_KEYPOINTS": True,
        "LOSS_WEIGHT": 1.0,
    },
}

_DENSE_HEADS: dict[str, Any] = {
    "SEM_SEG_HEAD": {
        "NAME": "SemSegFPNHead",
        "NUM_CLASSES": 54,
        "IN_FEATURES": ["p2", "p3", "p4", "p5"],
        # The label of pixels without ground truth.
        "IGNORE_VALUE": 255,
        "CONVS_DIM": 128,
        "COMMON_STRIDE": 4,
        "NORM": "GN",
        "LOSS_WEIGHT": 1.0,
    },
    "PANOPTIC_FPN": {
        "INSTANCE_LOSS_WEIGHT": 1.0,
        "COMBINE": {
            "ENABLED": True,
            "OVERLAP_THRESH": 0.5,
            "STUFF_AREA_LIMIT": 4096,
            "INSTANCES_CONFIDENCE_THRESH": 0.5,
        },
    },
    "RETINANET": {
        "NUM_CLASSES": 80,
        "IN_FEATURES": ["p3", "p4", "p5", "p6", "p7"],
        "NUM_CONVS": 4,
        "NORM": "",
        # The foreground probability that the bias of the class scores starts at.
        "PRIOR_PROB": 0.01,
        "IOU_THRESHOLDS": [0.4, 0.5],
        "IOU_LABELS": [0, -1, 1],
        "FOCAL_LOSS_ALPHA": 0.25,
        "FOCAL_LOSS_GAMMA": 2.0,
        "BBOX_REG_WEIGHTS": _UNIT_WEIGHTS,
        "BBOX_REG_LOSS_TYPE": "smooth_l1",
        "SMOOTH_L1_LOSS_BETA": 0.1,
        "SCORE_THRESH_TEST": 0.05,
        "TOPK_CANDIDATES_TEST": 1000,
        "NMS_THRESH_TEST": 0.5,
    },
}

_MODEL: dict[str, Any] = {
    "META_ARCHITECTURE": "GeneralizedRCNN",
    "DEVICE": "cuda",
    # Path or address of the weights to begin with.
    "WEIGHTS": "",
    "MASK_ON": False,
    "KEYPOINT_ON": False,
    "LOAD_PROPOSALS": False,
    # In the order of INPUT.FORMAT's channels, for values from 0 to 255.
    "PIXEL_MEAN": [103.53, 116.28, 123.675],
    "PIXEL_STD": [1.0, 1.0, 1.0],
    **_BACKBONE,
    **_PROPOSALS,
    **_REGION_HEADS,
    **_DENSE_HEADS,
}

_DATA: dict[str, Any] = {
    "INPUT": {
        "FORMAT": "BGR",
        # "polygon" or "bitmask".
        "MASK_FORMAT": "polygon",
        # Of the shorter side: one of these values ("choice") or one between two ("range").
        "MIN_SIZE_TRAIN": (800,),
        "MIN_SIZE_TRAIN_SAMPLING": "choice",
        "MAX_SIZE_TRAIN": 1333,
        # 0 turns resizing off.
        "MIN_SIZE_TEST": 800,
        "MAX_SIZE_TEST": 1333,
        # "horizontal", "vertical" or "none".
        "RANDOM_FLIP": "horizontal",
        "CROP": {"ENABLED": False, "TYPE": "relative_range", "SIZE": [0.9, 0.9]},
    },
    "DATASETS": {
        # Names in the DatasetCatalog.
        "TRAIN": (),
        "TEST": (),
        # One file for each data set, with MODEL.LOAD_PROPOSALS.
        "PROPOSAL_FILES_TRAIN": (),
        "PROPOSAL_FILES_TEST": (),
        "PRECOMPUTED_PROPOSAL_TOPK_TRAIN": 2000,
        "PRECOMPUTED_PROPOSAL_TOPK_TEST": 1000,
    },
    "DATALOADER": {
        "NUM_WORKERS": 4,
        # Batches of images that are all wide or all tall need less padding.
        "ASPECT_RATIO_GROUPING": True,
        "FILTER_EMPTY_ANNOTATIONS": True,
        "SAMPLER_TRAIN": "TrainingSampler",
        # RepeatFactorTrainingSampler.
        "REPEAT_THRESHOLD": 0.0,
        "REPEAT_SQRT": True,
    },
}

_SOLVER: dict[str, Any] = {
    # Over all GPUs.
    "IMS_PER_BATCH": 16,
    "MAX_ITER": 40000,
    "CHECKPOINT_PERIOD": 5000,
    # Learning rate.
    "LR_SCHEDULER_NAME": "WarmupMultiStepLR",
    "BASE_LR": 0.001,
    "BASE_LR_END": 0.0,
    "STEPS": (30000,),
    "GAMMA": 0.1,
    "NUM_DECAYS": 3,
    "WARMUP_METHOD": "linear",
    "WARMUP_ITERS": 1000,
    "WARMUP_FACTOR": 0.001,
    "RESCALE_INTERVAL": False,
    # SGD.
    "MOMENTUM": 0.9,
    "NESTEROV": False,
    "WEIGHT_DECAY": 0.0001,
    "WEIGHT_DECAY_NORM": 0.0,
    # None: like WEIGHT_DECAY.
    "WEIGHT_DECAY_BIAS": None,
    "BIAS_LR_FACTOR": 1.0,
    # CLIP_TYPE "value" or "norm".
    "CLIP_GRADIENTS": {"ENABLED": False, "CLIP_TYPE": "value", "CLIP_VALUE": 1.0, "NORM_TYPE": 2.0},
    "AMP": {"ENABLED": False},
    # The number of GPUs that the values above are meant for; 0: whatever there are.
    "REFERENCE_WORLD_SIZE": 0,
}

_TEST: dict[str, Any] = {
    # 0: only after training.
    "EVAL_PERIOD": 0,
    "DETECTIONS_PER_IMAGE": 100,
    # [dataset, metric, expected, tolerance] to verify.
    "EXPECTED_RESULTS": [],
    "KEYPOINT_OKS_SIGMAS": [],
    "AUG": {
        "ENABLED": False,
        "MIN_SIZES": (400, 500, 600, 700, 800, 900, 1000, 1100, 1200),
        "MAX_SIZE": 4000,
        "FLIP": True,
    },
    "PRECISE_BN": {"ENABLED": False, "NUM_ITER": 200},
}

DEFAULTS: dict[str, Any] = {
    "VERSION": 2,
    "MODEL": _MODEL,
    **_DATA,
    "SOLVER": _SOLVER,
    "TEST": _TEST,
    "OUTPUT_DIR": "./output",
    # Negative: a different one in every run.
    "SEED": -1,
    "CUDNN_BENCHMARK": False,
    # Of matrix products on GPUs: "", "highest", "high" or "medium".
    "FLOAT32_PRECISION": "",
    # 0: no pictures during training.
    "VIS_PERIOD": 0,
    "GLOBAL": {"HACK": 1.0},
}


def __getattr__(name: str) -> Any:
    """Upstream's ``_C`` (the node that ``get_cfg`` copies) and ``CN`` (its class)."""
    from . import config  # it imports this module

    if name in ("_C", "CN"):
        return config._C if name == "_C" else config.CfgNode
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
