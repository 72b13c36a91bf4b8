"""RetinaNet: what upstream Detectron2 answers under the same weights, and a slow reference."""

import pytest
import torch

from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from detectron2.modeling.meta_arch.dense_detector import DenseDetector, permute_to_N_HWA_K
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead
from detectron2.structures import Boxes, Instances, pairwise_iou
from detectron2.utils.events import EventStorage
from tests.core.modeling.dense_models import (
    NUM_CLASSES,
    load_procedural,
    make_inputs,
    tiny_resnet,
    tiny_retinanet,
)

BAD_INPUT = (AssertionError, ValueError)

# Answers of upstream Detectron2 0.6 on these models and inputs: losses of the usual batch, then
# of the batch with an image without objects (the average of the foreground count moves on).
UPSTREAM_LOSSES = {
    "": [(104.554184, 0.923398), (107.085968, 0.588335)],
    "BN": [(102.562492, 0.800266), (105.038307, 0.514418)],
}
UPSTREAM_DETECTIONS = [
    (97, [0.65814, 0.65493, 0.65271, 0.65244], [326.473, 145.549, 351.147, 195.177]),
    (100, [0.62899, 0.61743, 0.61527, 0.6095], [114.174, 141.499, 203.0, 185.994]),
]


@pytest.mark.parametrize("norm", ["", "BN"])
def test_losses_equal_upstream(norm):
    model = tiny_retinanet(norm).train()
    with EventStorage() as storage:
        for with_empty, expected in zip((False, True), UPSTREAM_LOSSES[norm], strict=True):
            losses = model(make_inputs(with_empty))
            assert list(losses) == ["loss_cls", "loss_box_reg"]
            assert [loss.item() for loss in losses.values()] == pytest.approx(expected, rel=1e-4)
        assert storage.latest()["num_pos_anchors"][0] > 0
    sum(losses.values()).backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {name for name, p in model.named_parameters() if p.requires_grad}


def test_detections_equal_upstream():
    model = tiny_retinanet().eval()
    with torch.no_grad():
        outputs = [output["instances"] for output in model(make_inputs())]
    for output, entry, (count, scores, box) in zip(
        outputs, make_inputs(), UPSTREAM_DETECTIONS, strict=True
    ):
        assert output.image_size == (entry["height"], entry["width"])
        assert len(output) == count
        assert output.scores[:4].tolist() == pytest.approx(scores, abs=1e-4)
        assert output.pred_boxes.tensor[0].tolist() == pytest.approx(box, abs=0.02)
        assert output.pred_classes.dtype == torch.int64


def test_losses_equal_a_slow_reference():
    model = tiny_retinanet()
    inputs = make_inputs()
    with EventStorage():
        losses = model.train()(inputs)
    with torch.no_grad():
        images = model.preprocess_image(inputs)
        features = [model.backbone(images.tensor)[name] for name in model.head_in_features]
        logits, deltas = model.head(features)
        anchors = Boxes.cat(model.anchor_generator(features)).tensor
        logits = torch.cat([permute_to_N_HWA_K(level, NUM_CLASSES) for level in logits], dim=1)
        deltas = torch.cat([permute_to_N_HWA_K(level, 4) for level in deltas], dim=1)
    classification, regression, count = 0.0, 0.0, 0
    for image, entry in enumerate(inputs):
        truth = entry["instances"]
        quality = pairwise_iou(truth.gt_boxes, Boxes(anchors))
        best, owner = quality.max(dim=0)
        foreground = (best >= 0.5) | (quality == quality.max(dim=1).values[:, None]).any(dim=0)
        ignored = (best >= 0.4) & ~foreground
        target = torch.zeros(len(anchors), NUM_CLASSES)
        target[foreground, truth.gt_classes[owner[foreground]]] = 1.0
        p = logits[image].double().sigmoid()
        term = torch.where(
            target == 1, 0.25 * (1 - p) ** 2 * -p.log(), 0.75 * p**2 * -(1 - p).log()
        )
        classification += float(term[~ignored].sum())
        wanted = model.box2box_transform.get_deltas(
            anchors[foreground], truth.gt_boxes.tensor[owner[foreground]]
        )
        distance = (deltas[image][foreground] - wanted).abs()
        regression += float(torch.where(distance < 0.1, 5 * distance**2, distance - 0.05).sum())
        count += int(foreground.sum())
    normalizer = 0.9 * 100 + 0.1 * count
    assert losses["loss_cls"].item() == pytest.approx(classification / normalizer, rel=1e-4)
    assert losses["loss_box_reg"].item() == pytest.approx(regression / normalizer, rel=1e-4)


def test_labels():
    model = tiny_retinanet()
    anchors = [Boxes(torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 22], [50, 50, 60, 60]]))]
    truth = Instances((90, 90), gt_boxes=Boxes(torch.tensor([[0.0, 0, 10, 10]])))
    truth.gt_classes = torch.tensor([2])
    empty = Instances((90, 90), gt_boxes=Boxes(torch.zeros(0, 4)))
    empty.gt_classes = torch.zeros(0, dtype=torch.int64)
    labels, boxes = model.label_anchors(anchors, [truth, empty])
    assert labels[0].tolist() == [2, -1, NUM_CLASSES]
    assert boxes[0][0].tolist() == [0, 0, 10, 10]
    assert labels[1].tolist() == [NUM_CLASSES] * 3
    assert boxes[1].tolist() == [[0.0] * 4] * 3


def test_head_names_and_prior():
    head = RetinaNetHead(
        input_shape=[ShapeSpec(channels=8)] * 2, num_classes=3, num_anchors=2, conv_dims=[8, 4],
        norm="BN", prior_prob=0.2,
    )  # fmt: skip
    names = list(head.state_dict())
    # Weights of the batch norm are shared by the levels, statistics are not.
    assert "cls_subnet.1.weight" in names
    assert "cls_subnet.1.1.running_mean" in names
    assert "bbox_subnet.3.weight" in names
    torch.testing.assert_close(head.cls_score.bias.detach().sigmoid(), torch.full((6,), 0.2))
    logits, deltas = head([torch.zeros(1, 8, 5, 6), torch.zeros(1, 8, 3, 3)])
    assert [tuple(level.shape) for level in logits] == [(1, 6, 5, 6), (1, 6, 3, 3)]
    assert [tuple(level.shape) for level in deltas] == [(1, 8, 5, 6), (1, 8, 3, 3)]
    with pytest.raises(BAD_INPUT):
        head([torch.zeros(1, 8, 5, 6)])


def test_permutation():
    tensor = torch.arange(2 * 6 * 2 * 3).reshape(2, 6, 2, 3)
    rows = permute_to_N_HWA_K(tensor, 3)
    assert rows.shape == (2, 12, 3)
    # Image 1, row 1, column 2, anchor 1.
    assert torch.equal(rows[1, (1 * 3 + 2) * 2 + 1], tensor[1, 3:, 1, 2])
    with pytest.raises(BAD_INPUT):
        permute_to_N_HWA_K(tensor[0], 3)


def retinanet_config():
    config = get_cfg()
    config.MODEL.META_ARCHITECTURE = "RetinaNet"
    config.MODEL.DEVICE = "cpu"
    config.MODEL.BACKBONE.NAME = "build_retinanet_resnet_fpn_backbone"
    config.MODEL.RESNETS.DEPTH = 18
    config.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    config.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4", "res5"]
    config.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
    config.MODEL.FPN.OUT_CHANNELS = 16
    config.MODEL.ANCHOR_GENERATOR.SIZES = [[32, 40], [64, 80], [128, 160], [256, 300], [512, 600]]
    config.MODEL.RETINANET.NUM_CLASSES = NUM_CLASSES
    config.MODEL.RETINANET.NUM_CONVS = 1
    config.MODEL.RETINANET.SCORE_THRESH_TEST = 0.2
    config.MODEL.RETINANET.NMS_THRESH_TEST = 0.3
    return config


def test_from_config():
    assert "RetinaNet" in META_ARCH_REGISTRY
    config = retinanet_config()
    model = build_model(config)
    assert isinstance(model, DenseDetector)
    assert model.head.cls_score.out_channels == 2 * 3 * NUM_CLASSES
    assert (model.test_score_thresh, model.test_nms_thresh) == (0.2, 0.3)
    assert model.smooth_l1_beta == config.MODEL.RETINANET.SMOOTH_L1_LOSS_BETA
    with EventStorage():
        losses = model.train()(make_inputs())
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_levels_with_different_anchor_counts_are_refused():
    config = retinanet_config()
    config.MODEL.ANCHOR_GENERATOR.SIZES = [[32], [64, 80], [128], [256], [512]]
    with pytest.raises(BAD_INPUT):
        build_model(config)


def test_batch_of_one_equals_its_part_of_a_batch():
    model = tiny_retinanet().eval()
    inputs = make_inputs()
    # The same size: padding may change the border otherwise.
    inputs[1]["image"] = inputs[0]["image"].flip(2)
    with torch.no_grad():
        both, alone = model(inputs), model(inputs[1:])
    torch.testing.assert_close(both[1]["instances"].scores, alone[0]["instances"].scores)
    torch.testing.assert_close(
        both[1]["instances"].pred_boxes.tensor, alone[0]["instances"].pred_boxes.tensor
    )


def test_no_detections():
    model = tiny_retinanet(test_score_thresh=1.0).eval()
    (first, _) = model(make_inputs())
    assert len(first["instances"]) == 0
    assert first["instances"].pred_boxes.tensor.shape == (0, 4)


def test_missing_ground_truth_is_refused():
    inputs = make_inputs()
    del inputs[1]["instances"]
    # Upstream: KeyError or AssertionError, by which image lacks it.
    with pytest.raises((*BAD_INPUT, KeyError), match="nstances"), EventStorage():
        tiny_retinanet().train()(inputs)


def test_bfloat16_autocast():
    model = tiny_retinanet().train()
    with EventStorage(), torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model(make_inputs())
    values = [loss.item() for loss in losses.values()]
    assert values == pytest.approx(UPSTREAM_LOSSES[""][0], rel=0.05)
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


def test_default_features_are_all_by_stride():
    backbone = load_procedural(tiny_resnet(["res4", "res2", "res3"]))
    detector = DenseDetector(
        backbone, torch.nn.Identity(), pixel_mean=[0.0] * 3, pixel_std=[1.0] * 3
    )
    assert detector.head_in_features == ["res2", "res3", "res4"]
    assert detector.device == torch.device("cpu")
    assert not any("pixel" in name for name in detector.state_dict())
    with pytest.raises(NotImplementedError):
        detector.forward_training(None, None, None, None)


@pytest.mark.core_only(reason="upstream never draws for dense detectors")
def test_pictures_in_training():
    model = tiny_retinanet(vis_period=1).train()
    with EventStorage() as storage:
        model(make_inputs())
        ((title, picture, _),) = storage._vis_data
    assert title.startswith("Left: ground truth")
    assert picture.shape[0] == 3
