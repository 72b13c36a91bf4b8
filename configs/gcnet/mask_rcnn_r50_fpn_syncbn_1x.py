"""Mask R-CNN R50-FPN, SyncBN: the model without GC blocks.

Published on COCO val2017: box AP 38.4, mask AP 34.6.
"""

from ..common.models.gcnet import train_statistics
from ..common.models.mask_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

train_statistics(model)
train.best_checkpointer.val_metric = "segm/AP"
train.output_dir = "output/gcnet/mask_rcnn_r50_fpn_syncbn_1x"
