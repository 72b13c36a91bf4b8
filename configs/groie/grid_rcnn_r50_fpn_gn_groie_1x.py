"""Grid R-CNN R50-FPN, GN head, with GRoIE for boxes and grids.

Its cell in the published table is empty; a weight file exists, whose listed box AP is 39.1 on COCO
val2017.
"""

from ..common.models.grid_rcnn_r50_fpn_openmmlab import model
from ..common.models.groie import use_groie
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

use_groie(model, "box", "grid")
dataloader.train.mapper.use_instance_mask = False
train.output_dir = "output/groie/grid_rcnn_r50_fpn_gn_groie_1x"
