"""Faster R-CNN R50-FPN with GC blocks (r4, c3-c5) and GRoIE.

No result was published for this one.
"""

from ..common.models.faster_rcnn_r50_fpn_openmmlab import model
from ..common.models.gcnet import use_context_blocks
from ..common.models.groie import use_groie
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

use_context_blocks(model, 1 / 4)
use_groie(model, "box")
dataloader.train.mapper.use_instance_mask = False
train.output_dir = "output/groie/faster_rcnn_r50_fpn_gcb_r4_groie_1x"
