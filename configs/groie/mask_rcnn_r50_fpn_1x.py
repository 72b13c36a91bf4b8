"""Mask R-CNN R50-FPN, the plain model beside GRoIE's.

Published on COCO val2017: box AP 38.2, mask AP 34.7.
"""

from ..common.models.mask_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

train.best_checkpointer.val_metric = "segm/AP"
train.output_dir = "output/groie/mask_rcnn_r50_fpn_1x"
