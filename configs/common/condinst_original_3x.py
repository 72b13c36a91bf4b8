"""The same for 270,000 iterations: three times as long."""

from .condinst_original_1x import dataloader, optimizer, train
from .schedules import coco_3x as lr_multiplier

train.max_iter = 270000
