"""COCO 2017 as OpenMMLab trains on it: RGB, 800 pixels at training and test, flips."""

from .coco_instance import dataloader
from .opencv import resize_as_opencv

dataloader.train.mapper.image_format = "RGB"
dataloader.train.mapper.augmentations[0].update(short_edge_length=800, sample_style="choice")
resize_as_opencv(dataloader)
