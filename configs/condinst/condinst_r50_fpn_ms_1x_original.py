"""CondInst R50-FPN, multi-scale training, 90,000 iterations: the original experiment.

Published on COCO val2017: box AP 39.7, mask AP 35.7. The difference from OpenMMLab's
(`condinst_r50_fpn_ms_1x.py`) is that scores are square roots.
"""

from ..common.condinst_1x import dataloader, lr_multiplier, optimizer, train
from ..common.models.condinst import score_as_adelaidet
from ..common.models.condinst_r50_fpn import model

score_as_adelaidet(model)
train.output_dir = "output/condinst/condinst_r50_fpn_ms_1x_original"
