"""Grid R-CNN R50-FPN, GN head.

Published on COCO val2017: box AP 39.1.
"""

from ..common.models.grid_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

dataloader.train.mapper.use_instance_mask = False
train.output_dir = "output/grid_rcnn/grid_rcnn_r50_fpn_gn_1x"
