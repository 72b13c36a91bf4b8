"""A small CondInst on the shapes data, from random weights, on a CPU.

Beside `configs/quickstart/mask_rcnn_shapes.py`, whose backbone it has. Prepare the data first:
`python datasets/prepare_shapes.py`.
"""

from ..common.models.condinst_small import model
from ..quickstart.mask_rcnn_shapes import data, dataloader, lr_multiplier, optimizer, train
from ..quickstart.mask_rcnn_shapes import model as mask_rcnn

data.masks_required = True
model.num_classes = mask_rcnn.roi_heads.num_classes
# Scores are products of two probabilities.
dataloader.evaluator[1].score_threshold = 0.3
train.output_dir = "output/condinst/condinst_shapes"
