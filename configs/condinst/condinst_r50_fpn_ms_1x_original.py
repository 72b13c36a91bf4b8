"""CondInst R50-FPN, multi-scale training, 90,000 iterations: the original experiment.

Published on COCO val2017: box AP 39.7, mask AP 35.7. OpenMMLab's is `condinst_r50_fpn_ms_1x.py`.
"""

from ..common.condinst_original_1x import dataloader, lr_multiplier, optimizer, train
from ..common.models.condinst_r50_fpn_original import model

train.output_dir = "output/condinst/condinst_r50_fpn_ms_1x_original"
