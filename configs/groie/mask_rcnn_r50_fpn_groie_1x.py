"""Mask R-CNN R50-FPN with GRoIE for boxes and masks.

Published on COCO val2017: box AP 39.0, mask AP 36.0.
"""

from ..common.models.groie import use_groie
from ..common.models.mask_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

use_groie(model, "box", "mask")
train.best_checkpointer.val_metric = "segm/AP"
train.output_dir = "output/groie/mask_rcnn_r50_fpn_groie_1x"
