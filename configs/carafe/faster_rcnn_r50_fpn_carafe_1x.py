"""Faster R-CNN R50-FPN with CARAFE in the FPN, 1000 test proposals.

Published on COCO val2017: box AP 38.6. (The mask AP 38.6 beside it in the published table is a
slip: the model has no masks.)
"""

from ..common.models.carafe import use_carafe_pyramid
from ..common.models.faster_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

use_carafe_pyramid(model)
dataloader.train.mapper.use_instance_mask = False
train.output_dir = "output/carafe/faster_rcnn_r50_fpn_carafe_1x"
