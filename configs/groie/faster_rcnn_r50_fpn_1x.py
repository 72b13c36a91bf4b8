"""Faster R-CNN R50-FPN, the plain model beside GRoIE's.

Published on COCO val2017: box AP 37.4.
"""

from ..common.models.faster_rcnn_r50_fpn_openmmlab import model
from ..common.openmmlab_1x import dataloader, lr_multiplier, optimizer, train

dataloader.train.mapper.use_instance_mask = False
train.output_dir = "output/groie/faster_rcnn_r50_fpn_1x"
