"""GCNet R50-D8 on PASCAL VOC 2012 + aug, crops of 512x512, 40,000 iterations.

Published on PASCAL VOC 2012 val: mIoU 76.24, with multiple scales and flips 77.63.
"""

from ...common.data.voc12aug_semantic import dataloader
from ...common.models.gcnet_semantic import model
from ...common.semantic import lr_multiplier, optimizer, train, train_for

model.sem_seg_head.num_classes = 21
train_for(train, 40000, batch=16)
train.output_dir = "output/gcnet/semantic/gcnet_r50_d8_512x512_40k_voc12aug"
