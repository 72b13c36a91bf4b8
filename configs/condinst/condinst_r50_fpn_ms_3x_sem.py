"""CondInst R50-FPN with the semantic branch, multi-scale training, 3x: the original experiment.

Published on COCO val2017: box AP 42.6, mask AP 38.2.
"""

from ..common.condinst_original_3x import dataloader, lr_multiplier, optimizer, train
from ..common.models.condinst import use_semantic_branch
from ..common.models.condinst_r50_fpn_original import model

use_semantic_branch(model)
train.output_dir = "output/condinst/condinst_r50_fpn_ms_3x_sem"
