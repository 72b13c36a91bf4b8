"""CondInst R50-FPN, multi-scale training, 3x: the original experiment.

Published on COCO val2017: box AP 41.9, mask AP 37.5.
"""

from ..common.condinst_original_3x import dataloader, lr_multiplier, optimizer, train
from ..common.models.condinst_r50_fpn_original import model

train.output_dir = "output/condinst/condinst_r50_fpn_ms_3x"
