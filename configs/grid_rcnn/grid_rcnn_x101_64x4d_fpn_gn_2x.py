"""Grid R-CNN X101-64x4d-FPN, GN head, 25 epochs (the "2x" of its experiments).

Published on COCO val2017: box AP 43.0.
"""

from ..common.models.grid_rcnn_r50_fpn_openmmlab import model
from ..common.models.resnext import RESNEXT101_64X4D, use_resnext101
from ..common.openmmlab_grid_2x import dataloader, lr_multiplier, optimizer, train

use_resnext101(model, groups=64)
train.init_checkpoint = RESNEXT101_64X4D
train.output_dir = "output/grid_rcnn/grid_rcnn_x101_64x4d_fpn_gn_2x"
