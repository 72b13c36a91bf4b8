"""The same as the authors of CondInst trained: images and ImageNet weights of Detectron2."""

from .condinst_1x import dataloader, lr_multiplier, optimizer, train

dataloader.train.mapper.image_format = "BGR"
# Norms do not decay.
optimizer.params.weight_decay_norm = 0.0
train.init_checkpoint = "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
