"""What OpenMMLab's longer experiments with Grid R-CNN on COCO share: 25 epochs at 16 images."""

from .openmmlab_1x import dataloader, optimizer, train
from .schedules import openmmlab_grid_2x as lr_multiplier

dataloader.train.mapper.use_instance_mask = False
train.max_iter = 25 * 7330
