"""GCNet R50-D8 on PASCAL VOC 2012 + aug, crops of 512x512, 20,000 iterations.

Published on PASCAL VOC 2012 val: mIoU 76.42, with multiple scales and flips 77.51.
"""

from ...common.data.voc12aug_semantic import dataloader
from ...common.models.gcnet_semantic import model
from ...common.semantic import lr_multiplier, optimizer, train, train_for

model.sem_seg_head.num_classes = 21
train_for(train, 20000, batch=16)
train.output_dir = "output/gcnet/semantic/gcnet_r50_d8_512x512_20k_voc12aug"
