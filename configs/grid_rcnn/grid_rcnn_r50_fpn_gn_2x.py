"""Grid R-CNN R50-FPN, GN head, 25 epochs (the "2x" of its experiments).

Published on COCO val2017: box AP 40.4.
"""

from ..common.models.grid_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_grid_2x import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/grid_rcnn/grid_rcnn_r50_fpn_gn_2x"
