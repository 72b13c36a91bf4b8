"""YAML keys of CARAFE."""

from detectron2.config import CfgNode
from projects_ext.layers import CARAFEUpsample


def add_carafe_config(cfg: CfgNode) -> None:
    """Add ``MODEL.CARAFE``.

    It is read where MODEL.BACKBONE.NAME is "build_carafe_fpn_backbone" (with MODEL.FPN) and where
    MODEL.ROI_MASK_HEAD.NAME is "CARAFEMaskHead".
    """
    cfg.MODEL.CARAFE = type(cfg)(
        {
            # Side of the neighbourhoods that are reassembled.
            "KERNEL_SIZE": 5,
            # Groups of channels with kernels of their own.
            "GROUPS": 1,
            # The convolution that predicts the kernels, from so many channels.
            "ENCODER_KERNEL": 3,
            "ENCODER_DILATION": 1,
            "COMPRESSED_CHANNELS": 64,
            # The network below the pyramid: a name in the registry of backbones.
            "BOTTOM_UP": "build_resnet_backbone",
            # Learnt levels of the pyramid above its coarsest input.
            "EXTRA_LEVELS": 1,
        }
    )


def build_upsampler(cfg: CfgNode, channels: int) -> CARAFEUpsample:
    """The upsampler that ``cfg.MODEL.CARAFE`` describes, which doubles the size."""
    options = cfg.MODEL.CARAFE
    return CARAFEUpsample(
        channels,
        kernel_size=options.KERNEL_SIZE,
        groups=options.GROUPS,
        encoder_kernel=options.ENCODER_KERNEL,
        encoder_dilation=options.ENCODER_DILATION,
        compressed_channels=options.COMPRESSED_CHANNELS,
    )
