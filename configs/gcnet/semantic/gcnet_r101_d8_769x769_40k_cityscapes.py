"""GCNet R101-D8 on Cityscapes, crops of 769x769, 40,000 iterations.

Published on Cityscapes val: mIoU 78.95, with multiple scales and flips 80.71.
"""

from ...common.semantic import use_resnet101
from .gcnet_r50_d8_769x769_40k_cityscapes import dataloader, lr_multiplier, model, optimizer, train

use_resnet101(model, train)
train.output_dir = "output/gcnet/semantic/gcnet_r101_d8_769x769_40k_cityscapes"
