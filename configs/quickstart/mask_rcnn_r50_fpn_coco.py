"""The full-size Mask R-CNN R50-FPN on COCO 2017 under $DETECTRON2_DATASETS, 1x schedule.

Batch 16 and Detectron2's training conventions; give ImageNet weights by train.init_checkpoint.
"""

from ..common.data.coco_instance import dataloader
from ..common.models.mask_rcnn_fpn import model
from ..common.optim import SGD as optimizer
from ..common.schedules import coco_1x as lr_multiplier
from ..common.train import train

train.output_dir = "output/mask_rcnn_r50_fpn_coco"
train.best_checkpointer.val_metric = "segm/AP"
