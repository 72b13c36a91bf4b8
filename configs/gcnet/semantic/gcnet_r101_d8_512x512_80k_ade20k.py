"""GCNet R101-D8 on ADE20K, crops of 512x512, 80,000 iterations.

Published on ADE20K val: mIoU 42.82, with multiple scales and flips 44.54.
"""

from ...common.semantic import use_resnet101
from .gcnet_r50_d8_512x512_80k_ade20k import dataloader, lr_multiplier, model, optimizer, train

use_resnet101(model, train)
train.output_dir = "output/gcnet/semantic/gcnet_r101_d8_512x512_80k_ade20k"
