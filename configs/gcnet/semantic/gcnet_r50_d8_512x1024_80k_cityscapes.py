"""GCNet R50-D8 on Cityscapes, crops of 512x1024, 80,000 iterations.

Published on Cityscapes val: mIoU 78.48, with multiple scales and flips 80.01.
"""

from ...common.data.cityscapes_semantic import dataloader
from ...common.models.gcnet_semantic import model
from ...common.semantic import lr_multiplier, optimizer, train, train_for

train_for(train, 80000, batch=8, metric="sem_seg/IoU")
train.output_dir = "output/gcnet/semantic/gcnet_r50_d8_512x1024_80k_cityscapes"
