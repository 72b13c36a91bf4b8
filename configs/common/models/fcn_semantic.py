"""A fully convolutional network (arXiv 1411.4038) on a dilated ResNet-50 with stride 8 (D8).

As OpenMMLab trains it: RGB input of about unit variance, all norms trained (SyncBN), an auxiliary
head on res4 with weight 0.4.
"""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone.resnet import ResNet
from projects_ext.semantic import (
    PUBLISHED_SCALES,
    CrossEntropy,
    DeepStem,
    FCNHead,
    Segmentor,
    build_inference,
    make_dilated_stages,
)

model = L(Segmentor)(
    backbone=L(ResNet)(
        stem=L(DeepStem)(in_channels=3, out_channels=64, norm="SyncBN"),
        stages=L(make_dilated_stages)(
            depth=50, dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1), norm="${..stem.norm}"
        ),
        out_features=["res4", "res5"],
        freeze_at=0,
    ),
    sem_seg_head=L(FCNHead)(
        in_feature="res5",
        input_shape=L(ShapeSpec)(channels=2048, stride=8),
        channels=512,
        num_classes=19,
        num_convs=2,
        concat_input=True,
        dropout=0.1,
        norm="${..backbone.stem.norm}",
        align_corners=False,
        ignore_value=255,
        losses=[L(CrossEntropy)(weight=1.0, average="all")],
    ),
    auxiliary_head=L(FCNHead)(
        in_feature="res4",
        input_shape=L(ShapeSpec)(channels=1024, stride=8),
        channels=256,
        num_classes="${..sem_seg_head.num_classes}",
        num_convs=1,
        concat_input=False,
        dropout="${..sem_seg_head.dropout}",
        norm="${..backbone.stem.norm}",
        align_corners="${..sem_seg_head.align_corners}",
        ignore_value="${..sem_seg_head.ignore_value}",
        losses=[L(CrossEntropy)(weight=0.4, average="all")],
        loss_prefix="loss_aux",
    ),
    # The whole image at once, or by windows: `crop` and `stride` are (height, width).
    inference=L(build_inference)(
        crop=None,
        stride=None,
        align_corners="${..sem_seg_head.align_corners}",
        # "cpu" where the memory of a GPU is short.
        accumulate_on=None,
    ),
    # The table's other column. With `predict_multi_scale=True` one evaluation gives both.
    multi_scale=L(build_inference)(
        scales=PUBLISHED_SCALES,
        flip=True,
        crop="${..inference.crop}",
        stride="${..inference.stride}",
        align_corners="${..inference.align_corners}",
        accumulate_on="${..inference.accumulate_on}",
    ),
    predict_multi_scale=False,
    pixel_mean=[123.675, 116.28, 103.53],
    pixel_std=[58.395, 57.12, 57.375],
    input_format="RGB",
)
