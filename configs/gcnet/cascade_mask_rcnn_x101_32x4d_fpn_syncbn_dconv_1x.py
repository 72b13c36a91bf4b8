"""Cascade Mask R-CNN X101-32x4d-FPN, SyncBN, deformable convolutions (c3-c5).

Published on COCO val2017: box AP 47.5, mask AP 40.9.
"""

from ..common.models.cascade_mask_rcnn_stagewise_openmmlab import model
from ..common.models.gcnet import train_statistics
from ..common.models.resnext import RESNEXT101_32X4D, use_resnext101
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

use_resnext101(model, deform_per_stage=(False, True, True, True))
train_statistics(model)
train.best_checkpointer.val_metric = "segm/AP"
train.init_checkpoint = RESNEXT101_32X4D
train.output_dir = "output/gcnet/cascade_mask_rcnn_x101_32x4d_fpn_syncbn_dconv_1x"
