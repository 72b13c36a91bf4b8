"""Grid R-CNN X101-32x4d-FPN, GN head, 25 epochs (the "2x" of its experiments).

Published on COCO val2017: box AP 42.9.
"""

from ..common.models.grid_rcnn_r50_fpn_openmmlab import model
from ..common.models.resnext import RESNEXT101_32X4D, use_resnext101
from ..common.openmmlab_grid_2x import dataloader, lr_multiplier, optimizer, train

use_resnext101(model)
train.init_checkpoint = RESNEXT101_32X4D
train.output_dir = "output/grid_rcnn/grid_rcnn_x101_32x4d_fpn_gn_2x"
