"""The small Grid R-CNN with GRoIE on the shapes data, from random weights, on a CPU."""

from ..common.models.groie import use_groie
from ..grid_rcnn.grid_rcnn_shapes import data, dataloader, lr_multiplier, model, optimizer, train

use_groie(model, "box", "grid")
train.output_dir = "output/groie/grid_rcnn_groie_shapes"
