"""A small GCNet on the shapes data, from random weights, on a CPU.

python datasets/prepare_shapes.py
python train_net.py --config-file configs/gcnet/semantic/gcnet_shapes.py

mIoU on the validation pictures: 69.7, and 71.6 at several scales and flipped. Further
1,500 iterations with photometric distortion: 72.6 and 74.5.
"""

from pathlib import Path

from detectron2.config import LazyCall as L
from detectron2.data import transforms as T

from .gcnet_label_folders import data, dataloader, lr_multiplier, model, optimizer, train

_shapes = Path(__file__).parents[3] / "datasets" / "shapes"
for _part in ("train", "val"):
    data[f"{_part}_images"] = str(_shapes / _part)
    data[f"{_part}_labels"] = str(_shapes / "labels" / _part)
data["classes"] = ["background", "disc", "box", "triangle", "star", "cross"]

# Small shapes want small cells: the stride is 4.
model.backbone.stages.update(strides=(1, 1, 1, 1), blocks=(1, 1, 2, 2))
model.sem_seg_head.input_shape.stride = model.auxiliary_head.input_shape.stride = 4

# The pictures stay as large as they are.
dataloader.train.mapper.augmentations = [
    L(T.RandomFlip)(horizontal=True),
    L(T.RandomFlip)(horizontal=False, vertical=True),
]
dataloader.test.mapper.augmentations = []
# Both ways to predict are evaluated.
model.predict_multi_scale = True

train.update(output_dir="output/gcnet/semantic/shapes", max_iter=1500, eval_period=500)
