"""Mask R-CNN X101-32x4d-FPN, SyncBN: the model without GC blocks.

Published on COCO val2017: box AP 42.4, mask AP 37.7.
"""

from projects_ext.gcnet import make_stages

from ..common.models.gcnet import train_statistics
from ..common.models.mask_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

model.backbone.bottom_up.stages.update(
    _target_=make_stages, depth=101, num_groups=32, width_per_group=4, context_per_stage=[False] * 4
)
train_statistics(model)
train.best_checkpointer.val_metric = "segm/AP"
train.init_checkpoint = (
    "https://download.openmmlab.com/pretrain/third_party/resnext101_32x4d-a5af3160.pth"
)
train.output_dir = "output/gcnet/mask_rcnn_x101_32x4d_fpn_syncbn_1x"
