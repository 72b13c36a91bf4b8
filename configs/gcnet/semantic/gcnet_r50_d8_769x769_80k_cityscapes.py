"""GCNet R50-D8 on Cityscapes, crops of 769x769, 80,000 iterations.

Published on Cityscapes val: mIoU 78.68, with multiple scales and flips 80.66.
"""

from ...common.data.cityscapes_semantic import dataloader, use_scale
from ...common.models.gcnet_semantic import model
from ...common.semantic import lr_multiplier, optimizer, train, train_for

use_scale(dataloader, scale=(1025, 2049), crop=(769, 769))
model.sem_seg_head.align_corners = True
model.inference.update(crop=(769, 769), stride=(513, 513))
train_for(train, 80000, batch=8, metric="sem_seg/IoU")
train.output_dir = "output/gcnet/semantic/gcnet_r50_d8_769x769_80k_cityscapes"
