"""Any data set in COCO format, named by four paths; the class count comes from the file.

Give them on the command line: `data.train_json=… data.train_images=…` and the same for `val`.
"""

from detectron2.config import LazyCall as L
from projects_ext.data import register_coco_format

from .coco_instance import dataloader

data = dict(
    train_json="",
    train_images="",
    val_json="",
    val_images="",
    # Leave out annotations with a box of no area or a polygon of fewer than 3 points.
    skip_invalid=False,
)

dataloader.train.dataset.names = L(register_coco_format)(
    json_file="${data.train_json}",
    image_root="${data.train_images}",
    skip_invalid="${data.skip_invalid}",
)
dataloader.test.dataset.names = L(register_coco_format)(
    json_file="${data.val_json}",
    image_root="${data.val_images}",
    skip_invalid="${data.skip_invalid}",
)
