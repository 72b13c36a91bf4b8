"""Any data set in COCO format, named by four paths; the class count comes from the file.

Give them on the command line: `data.train_json=… data.train_images=…` and the same for `val`. Each
may be a list, `data.train_json=[a.json,b.json]`: files whose classes have the same names are
joined; their images are in one folder for all, or in a list of as many folders. The classes of
validation files are matched with those of the training files by name.
"""

from detectron2.config import LazyCall as L
from projects_ext.data import register_coco_format

from .coco_instance import dataloader

data = dict(
    train_json="",
    train_images="",
    val_json="",
    val_images="",
    # Leave out annotations that cannot be used, in training and in evaluation: a box or a mask
    # without area, a polygon of fewer than 3 points or far outside its image (farther than that is
    # large), run lengths that do not fill it, no mask. Off: they are refused.
    skip_invalid=False,
    # Take objects that are marked `iscrowd=1` as ordinary objects: some tools mark every mask in
    # run lengths so. Off: as COCO does, they are not trained on, nor counted in evaluation.
    iscrowd_as_objects=False,
    # False: boxes only. The data need no masks, and Mask R-CNN is trained without its mask head.
    masks=True,
    # For the config of a model that cannot do without masks: `masks=False` is refused.
    masks_required=False,
    # What follows from `masks`.
    kind="masks_${data.masks}",
    best_metric=dict(masks_True="segm/AP", masks_False="bbox/AP"),
)

dataloader.train.dataset.names = L(register_coco_format)(
    json_file="${data.train_json}",
    image_root="${data.train_images}",
    skip_invalid="${data.skip_invalid}",
    iscrowd_as_objects="${data.iscrowd_as_objects}",
    masks="${data.masks}",
    masks_required="${data.masks_required}",
)
dataloader.train.mapper.use_instance_mask = "${data.masks}"
dataloader.test.dataset.names = L(register_coco_format)(
    json_file="${data.val_json}",
    image_root="${data.val_images}",
    skip_invalid="${data.skip_invalid}",
    iscrowd_as_objects="${data.iscrowd_as_objects}",
    masks="${data.masks}",
    masks_required="${data.masks_required}",
    train_json="${data.train_json}",
)
