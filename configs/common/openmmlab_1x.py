"""What OpenMMLab's experiments on COCO share: 12 epochs at 16 images, from ImageNet weights."""

from .data.coco_openmmlab import dataloader
from .optim import SGD as optimizer
from .schedules import openmmlab_1x as lr_multiplier
from .train import train

# Norms decay as everything else does.
optimizer.params.weight_decay_norm = None
# 117,266 images have objects: 7,330 iterations an epoch.
train.update(max_iter=12 * 7330, eval_period=7330)
train.init_checkpoint = "torchvision://resnet50"
train.checkpointer.period = 7330
train.best_checkpointer.val_metric = "bbox/AP"
# The rate is for 16 images: another batch size scales it.
train.reference_batch_size = 16
