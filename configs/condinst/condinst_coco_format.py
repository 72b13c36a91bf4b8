"""A small CondInst, from random weights, on any data set in COCO format.

    python train_net.py --config-file configs/condinst/condinst_coco_format.py \\
        data.train_json=… data.train_images=… data.val_json=… data.val_images=…

Beside `configs/quickstart/mask_rcnn_coco_format.py`, whose data and backbone it has.
"""

from ..common.models.condinst_small import model
from ..quickstart.mask_rcnn_coco_format import data, dataloader, lr_multiplier, optimizer, train
from ..quickstart.mask_rcnn_coco_format import model as mask_rcnn

data.masks_required = True
model.num_classes = mask_rcnn.roi_heads.num_classes
# Scores are products of two probabilities.
dataloader.evaluator[1].score_threshold = 0.3
train.output_dir = "output/condinst/condinst_coco_format"
