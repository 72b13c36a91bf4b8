import copy
import json
from typing import Any

import numpy as np
import pytest
import torch

from detectron2.config import get_cfg
from detectron2.modeling import GeneralizedRCNN, ProposalNetwork, build_model
from detectron2.structures import Boxes, Instances, PolygonMasks
from detectron2.utils.events import EventStorage
from tests.core.modeling.rcnn_models import mask_rcnn_r50_fpn, sample, tiny_rcnn
from tests.golden_files import load_golden
from tests.procedural import golden_state, procedural_image

# RoIAlign takes ceil(height / 7) samples a bin: where a proposal lies within rounding of a step,
# another machine's arithmetic may move that detection by more than rounding. So many may.
ON_A_STEP = 2

BOXES = [[4.0, 6.0, 60.0, 50.0], [30.0, 10.0, 90.0, 62.0]]


@pytest.fixture(scope="module")
def golden() -> dict:
    return load_golden("d2_mask_rcnn")


@pytest.fixture(scope="module")
def meta(golden) -> dict:
    return json.loads(str(golden["meta"]))


@pytest.fixture(scope="module")
def stock_model(golden, meta) -> GeneralizedRCNN:
    model = mask_rcnn_r50_fpn()
    state = golden_state(golden["keys"], meta["gains"])
    model.load_state_dict({name: torch.from_numpy(x) for name, x in state.items()}, strict=True)
    return model.eval()


@pytest.fixture(scope="module")
def image(meta) -> torch.Tensor:
    # The image's channels are fed in the order in which they are: "as is".
    pixels = procedural_image(meta["image"], meta["height"], meta["width"])
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def golden_targets(golden: dict, size: tuple[int, int]) -> Instances:
    polygons = []
    for x0, y0, x1, y1 in golden["gt_boxes"].astype(np.float64):
        polygons.append([np.array([x0, y0, x1, y0 + 5, x1 - 5, y1, x0 + 3, y1 - 2])])
    return Instances(
        size,
        gt_boxes=Boxes(torch.from_numpy(golden["gt_boxes"])),
        gt_classes=torch.from_numpy(golden["gt_classes"]),
        gt_masks=PolygonMasks(polygons),
    )


def assert_close_to_scale(actual: torch.Tensor, expected: np.ndarray) -> None:
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=1e-4 * scale)


class TestGoldenMaskRCNN:
    @torch.no_grad()
    def test_features(self, stock_model, golden, image):
        images = stock_model.preprocess_image([{"image": image}])
        features = stock_model.backbone(images.tensor)
        assert list(features) == ["p2", "p3", "p4", "p5", "p6"]
        for name, feature in features.items():
            assert_close_to_scale(feature[:, ::16], golden[name])

    @torch.no_grad()
    def test_detections_and_masks(self, stock_model, golden, image):
        height, width = (2 * side for side in image.shape[-2:])
        request = [{"image": image, "height": height, "width": width}]
        found = stock_model(request)[0]["instances"]
        assert found.image_size == (height, width)
        boxes, scores = found.pred_boxes.tensor.numpy(), found.scores.numpy()
        assert len(found) == len(golden["boxes"])
        # Detections with nearly the same score may change places: pair them by box.
        distance = np.abs(golden["boxes"][:, None] - boxes[None]).max(axis=2)
        distance += 1e3 * (golden["classes"][:, None] != found.pred_classes.numpy()[None])
        pair = distance.argmin(axis=1)
        assert sorted(pair) == list(range(len(found)))
        score_errors, box_errors = np.abs(scores[pair] - golden["scores"]), distance.min(axis=1)
        assert (score_errors > 1e-4).sum() <= ON_A_STEP
        assert (box_errors > 0.02).sum() <= ON_A_STEP
        assert score_errors.max() < 2e-3
        assert box_errors.max() < 1.0
        masks = found.pred_masks[torch.from_numpy(pair)].numpy()
        areas = masks.sum(axis=(1, 2))
        area_errors = np.abs(areas - golden["mask_areas"])
        assert (area_errors > np.maximum(4, 1e-2 * golden["mask_areas"])).sum() <= ON_A_STEP
        assert area_errors.sum() < 1e-3 * golden["mask_areas"].sum()
        expected = np.unpackbits(golden["masks"], axis=2)[..., :width].astype(bool)
        assert (masks[:12] != expected).mean() < 1e-3

    def test_losses(self, stock_model, golden, image, meta):
        model = copy.copy(stock_model)
        request = [{"image": image, "instances": golden_targets(golden, tuple(image.shape[-2:]))}]
        everything = meta["batch_size_per_image"]
        rpn, heads = model.proposal_generator, model.roi_heads
        usual = rpn.batch_size_per_image, heads.batch_size_per_image
        rpn.batch_size_per_image = heads.batch_size_per_image = everything
        model.train()
        try:
            with EventStorage() as storage, torch.no_grad():
                losses = model(request)
        finally:
            rpn.batch_size_per_image, heads.batch_size_per_image = usual
            model.eval()
        expected = {k.removeprefix("loss."): v for k, v in golden.items() if k.startswith("loss.")}
        assert set(losses) == set(expected)
        for name, value in expected.items():
            assert losses[name].item() == pytest.approx(float(value), rel=1e-4), name
        assert {
            "rpn/num_pos_anchors",
            "rpn/num_neg_anchors",
            "roi_head/num_fg_samples",
            "roi_head/num_bg_samples",
            "fast_rcnn/cls_accuracy",
            "fast_rcnn/fg_cls_accuracy",
            "fast_rcnn/false_negative",
            "mask_rcnn/accuracy",
            "mask_rcnn/false_positive",
            "mask_rcnn/false_negative",
        } <= set(storage.latest())


def test_batch_gives_what_single_images_give():
    model = tiny_rcnn().eval()
    # The sizes differ, so the smaller one is padded in the batch: compare with equal padding.
    requests = [sample(1, 64, 96), sample(2, 64, 96), sample(3, 64, 96)]
    with torch.no_grad():
        together = model(requests)
        alone = [model([request])[0] for request in requests]
    for one, other in zip(together, alone, strict=True):
        a, b = one["instances"], other["instances"]
        assert len(a) == len(b) > 0
        torch.testing.assert_close(a.pred_boxes.tensor, b.pred_boxes.tensor, rtol=0, atol=1e-3)
        torch.testing.assert_close(a.scores, b.scores, rtol=0, atol=1e-5)
        assert torch.equal(a.pred_classes, b.pred_classes)
        assert (a.pred_masks != b.pred_masks).float().mean() < 1e-3


@pytest.mark.parametrize("cascade", [False, True])
@pytest.mark.parametrize("boxes", [([], []), (BOXES, []), ([], BOXES[:1]), (BOXES, BOXES)], ids=str)
def test_training_with_empty_and_half_empty_images(cascade, boxes):
    model = tiny_rcnn(cascade=cascade).train()
    torch.manual_seed(0)
    with EventStorage() as storage:
        losses = model([sample(i, 64, 96, of_image) for i, of_image in enumerate(boxes)])
    stages = [f"_stage{i}" for i in range(3)] if cascade else [""]
    names = {f"{name}{stage}" for name in ("loss_cls", "loss_box_reg") for stage in stages}
    assert set(losses) == names | {"loss_mask", "loss_rpn_cls", "loss_rpn_loc"}
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)
    has_objects = any(boxes)
    assert (losses["loss_mask"] > 0) == has_objects
    assert (storage.latest()["rpn/num_pos_anchors"][0] > 0) == has_objects


class NoProposals(torch.nn.Module):
    """A proposal generator that finds nothing."""

    def forward(self, images: Any, features: Any, gt_instances: Any = None) -> Any:
        fields = {"proposal_boxes": torch.zeros(0, 4), "objectness_logits": torch.zeros(0)}
        fields["proposal_boxes"] = Boxes(fields["proposal_boxes"])
        return [Instances(size, **fields) for size in images.image_sizes], {}


@pytest.mark.parametrize("cascade", [False, True])
def test_no_proposals_at_all(cascade):
    model = tiny_rcnn(cascade=cascade)
    model.proposal_generator = NoProposals()
    with torch.no_grad():
        found = model.eval()([sample(0, 64, 96), sample(1, 64, 96)])
    for output in found:
        assert len(output["instances"]) == 0
        assert output["instances"].pred_masks.shape == (0, 64, 96)
        assert output["instances"].pred_boxes.tensor.shape == (0, 4)
    with EventStorage():
        losses = model.train()([sample(0, 64, 96, [])])
    total = sum(losses.values())
    assert total.item() == 0
    total.backward()
    assert model.roi_heads.mask_head.predictor.weight.grad is not None
    if not cascade:
        assert model.roi_heads.box_predictor.cls_score.weight.grad is not None


@pytest.mark.parametrize("training", [False, True])
def test_bfloat16_autocast(training):
    model = tiny_rcnn().train(training)
    requests = [sample(0, 64, 96, BOXES), sample(1, 64, 96, [])]
    with EventStorage(), torch.autocast("cpu", dtype=torch.bfloat16):
        result = model(requests)
    if training:
        assert all(torch.isfinite(loss) for loss in result.values())
        sum(result.values()).backward()
    else:
        assert all(x["instances"].pred_boxes.tensor.dtype == torch.float32 for x in result)
        assert all(x["instances"].pred_masks.dtype == torch.bool for x in result)


@torch.no_grad()
def test_inference_with_detected_instances_predicts_their_masks():
    model = tiny_rcnn().eval()
    request = [sample(0, 64, 96)]
    raw = model.inference(request, do_postprocess=False)[0]
    assert raw.image_size == (64, 96)
    assert raw.pred_masks.shape[1:] == (1, 28, 28)
    given = Instances((64, 96), pred_boxes=raw.pred_boxes, pred_classes=raw.pred_classes)
    again = model.inference(request, detected_instances=[given], do_postprocess=False)[0]
    torch.testing.assert_close(again.pred_masks, raw.pred_masks)
    assert torch.equal(again.pred_boxes.tensor, raw.pred_boxes.tensor)


@torch.no_grad()
def test_output_size_is_the_one_asked_for():
    model = tiny_rcnn().eval()
    plain, wide = sample(0, 64, 96), {**sample(0, 64, 96), "height": 32, "width": 192}
    a, b = (output["instances"] for output in model([plain, wide]))
    assert a.image_size == (64, 96)
    assert b.image_size == (32, 192)
    assert b.pred_masks.shape[1:] == (32, 192)
    scale = torch.tensor([2.0, 0.5, 2.0, 0.5])
    n = min(len(a), len(b))
    torch.testing.assert_close(b.pred_boxes.tensor[:n], a.pred_boxes.tensor[:n] * scale)


def test_proposals_of_the_inputs_replace_the_generator():
    model = tiny_rcnn(masks=False).eval()
    model.proposal_generator = None
    boxes = torch.tensor([[2.0, 2.0, 40.0, 40.0], [10.0, 10.0, 90.0, 60.0]])
    proposals = Instances(
        (64, 96), proposal_boxes=Boxes(boxes), objectness_logits=torch.tensor([2.0, 1.0])
    )
    request = {**sample(0, 64, 96), "proposals": proposals}
    with torch.no_grad():
        found = model([request])[0]["instances"]
    assert 0 < len(found) <= 2 * 3
    with pytest.raises((ValueError, AssertionError)):
        model([sample(0, 64, 96)])


def test_training_draws_pictures_every_vis_period():
    model = tiny_rcnn(vis_period=1).train()
    with EventStorage() as storage:
        model([sample(0, 64, 96, BOXES)])
        (title, picture, _iteration) = storage._vis_data[0]
    assert title == "Left: GT bounding boxes;  Right: Predicted proposals"
    assert picture.shape == (3, 64, 2 * 96)


def test_pixel_statistics_are_no_weights():
    model = tiny_rcnn()
    assert not [name for name in model.state_dict() if name.startswith("pixel_")]
    assert model.pixel_mean.shape == (3, 1, 1)
    assert model.device == torch.device("cpu")


@torch.no_grad()
def test_proposal_network():
    model = tiny_rcnn()
    network = ProposalNetwork(
        backbone=model.backbone, proposal_generator=model.proposal_generator,
        pixel_mean=[0.0, 0.0, 0.0], pixel_std=[128.0, 128.0, 128.0],
    )  # fmt: skip
    found = network.eval()([{**sample(0, 64, 96), "height": 128, "width": 192}])[0]["proposals"]
    assert found.image_size == (128, 192)
    assert len(found) > 0
    assert (found.objectness_logits.diff() <= 0).all()
    with EventStorage():
        losses = network.train()([sample(0, 64, 96, BOXES)])
    assert set(losses) == {"loss_rpn_cls", "loss_rpn_loc"}


def fpn_config() -> Any:
    """The YAML config of Mask R-CNN R50-FPN, from the defaults on."""
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32], [64], [128], [256], [512]]
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    cfg.MODEL.RPN.PRE_NMS_TOPK_TRAIN = 2000
    cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN = 1000
    cfg.MODEL.RPN.PRE_NMS_TOPK_TEST = 1000
    cfg.MODEL.MASK_ON = True
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    cfg.MODEL.ROI_BOX_HEAD.NUM_FC = 2
    cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 7
    cfg.MODEL.ROI_MASK_HEAD.NUM_CONV = 4
    return cfg


@torch.no_grad()
def test_yaml_config_builds_the_stock_model(golden, stock_model, image):
    model = build_model(fpn_config()).eval()
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    expected = {name: list(x.shape) for name, x in stock_model.state_dict().items()}
    assert shapes == expected
    model.load_state_dict(stock_model.state_dict())
    ours, theirs = model([{"image": image}])[0], stock_model([{"image": image}])[0]
    assert torch.equal(ours["instances"].scores, theirs["instances"].scores)
    assert torch.equal(ours["instances"].pred_masks, theirs["instances"].pred_masks)


@pytest.mark.parametrize("name", ["ProposalNetwork", "GeneralizedRCNN"])
def test_yaml_config_of_relatives(name):
    cfg = fpn_config()
    cfg.MODEL.META_ARCHITECTURE = name
    cfg.MODEL.RESNETS.DEPTH = 18
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    cfg.MODEL.ROI_HEADS.NAME = "CascadeROIHeads"
    cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = True
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 16
    model = build_model(cfg)
    assert type(model).__name__ == name
    if name == "GeneralizedRCNN":
        names = {key for key in model.state_dict() if "box_predictor" in key}
        assert "roi_heads.box_predictor.2.bbox_pred.weight" in names
        weights = [p.box2box_transform.weights for p in model.roi_heads.box_predictor]
        assert [tuple(w) for w in weights] == [
            (10.0, 10.0, 5.0, 5.0),
            (20.0, 20.0, 10.0, 10.0),
            (30.0, 30.0, 15.0, 15.0),
        ]


@pytest.mark.core_only
def test_c4_heads_are_refused_by_name():
    with pytest.raises(NotImplementedError, match="Res5ROIHeads.*FPN"):
        build_model(get_cfg())


@pytest.mark.core_only
def test_bad_arguments_are_explained():
    model = tiny_rcnn()
    parts = {
        "backbone": model.backbone,
        "proposal_generator": model.proposal_generator,
        "roi_heads": model.roi_heads,
    }
    with pytest.raises(ValueError, match="differ in length"):
        GeneralizedRCNN(**parts, pixel_mean=[0.0], pixel_std=[1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="input_format"):
        GeneralizedRCNN(**parts, pixel_mean=[0.0], pixel_std=[1.0], vis_period=5)
    with pytest.raises(RuntimeError, match="eval"):
        model.train().inference([sample(0, 64, 96)])
