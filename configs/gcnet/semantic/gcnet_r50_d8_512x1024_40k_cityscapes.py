"""GCNet R50-D8 on Cityscapes, crops of 512x1024, 40,000 iterations.

Published on Cityscapes val: mIoU 77.69, with multiple scales and flips 78.56.
"""

from ...common.data.cityscapes_semantic import dataloader
from ...common.models.gcnet_semantic import model
from ...common.semantic import lr_multiplier, optimizer, train, train_for

train_for(train, 40000, batch=8, metric="sem_seg/IoU")
train.output_dir = "output/gcnet/semantic/gcnet_r50_d8_512x1024_40k_cityscapes"
