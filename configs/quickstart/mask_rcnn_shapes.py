"""The newcomer's run: a small Mask R-CNN on the shapes data, from random weights, on a CPU.

python datasets/prepare_shapes.py
python train_net.py --config-file configs/quickstart/mask_rcnn_shapes.py
"""

from pathlib import Path

from detectron2.config import LazyCall as L
from detectron2.data import transforms as T

from .mask_rcnn_coco_format import data, dataloader, lr_multiplier, model, optimizer, train

shapes = Path(__file__).parents[2] / "datasets" / "shapes"
data.train_json = str(shapes / "annotations" / "instances_train.json")
data.train_images = str(shapes / "train")
data.val_json = str(shapes / "annotations" / "instances_val.json")
data.val_images = str(shapes / "val")

# The pictures stay as large as they are.
dataloader.train.mapper.augmentations = [
    L(T.RandomFlip)(horizontal=True),
    L(T.RandomFlip)(horizontal=False, vertical=True),
]
dataloader.test.mapper.augmentations = []

train.update(output_dir="output/shapes", max_iter=700, eval_period=350)
