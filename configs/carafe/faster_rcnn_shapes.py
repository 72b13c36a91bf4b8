"""The small Faster R-CNN on the shapes data, the plain model beside CARAFE's, on a CPU."""

from ..quickstart.mask_rcnn_shapes import data, dataloader, lr_multiplier, model, optimizer, train

for _part in ("mask_in_features", "mask_pooler", "mask_head"):
    del model.roi_heads[_part]
data.masks = False
train.output_dir = "output/carafe/faster_rcnn_shapes"
