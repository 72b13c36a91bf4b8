"""The small Mask R-CNN with CARAFE on the shapes data, from random weights, on a CPU.

Beside `configs/quickstart/mask_rcnn_shapes.py`, the plain model. Prepare the data first:
`python datasets/prepare_shapes.py`.
"""

from ..common.models.carafe import use_carafe_mask_head, use_carafe_pyramid
from ..quickstart.mask_rcnn_shapes import data, dataloader, lr_multiplier, model, optimizer, train

use_carafe_pyramid(model, compressed_channels=16)
use_carafe_mask_head(model, compressed_channels=16)
train.output_dir = "output/carafe/mask_rcnn_carafe_shapes"
