"""A small CondInst for small pictures, to be trained from random weights on a CPU.

The backbone of `mask_rcnn_small`, light towers; all begins at P2, a level finer than usual. RGB
input, normalised to about unit variance.
"""

from .condinst import pyramid_levels
from .condinst_r50_fpn import model
from .mask_rcnn_small import model as mask_rcnn

model.backbone.bottom_up = mask_rcnn.backbone.bottom_up
model.backbone.bottom_up.out_features = ["res2", "res3", "res4", "res5"]
model.backbone.update(out_channels=mask_rcnn.backbone.out_channels, top_block=None)
model.head.update(input_shape=pyramid_levels(4, first=2), conv_dims=[64, 64])
model.head_in_features = ["p2", "p3", "p4", "p5"]
model.mask_branch.update(input_shape=pyramid_levels(3, first=2), channels=64, num_convs=2)
model.mask_in_features = ["p2", "p3", "p4"]
model.mask_head.update(stride=4, out_stride=2)
