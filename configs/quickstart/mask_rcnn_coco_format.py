"""A small Mask R-CNN, from random weights, on any data set in COCO format.

    python train_net.py --config-file configs/quickstart/mask_rcnn_coco_format.py \\
        data.train_json=… data.train_images=… data.val_json=… data.val_images=…

The class count is taken from the training json. For boxes alone, with or without masks in the data,
add `data.masks=False`.
"""

from detectron2.config import LazyCall as L
from projects_ext.data import count_categories
from projects_ext.evaluation import PredictionPictures

from ..common.data.coco_format import data, dataloader
from ..common.models.mask_rcnn_small import model
from ..common.optim import AdamW as optimizer
from ..common.schedules import cosine as lr_multiplier
from ..common.train import train

data.mask_features = dict(masks_True=model.roi_heads.mask_in_features, masks_False=None)
model.roi_heads.mask_in_features = "${data.mask_features.${data.kind}}"
model.roi_heads.num_classes = L(count_categories)(json_file="${data.train_json}")

dataloader.train.mapper.image_format = "RGB"
dataloader.train.mapper.augmentations[0].update(short_edge_length=(288, 320, 352), max_size=640)
dataloader.test.mapper.augmentations[0].update(short_edge_length=320, max_size=640)
dataloader.train.update(total_batch_size=8, num_workers=1)
dataloader.test.num_workers = 1
dataloader.evaluator = [
    dataloader.evaluator,
    L(PredictionPictures)(
        dataset_name="${dataloader.test.dataset.names}", output_dir="${train.output_dir}"
    ),
]
optimizer.lr = 3e-3

train.update(output_dir="output/coco_format", max_iter=1000, eval_period=500, seed=0)
train.checkpointer.update(period=500, max_to_keep=2)
train.best_checkpointer.val_metric = "${data.best_metric.${data.kind}}"
