"""This project's keys in a YAML config, beside Detectron2's own."""

from detectron2.config import CfgNode

from .carafe import add_carafe_config
from .condinst import add_condinst_config
from .gcnet import add_gcnet_config
from .grid_rcnn import add_grid_rcnn_config
from .groie import add_groie_config
from .semantic import add_semantic_config

SYSTEMS = (
    add_carafe_config,
    add_condinst_config,
    add_gcnet_config,
    add_grid_rcnn_config,
    add_groie_config,
    add_semantic_config,
)
"""What adds each system's keys; importing them also registers the systems' components."""


def add_config(cfg: CfgNode) -> None:
    """Add this project's keys with their defaults to ``detectron2.config.get_cfg()``'s.

    Each one is off by default, so that a config written for Detectron2 means what it did. The
    LazyConfig key of the same feature stands in brackets.
    """
    node = type(cfg)
    # A data set in COCO format by its paths, in place of DATASETS.TRAIN and TEST and of the
    # number of classes in MODEL; each is a path or a list of paths, which are joined [data].
    # SKIP_INVALID: leave out annotations that cannot be used, such as a box or a mask of no area
    # [data.skip_invalid]. ISCROWD_AS_OBJECTS: take objects that are marked iscrowd=1 as ordinary
    # ones [data.iscrowd_as_objects]. Masks are needed where MODEL.MASK_ON is set; without it,
    # TEST.BEST_METRIC segm/… becomes bbox/… [data.masks].
    cfg.DATASETS.COCO_FORMAT = node(
        {
            # None, as a path or a list may take its place.
            "TRAIN_JSON": None,
            "TRAIN_IMAGES": None,
            "VAL_JSON": None,
            "VAL_IMAGES": None,
            "SKIP_INVALID": False,
            "ISCROWD_AS_OBJECTS": False,
        }
    )
    # Semantic segmentation from folders of images and of label maps, in the same places. CLASSES:
    # a list of names, or a file (.txt, .json or FILE.json:KEY) as a list of one [data].
    cfg.DATASETS.LABEL_FOLDERS = node(
        {"TRAIN_IMAGES": "", "TRAIN_LABELS": "", "VAL_IMAGES": "", "VAL_LABELS": "", "CLASSES": []}
    )
    # Let MODEL.WEIGHTS be a file that runs code when it is read. Only for files whose origin is
    # beyond doubt [train.trust_checkpoint].
    cfg.MODEL.TRUST_WEIGHTS = False
    # Evaluate although parts of the model get no weights from that file: they are then random
    # [train.allow_missing_weights].
    cfg.MODEL.ALLOW_MISSING_WEIGHTS = False
    # Evaluate although no class of that file has the name of one of the data set's: they are taken
    # to be the same in the same order [train.allow_other_classes].
    cfg.MODEL.ALLOW_OTHER_CLASSES = False
    # The names of the classes, which a run writes into its config.yaml [train.classes].
    cfg.MODEL.CLASSES = []
    # Names of modules or parameters that keep their values; with * and ? [train.freeze].
    cfg.MODEL.FREEZE = []
    # Keep less of the backbone in memory and compute it twice [train.recompute].
    cfg.MODEL.RECOMPUTE = False
    # The factor of the learning rate from each stage of the backbone to the one before it
    # [train.layer_decay].
    cfg.SOLVER.LAYER_DECAY = 1.0
    # The weights are updated with the mean gradient of so many batches; iterations count updates
    # [train.accumulate].
    cfg.SOLVER.ACCUMULATE = 1
    # Stop after so many evaluations without an improvement of TEST.BEST_METRIC by more than
    # MIN_DELTA; 0: never [train.early_stopping].
    cfg.SOLVER.EARLY_STOPPING = node({"PATIENCE": 0, "MIN_DELTA": 0.0})
    # Compute the losses on the validation data, too [train.validation_loss].
    cfg.TEST.VALIDATION_LOSS = False
    # The batch size that learning rate and iterations are written for; 0: whatever
    # SOLVER.IMS_PER_BATCH is [train.reference_batch_size].
    cfg.SOLVER.REFERENCE_BATCH_SIZE = 0
    # With SOLVER.AMP.ENABLED: "float16" (CUDA) or "bfloat16" [train.amp.dtype].
    cfg.SOLVER.AMP.DTYPE = "float16"
    # Scale the gradient of the whole model down to this norm; 0: off. Detectron2's own
    # SOLVER.CLIP_GRADIENTS treats each parameter by itself [train.clip_grad.max_norm].
    cfg.SOLVER.MAX_GRAD_NORM = 0.0
    # Evaluate an exponential moving average of the weights [train.ema].
    cfg.SOLVER.EMA = node({"ENABLED": False, "DECAY": 0.9998})
    # Besides metrics.json: event files for TensorBoard [train.tensorboard]; runs of Weights &
    # Biases and of MLflow, where a project or an experiment is named [train.wandb, train.mlflow].
    cfg.TRACKING = node(
        {
            "TENSORBOARD": True,
            "WANDB": {"PROJECT": "", "NAME": ""},
            "MLFLOW": {"EXPERIMENT": "", "NAME": "", "TRACKING_URI": ""},
        }
    )
    # How many periodic checkpoints stay; 0: all [train.checkpointer.max_to_keep].
    cfg.SOLVER.CHECKPOINTS_TO_KEEP = 0
    # E.g. "segm/AP": the best checkpoint by it is kept as model_best.pth. MODE: "max" or "min"
    # [train.best_checkpointer].
    cfg.TEST.BEST_METRIC = ""
    cfg.TEST.BEST_METRIC_MODE = "max"
    # Draw predictions beside the ground truth: instances for the first so many images of each data
    # set, label maps for the worst and the best so many.
    cfg.TEST.PICTURES = 0
    # RoI poolers by name [model.roi_heads.box_pooler, mask_pooler]. `projects_ext.engine` follows
    # them in all RoI heads that are derived from StandardROIHeads, and refuses them elsewhere. Code
    # that builds a model from a config without it gives MODEL.ROI_HEADS.NAME
    # "RegisteredPoolersROIHeads" or "RegisteredPoolersCascadeROIHeads".
    cfg.MODEL.ROI_BOX_HEAD.POOLER_NAME = "ROIPooler"
    cfg.MODEL.ROI_MASK_HEAD.POOLER_NAME = "ROIPooler"
    for add_keys in SYSTEMS:
        add_keys(cfg)
