"""CondInst R101-FPN, multi-scale training, 3x: the original experiment.

Published on COCO val2017: box AP 43.3, mask AP 38.6.
"""

from ..common.condinst_original_3x import dataloader, lr_multiplier, optimizer, train
from ..common.models.condinst_r50_fpn_original import model

model.backbone.bottom_up.stages.depth = 101
train.init_checkpoint = "detectron2://ImageNetPretrained/MSRA/R-101.pkl"
train.output_dir = "output/condinst/condinst_r101_fpn_ms_3x"
