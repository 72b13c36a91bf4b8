"""Mask R-CNN R101-FPN, SyncBN, GC blocks (r4, c3-c5) and GRoIE.

Published on COCO val2017: box AP 42.6, mask AP 38.7.
"""

from ..common.models.gcnet import train_statistics, use_context_blocks
from ..common.models.groie import use_groie
from ..common.models.mask_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

use_context_blocks(model, 1 / 4, depth=101)
train_statistics(model)
use_groie(model, "box", "mask")
train.best_checkpointer.val_metric = "segm/AP"
train.init_checkpoint = "torchvision://resnet101"
train.output_dir = "output/groie/mask_rcnn_r101_fpn_syncbn_gcb_r4_groie_1x"
