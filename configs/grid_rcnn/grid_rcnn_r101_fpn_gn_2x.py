"""Grid R-CNN R101-FPN, GN head, 25 epochs (the "2x" of its experiments).

Published on COCO val2017: box AP 41.5.
"""

from ..common.models.grid_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_grid_2x import dataloader, lr_multiplier, optimizer, train

model.backbone.bottom_up.stages.depth = 101
train.init_checkpoint = "torchvision://resnet101"
train.output_dir = "output/grid_rcnn/grid_rcnn_r101_fpn_gn_2x"
