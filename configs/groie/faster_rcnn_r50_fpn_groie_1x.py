"""Faster R-CNN R50-FPN with GRoIE.

Published on COCO val2017: box AP 38.3.
"""

from ..common.models.faster_rcnn_r50_fpn_openmmlab import model
from ..common.models.groie import use_groie
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

use_groie(model, "box")
dataloader.train.mapper.use_instance_mask = False
train.output_dir = "output/groie/faster_rcnn_r50_fpn_groie_1x"
