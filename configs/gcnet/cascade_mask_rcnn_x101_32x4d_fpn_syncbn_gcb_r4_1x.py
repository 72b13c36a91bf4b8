"""Cascade Mask R-CNN X101-32x4d-FPN, SyncBN, GC blocks (r4, c3-c5).

Published on COCO val2017: box AP 46.4, mask AP 40.1.
"""

from ..common.models.cascade_mask_rcnn_stagewise_openmmlab import model
from ..common.models.gcnet import train_statistics, use_context_blocks
from ..common.models.resnext import RESNEXT101_32X4D
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

use_context_blocks(model, 1 / 4, depth=101, num_groups=32, width_per_group=4)
train_statistics(model)
train.best_checkpointer.val_metric = "segm/AP"
train.init_checkpoint = RESNEXT101_32X4D
train.output_dir = "output/gcnet/cascade_mask_rcnn_x101_32x4d_fpn_syncbn_gcb_r4_1x"
