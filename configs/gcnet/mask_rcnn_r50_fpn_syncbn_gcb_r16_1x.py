"""Mask R-CNN R50-FPN, SyncBN, GC blocks (r16, c3-c5).

Published on COCO val2017: box AP 40.4, mask AP 36.2.
"""

from ..common.models.gcnet import train_statistics, use_context_blocks
from ..common.models.mask_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

use_context_blocks(model, 1 / 16)
train_statistics(model)
train.best_checkpointer.val_metric = "segm/AP"
train.output_dir = "output/gcnet/mask_rcnn_r50_fpn_syncbn_gcb_r16_1x"
