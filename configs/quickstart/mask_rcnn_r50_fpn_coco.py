"""The full-size Mask R-CNN R50-FPN on COCO 2017 under $DETECTRON2_DATASETS, 1x schedule.

Batch 16 and Detectron2's training conventions; give ImageNet weights by train.init_checkpoint.
"""

from ..common.train import train

train.output_dir = "output/mask_rcnn_r50_fpn_coco"
train.best_checkpointer.val_metric = "segm/AP"
