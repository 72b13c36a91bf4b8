"""A small Grid R-CNN on the shapes data, from random weights, on a CPU.

Beside `configs/quickstart/mask_rcnn_shapes.py`, whose backbone it has. Prepare the data first:
`python datasets/prepare_shapes.py`.
"""

from ..common.models.grid_rcnn import use_grid
from ..quickstart.mask_rcnn_shapes import data, dataloader, lr_multiplier, model, optimizer, train

data.masks = False
use_grid(model, num_convs=4, point_channels=16, norm_groups=9)
train.output_dir = "output/grid_rcnn/grid_rcnn_shapes"
