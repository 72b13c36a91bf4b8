"""PASCAL VOC 2012 with the labels of SBD, 21 classes, trained on as ADE20K is.

`datasets/prepare_voc12aug.py` makes the label maps.
"""

from .ade20k_semantic import dataloader

dataloader.train.dataset.names = "voc12aug_sem_seg_train"
dataloader.test.dataset.names = "voc12aug_sem_seg_val"
