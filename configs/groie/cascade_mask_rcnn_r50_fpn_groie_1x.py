"""Cascade Mask R-CNN R50-FPN with GRoIE.

No result was published for this one.
"""

from ..common.models.cascade_mask_rcnn_r50_fpn_openmmlab import model
from ..common.models.groie import use_groie
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

use_groie(model, "box", "mask")
train.best_checkpointer.val_metric = "segm/AP"
train.output_dir = "output/groie/cascade_mask_rcnn_r50_fpn_groie_1x"
