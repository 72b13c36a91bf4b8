"""Small functions of upstream that projects import, mostly private ones."""

import logging
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from detectron2.structures import Instances


def test_panoptic_segments_of_instances_and_a_label_map():
    from detectron2.modeling.meta_arch.panoptic_fpn import combine_semantic_and_instance_outputs

    masks = torch.zeros(4, 6, 8, dtype=torch.bool)
    masks[0, :3, :4] = True
    masks[1, :3, 2:6] = True  # half of it is behind the first
    masks[2, :2, :3] = True  # all of it is
    masks[3, 3:, 6:] = True  # its score is too low
    scores, classes = torch.tensor([0.9, 0.8, 0.7, 0.2]), torch.tensor([5, 6, 7, 8])
    instances = Instances((6, 8), scores=scores, pred_classes=classes, pred_masks=masks)
    semantic = torch.full((6, 8), 2)
    semantic[4:, :6] = 3
    semantic[5, 7] = 1
    panoptic, segments = combine_semantic_and_instance_outputs(instances, semantic, 0.5, 2, 0.5)
    assert panoptic.dtype == torch.int32
    expected = np.full((6, 8), 3)
    expected[:3, :4], expected[:3, 4:6], expected[4:, :6], expected[5, 7] = 1, 2, 4, 0
    assert panoptic.tolist() == expected.tolist()
    things = [(x["category_id"], x["instance_id"]) for x in segments if x["isthing"]]
    assert things == [(5, 0), (6, 1)]
    assert segments[0]["score"] == pytest.approx(0.9)
    stuff = [(x["id"], x["category_id"], x["area"]) for x in segments if not x["isthing"]]
    assert stuff == [(3, 2, 48 - 18 - 13), (4, 3, 12)]


def test_strides_have_to_double():
    from detectron2.modeling.backbone.fpn import _assert_strides_are_log2_contiguous

    _assert_strides_are_log2_contiguous([4, 8, 16])
    with pytest.raises(AssertionError, match="Strides 16 4 are not log2 contiguous"):
        _assert_strides_are_log2_contiguous([4, 16])


def test_warmup_factors():
    from detectron2.solver.lr_scheduler import _get_warmup_factor_at_iter as factor

    assert factor("linear", 250, 1000, 0.001) == pytest.approx(0.25075)
    assert factor("constant", 250, 1000, 0.001) == 0.001
    assert factor("nonsense", 1000, 1000, 0.001) == 1.0
    with pytest.raises(ValueError, match="Unknown warmup method"):
        factor("nonsense", 1, 1000, 0.001)


def test_images_with_few_keypoints_go(caplog):
    from detectron2.data.build import filter_images_with_few_keypoints

    visible, hidden = {"keypoints": [1, 2, 2, 3, 4, 1]}, {"keypoints": [1, 2, 0, 3, 4, 1]}
    images = [{"annotations": x} for x in ([visible], [hidden, {}], [hidden, hidden], [])]
    with caplog.at_level(logging.INFO):
        kept = filter_images_with_few_keypoints(images, 2)
    assert kept == [images[0], images[2]]


def test_transforms_as_augmentations():
    from detectron2.data import transforms as T
    from detectron2.data.transforms.augmentation import _transform_to_aug

    flip, fixed = T.RandomFlip(), T.HFlipTransform(10)
    assert _transform_to_aug(flip) is flip
    assert _transform_to_aug(fixed).get_transform(None) is fixed


def test_an_empty_tensor_with_a_gradient():
    from detectron2.layers.wrappers import _NewEmptyTensorOp

    x = torch.zeros(0, 3, requires_grad=True)
    made = _NewEmptyTensorOp.apply(x, (0, 5))
    assert made.shape == (0, 5)
    made.sum().backward()
    assert x.grad.shape == x.shape


def test_global_clipping():
    from detectron2.solver.build import _generate_optimizer_class_with_gradient_clipping

    def clip(parameters):
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)

    kind = _generate_optimizer_class_with_gradient_clipping(torch.optim.SGD, global_clipper=clip)
    assert kind.__name__ == "SGDWithGradientClip"
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    for parameter, gradient in zip(parameters, (3.0, 4.0), strict=True):
        parameter.grad = torch.tensor([gradient])
    kind(parameters, lr=1.0).step()
    assert torch.cat([p.data for p in parameters]).tolist() == pytest.approx([-0.6, -0.8], 1e-5)


def test_groups_of_single_parameters():
    from detectron2.solver.build import _expand_param_groups

    a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    groups = _expand_param_groups([{"params": [a, b], "lr": 1.0}, {"params": [b], "lr": 2.0}])
    assert groups == [{"params": [a], "lr": 1.0}, {"params": [b], "lr": 2.0}]


def test_older_mask_pasting():
    from detectron2.layers.mask_ops import pad_masks, paste_mask_in_image_old, scale_boxes

    masks, scale = pad_masks(torch.ones(1, 4, 4), 1)
    assert masks.shape == (1, 6, 6)
    assert masks.sum() == 16
    assert scale == 1.5
    boxes = scale_boxes(torch.tensor([[2.0, 2.0, 6.0, 10.0]]), scale)
    assert boxes.tolist() == [[1.0, 0.0, 7.0, 12.0]]
    pasted = paste_mask_in_image_old(torch.ones(4, 4), torch.tensor([-2.0, 1, 3, 9]), 8, 6, 0.5)
    expected = torch.zeros(8, 6, dtype=torch.uint8)
    expected[1:, :4] = 1
    assert torch.equal(pasted, expected)


def test_defaults_that_a_project_adds_are_in_every_config():
    from detectron2.config import CfgNode, get_cfg
    from detectron2.config.defaults import _C

    assert isinstance(_C, CfgNode)
    _C.MODEL.MINE = 3
    try:
        assert get_cfg().MODEL.MINE == 3
    finally:
        del _C.MODEL["MINE"]
    assert "MINE" not in get_cfg().MODEL


def test_lists_are_serialized_as_asked():
    from detectron2.data.common import (
        DatasetFromList,
        set_default_dataset_from_list_serialize_method,
    )

    with set_default_dataset_from_list_serialize_method(lambda items: items[::-1]):
        assert list(DatasetFromList([1, 2, 3], serialize=True)) == [3, 2, 1]
    assert list(DatasetFromList([1, 2, 3], serialize=True)) == [1, 2, 3]


def test_metadata_is_compared():
    from detectron2.data import MetadataCatalog
    from detectron2.data.build import check_metadata_consistency

    for name, classes in (("_same_a", ["x"]), ("_same_b", ["x"]), ("_other", ["y"])):
        MetadataCatalog.get(name).thing_classes = classes
    try:
        check_metadata_consistency("thing_classes", ["_same_a", "_same_b"])
        with pytest.raises(ValueError, match="thing_classes"):
            check_metadata_consistency("thing_classes", ["_same_a", "_other"])
    finally:
        for name in ("_same_a", "_same_b", "_other"):
            MetadataCatalog.remove(name)


def test_dummies_for_a_missing_dependency():
    from detectron2.utils.develop import create_dummy_class, create_dummy_func

    dummy = create_dummy_class("Drawer", "cairo", "Install it.")
    for use in (dummy, lambda: dummy.draw, create_dummy_func("draw", "cairo")):
        with pytest.raises(ImportError, match="Cannot import 'cairo"):
            use()


def test_versions_of_torch():
    from detectron2.utils.torch_version_utils import min_torch_version

    assert min_torch_version("1.9")
    assert not min_torch_version("99.0")


def test_assertions_while_tracing():
    from detectron2.utils.tracing import assert_fx_safe, is_fx_tracing

    size = 3
    assert not is_fx_tracing()
    assert assert_fx_safe(size == 3, "never").item() == 1
    with pytest.raises(AssertionError, match="wrong size"):
        assert_fx_safe(size == 4, "wrong size")


def test_losses_of_a_single_box():
    from detectron2.layers import ciou_loss, diou_loss

    first, second = torch.tensor([0.0, 0, 4, 4]), torch.tensor([1.0, 1, 4, 6])
    for loss in (ciou_loss, diou_loss):
        alone, together = loss(first, second), loss(first[None], second[None])
        assert alone.shape == ()
        assert together.shape == (1,)
        assert alone == together[0]
        with pytest.raises(AssertionError):
            loss(second.flip(0), first)


def test_common_beginnings_of_names():
    from detectron2.checkpoint.c2_model_loading import _longest_common_prefix_str

    assert _longest_common_prefix_str(["backbone.res2", "backbone.res3", "back"]) == "back"
    assert _longest_common_prefix_str(["a", "b"]) == ""


def test_a_data_set_mapped_by_a_lambda_is_pickled():
    from detectron2.data import MapDataset

    mapped = pickle.loads(pickle.dumps(MapDataset([1, 2, 3], lambda x: 2 * x)))
    assert [mapped[i] for i in range(3)] == [2, 4, 6]


def test_errors_are_of_upstreams_types():
    from detectron2.data import transforms as T
    from detectron2.data.detection_utils import gen_crop_transform_with_instance
    from detectron2.modeling.proposal_generator.proposal_utils import add_ground_truth_to_proposals
    from detectron2.structures import Boxes

    with pytest.raises(AssertionError):
        T.RandomApply(T.RandomFlip(), prob=-0.01)
    box = {"bbox": [50, 50, 60, 60], "bbox_mode": 0}
    with pytest.raises(AssertionError):
        gen_crop_transform_with_instance((5, 5), (10, 20), box)
    boxes = Boxes(torch.tensor([[0.0, 0, 4, 4]]))
    logits, more = torch.zeros(1), torch.ones(1)
    proposals = Instances((8, 8), proposal_boxes=boxes, objectness_logits=logits, more=more)
    with pytest.raises(AssertionError):
        add_ground_truth_to_proposals([Instances((8, 8), gt_boxes=boxes)], [proposals])


@pytest.mark.core_only(reason="upstream hands out its own dictionary")
def test_scalars_may_come_in_while_they_are_written():
    from detectron2.utils.events import EventStorage

    storage = EventStorage()
    storage.put_scalar("first", 1.0)
    for name in storage.histories():
        storage.put_scalar(f"{name} 2", 2.0)
    for name in storage.latest_with_smoothing_hint():
        storage.put_scalar(f"{name} 3", 3.0)
