"""Mask R-CNN R101-FPN, SyncBN: the model without GC blocks.

Published on COCO val2017: box AP 40.5, mask AP 36.3.
"""

from ..common.models.gcnet import train_statistics
from ..common.models.mask_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

model.backbone.bottom_up.stages.depth = 101
train_statistics(model)
train.best_checkpointer.val_metric = "segm/AP"
train.init_checkpoint = "torchvision://resnet101"
train.output_dir = "output/gcnet/mask_rcnn_r101_fpn_syncbn_1x"
