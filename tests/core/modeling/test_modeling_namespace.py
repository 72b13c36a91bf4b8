"""What ``detectron2.modeling`` and its packages export."""

import importlib

import pytest

MODELING = """
    ANCHOR_GENERATOR_REGISTRY BACKBONE_REGISTRY Backbone BaseMaskRCNNHead FCOS FPN
    FastRCNNOutputLayers GeneralizedRCNN META_ARCH_REGISTRY PROPOSAL_GENERATOR_REGISTRY
    ProposalNetwork ROIHeads ROI_BOX_HEAD_REGISTRY ROI_HEADS_REGISTRY ROI_MASK_HEAD_REGISTRY
    RPN_HEAD_REGISTRY ResNet ResNetBlockBase RetinaNet SEM_SEG_HEADS_REGISTRY SemanticSegmentor
    ShapeSpec StandardROIHeads build_anchor_generator build_backbone build_box_head build_mask_head
    build_model build_proposal_generator build_resnet_backbone build_roi_heads build_rpn_head
    build_sem_seg_head detector_postprocess make_stage DatasetMapperTTA GeneralizedRCNNWithTTA
"""
META_ARCH = """
    build_model META_ARCH_REGISTRY GeneralizedRCNN ProposalNetwork SemanticSegmentor
    SEM_SEG_HEADS_REGISTRY build_sem_seg_head RetinaNet FCOS
"""
BACKBONE = """
    build_backbone BACKBONE_REGISTRY Backbone FPN BasicStem ResNet ResNetBlockBase
    build_resnet_backbone make_stage BottleneckBlock
"""
RESNET = """
    ResNetBlockBase BasicBlock BottleneckBlock DeformBottleneckBlock BasicStem ResNet make_stage
    build_resnet_backbone
"""


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("modeling", MODELING),
        ("modeling.meta_arch", META_ARCH),
        ("modeling.backbone", BACKBONE),
        ("modeling.backbone.resnet", RESNET),
    ],
)
def test_names_are_exported(module, names):
    namespace = importlib.import_module(f"detectron2.{module}")
    missing = [name for name in names.split() if not hasattr(namespace, name)]
    assert not missing
    assert set(names.split()) - {"ShapeSpec"} <= set(namespace.__all__)


def test_registries():
    modeling = importlib.import_module("detectron2.modeling")
    for name in ("GeneralizedRCNN", "ProposalNetwork", "SemanticSegmentor", "RetinaNet"):
        assert modeling.META_ARCH_REGISTRY.get(name) is getattr(modeling, name)
    with pytest.raises(KeyError, match="NoSuchBackbone"):
        modeling.BACKBONE_REGISTRY.get("NoSuchBackbone")
