"""A small GCNet, from random weights, on any two folders of images and label maps.

    python train_net.py --config-file configs/gcnet/semantic/gcnet_label_folders.py \\
        data.train_images=… data.train_labels=… data.val_images=… data.val_labels=… \\
        data.classes=[name,name,…]

`model.predict_multi_scale=True` evaluates at several scales and flipped, too.
"""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from projects_ext.data import count_classes
from projects_ext.data.semantic_augmentation import PadToSize, PhotometricDistortion, RandomScale
from projects_ext.semantic import CrossEntropy, Dice

from ...common.data.label_folders import data, dataloader
from ...common.models.gcnet_semantic_small import model
from ...common.optim import AdamW as optimizer
from ...common.schedules import cosine as lr_multiplier
from ...common.semantic import evaluate_both_ways
from ...common.train import train

model.sem_seg_head.num_classes = L(count_classes)(classes="${data.classes}")
# Small and rare classes count as much as large ones.
model.sem_seg_head.losses = [L(CrossEntropy)(average="counted"), L(Dice)()]
evaluate_both_ways(dataloader)
dataloader.train.mapper.augmentations = [
    L(RandomScale)(scale=(256, 512), factors=(0.75, 1.5)),
    L(T.RandomCrop_CategoryAreaConstraint)(
        crop_type="absolute",
        crop_size=(224, 224),
        single_category_max_area=0.75,
        ignored_category=255,
    ),
    L(T.RandomFlip)(horizontal=True),
    L(PhotometricDistortion)(),
    L(PadToSize)(size=(224, 224), pixel=(124, 116, 104), label=255),
]
dataloader.test.mapper.augmentations = [
    L(T.ResizeShortestEdge)(short_edge_length=256, max_size=512)
]
optimizer.lr = 3e-3
train.update(
    output_dir="output/gcnet/semantic/label_folders", max_iter=1000, eval_period=500, seed=0
)
train.checkpointer.update(period=500, max_to_keep=2)
train.best_checkpointer.val_metric = "sem_seg/mIoU"
