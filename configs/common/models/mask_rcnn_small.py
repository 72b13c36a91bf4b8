"""A small Mask R-CNN for small pictures, to be trained from random weights on a CPU.

A residual network of 9 convolutions whose BatchNorm is trained, FPN of 64 channels, light heads,
anchors from 16 pixels on. RGB input, normalised to about unit variance.
"""

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone.resnet import BasicBlock, ResNet

from .mask_rcnn_fpn import model

model.pixel_mean = [123.675, 116.28, 103.53]
model.pixel_std = [58.395, 57.12, 57.375]
model.input_format = "RGB"

widths = [32, 32, 64, 128, 256]
model.backbone.out_channels = 64
model.backbone.bottom_up.update(freeze_at=0)
model.backbone.bottom_up.stem.update(norm="BN", out_channels=widths[0])
model.backbone.bottom_up.stages = [
    L(ResNet.make_stage)(
        block_class=BasicBlock,
        num_blocks=1,
        stride_per_block=[1 if stage == 0 else 2],
        in_channels=widths[stage],
        out_channels=widths[stage + 1],
        norm="BN",
    )
    for stage in range(4)
]

model.proposal_generator.update(
    batch_size_per_image=128, pre_nms_topk=(500, 200), post_nms_topk=(200, 100)
)
model.proposal_generator.anchor_generator.sizes = [[16], [32], [64], [128], [256]]

model.roi_heads.batch_size_per_image = 32
# On the CPU, RoIAlign costs more than the network; bins here are about as small as a cell.
model.roi_heads.box_pooler.sampling_ratio = 1
model.roi_heads.mask_pooler.sampling_ratio = 1
model.roi_heads.box_head.update(conv_dims=[64], fc_dims=[256])
model.roi_heads.box_predictor.input_shape.channels = 256
model.roi_heads.mask_head.update(conv_dims=[64, 64, 64])
