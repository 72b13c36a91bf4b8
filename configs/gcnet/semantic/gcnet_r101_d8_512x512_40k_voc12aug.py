"""GCNet R101-D8 on PASCAL VOC 2012 + aug, crops of 512x512, 40,000 iterations.

Published on PASCAL VOC 2012 val: mIoU 77.84, with multiple scales and flips 78.59.
"""

from ...common.semantic import use_resnet101
from .gcnet_r50_d8_512x512_40k_voc12aug import dataloader, lr_multiplier, model, optimizer, train

use_resnet101(model, train)
train.output_dir = "output/gcnet/semantic/gcnet_r101_d8_512x512_40k_voc12aug"
