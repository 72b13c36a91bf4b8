"""GCNet R50-D8 on ADE20K, crops of 512x512, 160,000 iterations.

Published on ADE20K val: mIoU 42.37, with multiple scales and flips 43.52.
"""

from ...common.data.ade20k_semantic import dataloader
from ...common.models.gcnet_semantic import model
from ...common.semantic import lr_multiplier, optimizer, train, train_for

model.sem_seg_head.num_classes = 150
train_for(train, 160000, batch=16)
train.output_dir = "output/gcnet/semantic/gcnet_r50_d8_512x512_160k_ade20k"
