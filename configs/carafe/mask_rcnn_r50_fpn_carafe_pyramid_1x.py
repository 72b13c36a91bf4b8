"""Mask R-CNN R50-FPN with CARAFE in the FPN only, 1000 test proposals.

No result was published for this one.
"""

from ..common.models.carafe import use_carafe_pyramid
from ..common.models.mask_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

use_carafe_pyramid(model)
train.best_checkpointer.val_metric = "segm/AP"
train.output_dir = "output/carafe/mask_rcnn_r50_fpn_carafe_pyramid_1x"
