"""Mask R-CNN R50-FPN with CARAFE in the FPN and the mask head, 1000 test proposals.

Published on COCO val2017: box AP 39.3, mask AP 35.8 (35.6 in the metafile).
"""

from ..common.models.carafe import use_carafe_mask_head, use_carafe_pyramid
from ..common.models.mask_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

use_carafe_pyramid(model)
use_carafe_mask_head(model)
train.best_checkpointer.val_metric = "segm/AP"
train.output_dir = "output/carafe/mask_rcnn_r50_fpn_carafe_1x"
