"""Semantic segmentation: dilated backbones, heads, losses and inference for any such model."""

from .config import add_semantic_config, head_options
from .evaluation import OutputEvaluator
from .head import FCNHead, PixelHead, conv_norm_relu, upsample
from .inference import (
    PUBLISHED_SCALES,
    MultiScaleFlip,
    SlideInference,
    WholeInference,
    build_inference,
)
from .losses import CrossEntropy, Dice, OHEMCrossEntropy, SegmentationLoss
from .resnet import DeepStem, build_dilated_resnet_backbone, make_dilated_stages
from .schedule import PolynomialDecay
from .segmentor import MULTI_SCALE_KEY, Segmentor

__all__ = [
    "MULTI_SCALE_KEY",
    "PUBLISHED_SCALES",
    "CrossEntropy",
    "DeepStem",
    "Dice",
    "FCNHead",
    "MultiScaleFlip",
    "OHEMCrossEntropy",
    "OutputEvaluator",
    "PixelHead",
    "PolynomialDecay",
    "SegmentationLoss",
    "Segmentor",
    "SlideInference",
    "WholeInference",
    "add_semantic_config",
    "build_dilated_resnet_backbone",
    "build_inference",
    "conv_norm_relu",
    "head_options",
    "make_dilated_stages",
    "upsample",
]
