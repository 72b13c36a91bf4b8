"""What experiments with CondInst on COCO share: multi-scale training at 16 images, 1x."""

from .data.coco_instance import dataloader
from .optim import SGD as optimizer
from .schedules import coco_1x as lr_multiplier
from .train import train

# RGB, for ImageNet weights of torchvision's convention; 640 to 800 pixels, flips.
dataloader.train.mapper.image_format = "RGB"
optimizer.lr = 0.01
# Norms decay as everything else does.
optimizer.params.weight_decay_norm = None
train.update(max_iter=90000, eval_period=10000)
train.init_checkpoint = "torchvision://resnet50"
train.checkpointer.period = 10000
train.best_checkpointer.val_metric = "segm/AP"
# The rate is for 16 images: another batch size scales it.
train.reference_batch_size = 16
