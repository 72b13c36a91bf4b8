"""Mask R-CNN X101-32x4d-FPN, SyncBN, GC blocks (r16, c3-c5).

Published on COCO val2017: box AP 43.5, mask AP 38.6.
"""

from ..common.models.gcnet import train_statistics, use_context_blocks
from ..common.models.mask_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

use_context_blocks(model, 1 / 16, depth=101, num_groups=32, width_per_group=4)
train_statistics(model)
train.best_checkpointer.val_metric = "segm/AP"
train.init_checkpoint = (
    "https://download.openmmlab.com/pretrain/third_party/resnext101_32x4d-a5af3160.pth"
)
train.output_dir = "output/gcnet/mask_rcnn_x101_32x4d_fpn_syncbn_gcb_r16_1x"
