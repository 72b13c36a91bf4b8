"""Mask R-CNN R101-FPN, GC blocks (r16, c3-c5).

Published on COCO val2017: box AP 41.3, mask AP 37.2.
"""

from ..common.models.gcnet import use_context_blocks
from ..common.models.mask_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

use_context_blocks(model, 1 / 16, depth=101)
train.best_checkpointer.val_metric = "segm/AP"
train.init_checkpoint = "torchvision://resnet101"
train.output_dir = "output/gcnet/mask_rcnn_r101_fpn_gcb_r16_1x"
