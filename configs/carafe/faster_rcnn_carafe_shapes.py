"""The small Faster R-CNN with CARAFE on the shapes data, from random weights, on a CPU.

Beside `faster_rcnn_shapes.py`, the plain model. Prepare the data first:
`python datasets/prepare_shapes.py`.
"""

from ..common.models.carafe import use_carafe_pyramid
from .faster_rcnn_shapes import data, dataloader, lr_multiplier, model, optimizer, train

use_carafe_pyramid(model, compressed_channels=16)
train.output_dir = "output/carafe/faster_rcnn_carafe_shapes"
