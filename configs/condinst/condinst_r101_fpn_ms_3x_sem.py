"""CondInst R101-FPN with the semantic branch, multi-scale training, 3x: the original experiment.

Published on COCO val2017: box AP 44.6, mask AP 39.8.
"""

from ..common.condinst_original_3x import dataloader, lr_multiplier, optimizer, train
from ..common.models.condinst import use_semantic_branch
from ..common.models.condinst_r50_fpn_original import model

model.backbone.bottom_up.stages.depth = 101
use_semantic_branch(model)
train.init_checkpoint = "detectron2://ImageNetPretrained/MSRA/R-101.pkl"
train.output_dir = "output/condinst/condinst_r101_fpn_ms_3x_sem"
