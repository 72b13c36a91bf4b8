"""The small Mask R-CNN with GRoIE on the shapes data, from random weights, on a CPU.

Beside `configs/quickstart/mask_rcnn_shapes.py`, the plain model. Prepare the data first:
`python datasets/prepare_shapes.py`.
"""

from ..common.models.groie import use_groie
from ..quickstart.mask_rcnn_shapes import data, dataloader, lr_multiplier, model, optimizer, train

use_groie(model, "box", "mask")
train.output_dir = "output/groie/mask_rcnn_groie_shapes"
