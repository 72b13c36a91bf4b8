"""GCNet R101-D8 on Cityscapes, crops of 512x1024, 40,000 iterations.

Published on Cityscapes val: mIoU 78.28, with multiple scales and flips 79.34.
"""

from ...common.semantic import use_resnet101
from .gcnet_r50_d8_512x1024_40k_cityscapes import dataloader, lr_multiplier, model, optimizer, train

use_resnet101(model, train)
train.output_dir = "output/gcnet/semantic/gcnet_r101_d8_512x1024_40k_cityscapes"
