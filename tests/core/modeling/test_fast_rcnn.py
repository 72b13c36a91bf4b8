import math

import pytest
import torch

from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from detectron2.modeling.roi_heads.fast_rcnn import (
    fast_rcnn_inference,
    fast_rcnn_inference_single_image,
)
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from tests.golden_files import load_golden

SIZE = (100, 200)
A, B = [10.0, 10.0, 50.0, 50.0], [90.0, 20.0, 140.0, 80.0]


def make(**kwargs) -> FastRCNNOutputLayers:
    torch.manual_seed(1)
    settings = {
        "box2box_transform": Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0)),
        "num_classes": 3,
        **kwargs,
    }
    return FastRCNNOutputLayers(ShapeSpec(channels=6), **settings)


def proposals(classes: list[int], seed: int = 0, targets: bool = True) -> Instances:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(len(classes), 2, generator=generator) * 50
    boxes = torch.cat(
        [corner, corner + 10 + 30 * torch.rand(len(classes), 2, generator=generator)], 1
    )
    result = Instances(SIZE, proposal_boxes=Boxes(boxes), gt_classes=torch.tensor(classes).long())
    if targets:
        result.gt_boxes = Boxes(boxes + torch.rand(boxes.shape, generator=generator))
    return result


def predictions(rows: int, classes: int = 3, boxes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(rows, classes + 1, generator=generator).requires_grad_()
    deltas = torch.randn(rows, 4 * boxes, generator=generator).requires_grad_()
    return logits, deltas


class TestInference:
    def test_golden(self):
        golden = {
            k: torch.from_numpy(v) for k, v in load_golden("d2_components").items() if "det." in k
        }
        (found,), (source,) = fast_rcnn_inference(
            [golden["det.boxes"]], [golden["det.scores"]], [(250, 333)], 0.05, 0.5, 20
        )
        torch.testing.assert_close(found.pred_boxes.tensor, golden["det.result_boxes"])
        torch.testing.assert_close(found.scores, golden["det.result_scores"])
        assert torch.equal(found.pred_classes, golden["det.result_classes"])
        expected = golden["det.scores"][source, found.pred_classes]
        torch.testing.assert_close(expected, found.scores)

    def test_suppression_stays_within_a_class(self):
        boxes = torch.tensor([A + A, A + B])
        scores = torch.tensor([[0.9, 0.8, 0.0], [0.7, 0.6, 0.0]])
        found, source = fast_rcnn_inference_single_image(boxes, scores, SIZE, 0.1, 0.5, 10)
        assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.6])
        assert found.pred_classes.tolist() == [0, 1, 1]
        assert found.pred_boxes.tensor.tolist() == [A, A, B]
        assert source.tolist() == [0, 0, 1]

    @pytest.mark.parametrize(("topk", "count"), [(2, 2), (0, 0), (-1, 4)])
    def test_limit(self, topk, count):
        boxes, scores = torch.tensor([A, B]), torch.tensor([[0.9, 0.8, 0.0], [0.7, 0.6, 0.0]])
        found, _ = fast_rcnn_inference_single_image(boxes, scores, SIZE, 0.1, 0.5, topk)
        assert len(found) == count

    def test_clipping_threshold_and_background(self):
        boxes = torch.tensor([[-5.0, 90.0, 230.0, 120.0]])
        scores = torch.tensor([[0.5, 0.2, 0.95]])
        found, _ = fast_rcnn_inference_single_image(boxes, scores, SIZE, 0.2, 0.5, 10)
        assert found.pred_boxes.tensor.tolist() == [[0.0, 90.0, 200.0, 100.0]]
        assert found.pred_classes.tolist() == [0]

    def test_no_boxes(self):
        found, source = fast_rcnn_inference_single_image(
            torch.zeros(0, 12), torch.zeros(0, 4), SIZE, 0.1, 0.5, 10
        )
        assert len(found) == 0
        assert found.pred_boxes.tensor.shape == (0, 4)
        assert source.shape == (0,)

    @pytest.mark.core_only(reason="source indices count the rows that were given")
    def test_non_finite_rows_are_left_out(self):
        boxes = torch.tensor([[math.nan, 1.0, 2.0, 3.0], A, B])
        scores = torch.tensor([[0.9, 0.0], [math.inf, 0.1], [0.5, 0.1]])
        found, source = fast_rcnn_inference_single_image(boxes, scores, SIZE, 0.1, 0.5, 10)
        assert found.pred_boxes.tensor.tolist() == [B]
        assert source.tolist() == [2]


class TestForward:
    @pytest.mark.parametrize("agnostic", [False, True])
    def test_shapes(self, agnostic):
        predictor = make(cls_agnostic_bbox_reg=agnostic)
        logits, deltas = predictor(torch.zeros(5, 6))
        assert logits.shape == (5, 4)
        assert deltas.shape == (5, 4 if agnostic else 12)
        assert set(predictor.state_dict()) == {
            "cls_score.weight", "cls_score.bias", "bbox_pred.weight", "bbox_pred.bias",
        }  # fmt: skip

    def test_spatial_input_is_flattened(self):
        predictor = FastRCNNOutputLayers(
            ShapeSpec(channels=6, height=2, width=3), num_classes=3,
            box2box_transform=Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0)),
        )  # fmt: skip
        assert predictor(torch.zeros(5, 6, 2, 3))[0].shape == (5, 4)
        assert predictor.cls_score.in_features == 36

    def test_number_of_channels_is_enough(self):
        transform = Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0))
        assert FastRCNNOutputLayers(6, box2box_transform=transform, num_classes=2)(
            torch.zeros(1, 6)
        )[0].shape == (1, 3)


class TestPredictions:
    def test_zero_deltas_are_the_proposals(self):
        first, second = proposals([0, 3]), proposals([1], seed=1)
        boxes = make().predict_boxes((torch.zeros(3, 4), torch.zeros(3, 12)), [first, second])
        assert [tuple(x.shape) for x in boxes] == [(2, 12), (1, 12)]
        torch.testing.assert_close(boxes[1].view(3, 4), second.proposal_boxes.tensor.expand(3, 4))

    @pytest.mark.parametrize("agnostic", [False, True])
    def test_boxes_of_the_true_class(self, agnostic):
        predictor = make(cls_agnostic_bbox_reg=agnostic)
        batch = [proposals([2, 0]), proposals([1, 3], seed=1)]
        pair = predictions(4, boxes=1 if agnostic else 3)
        every = torch.cat(list(predictor.predict_boxes(pair, batch))).view(4, -1, 4)
        column = [0] * 4 if agnostic else [2, 0, 1, 2]
        chosen = predictor.predict_boxes_for_gt_classes(pair, batch)
        torch.testing.assert_close(torch.cat(list(chosen)), every[range(4), column])
        assert [len(x) for x in chosen] == [2, 2]

    @pytest.mark.parametrize("sigmoid", [False, True])
    def test_probabilities(self, sigmoid):
        batch = [proposals([0, 1]), proposals([2])]
        logits, deltas = predictions(3)
        probabilities = make(use_sigmoid_ce=sigmoid).predict_probs((logits, deltas), batch)
        assert [len(x) for x in probabilities] == [2, 1]
        expected = logits.sigmoid() if sigmoid else logits.softmax(1)
        torch.testing.assert_close(torch.cat(list(probabilities)), expected)

    def test_no_images(self):
        pair = (torch.zeros(0, 4), torch.zeros(0, 12))
        assert len(make().predict_boxes(pair, [])) == 0
        assert len(make().predict_boxes_for_gt_classes(pair, [])) == 0

    def test_inference_uses_the_settings(self):
        predictor = make(test_score_thresh=0.3, test_topk_per_image=2)
        found, sources = predictor.inference(
            predictions(5), [proposals([0] * 3), proposals([0] * 2)]
        )
        assert len(found) == len(sources) == 2
        for per_image in found:
            assert len(per_image) <= 2
            assert (per_image.scores > 0.3).all()


class TestLosses:
    def losses(self, predictor, batch, pair):
        with EventStorage() as storage:
            return predictor.losses(pair, batch), storage.latest()

    def test_against_a_slow_computation(self):
        predictor = make()
        batch = [proposals([2, 3, 0]), proposals([3, 1], seed=1)]
        logits, deltas = predictions(5)
        losses, stats = self.losses(predictor, batch, (logits, deltas))
        classes = [2, 3, 0, 3, 1]
        classification = -sum(logits.log_softmax(1)[i, c].item() for i, c in enumerate(classes)) / 5
        boxes = torch.cat([x.proposal_boxes.tensor for x in batch])
        truth = torch.cat([x.gt_boxes.tensor for x in batch])
        target = predictor.box2box_transform.get_deltas(boxes, truth)
        regression = sum(
            (deltas[i, 4 * c : 4 * c + 4] - target[i]).abs().sum().item()
            for i, c in enumerate(classes)
            if c < 3
        )
        assert losses["loss_cls"].item() == pytest.approx(classification, rel=1e-5)
        assert losses["loss_box_reg"].item() == pytest.approx(regression / 5, rel=1e-5)
        guess = logits.argmax(1).tolist()
        right = [g == c for g, c in zip(guess, classes, strict=True)]
        assert stats["fast_rcnn/cls_accuracy"][0] == pytest.approx(sum(right) / 5)
        objects = [i for i, c in enumerate(classes) if c < 3]
        assert stats["fast_rcnn/fg_cls_accuracy"][0] == pytest.approx(
            sum(right[i] for i in objects) / 3
        )
        assert stats["fast_rcnn/false_negative"][0] == pytest.approx(
            sum(guess[i] == 3 for i in objects) / 3
        )

    @pytest.mark.parametrize("kind", ["smooth_l1", "giou", "diou", "ciou"])
    @pytest.mark.parametrize("agnostic", [False, True])
    def test_kinds_of_box_losses(self, kind, agnostic):
        predictor = make(box_reg_loss_type=kind, cls_agnostic_bbox_reg=agnostic, smooth_l1_beta=0.5)
        logits, deltas = predictions(3, boxes=1 if agnostic else 3)
        losses, _ = self.losses(predictor, [proposals([2, 3, 0])], (logits, deltas))
        losses["loss_box_reg"].backward()
        assert losses["loss_box_reg"] > 0
        assert deltas.grad[1].count_nonzero() == 0
        touched = deltas.grad.view(3, -1, 4).count_nonzero(2) > 0
        assert touched[0].tolist() == ([True] if agnostic else [False, False, True])

    def test_weights_by_name_and_as_a_number(self):
        batch, pair = [proposals([2, 3, 0])], predictions(3)
        plain, _ = self.losses(make(), batch, pair)
        doubled, _ = self.losses(make(loss_weight=2.0), batch, pair)
        chosen, _ = self.losses(make(loss_weight={"loss_box_reg": 0.5}), batch, pair)
        for name in ("loss_cls", "loss_box_reg"):
            torch.testing.assert_close(doubled[name], 2 * plain[name])
        torch.testing.assert_close(chosen["loss_cls"], plain["loss_cls"])
        torch.testing.assert_close(chosen["loss_box_reg"], 0.5 * plain["loss_box_reg"])

    def test_background_images_need_no_boxes(self):
        logits, deltas = predictions(2)
        losses, stats = self.losses(make(), [proposals([3, 3], targets=False)], (logits, deltas))
        assert losses["loss_box_reg"].item() == 0
        sum(losses.values()).backward()
        assert deltas.grad is not None
        assert "fast_rcnn/fg_cls_accuracy" not in stats

    @pytest.mark.core_only(reason="upstream's losses have no graph or fail")
    @pytest.mark.parametrize("sigmoid", [False, True])
    @pytest.mark.parametrize("batch", [[], [proposals([])]], ids=["no image", "no proposal"])
    def test_nothing_to_train_on(self, batch, sigmoid):
        logits, deltas = predictions(0)
        losses, stats = self.losses(make(use_sigmoid_ce=sigmoid), batch, (logits, deltas))
        total = sum(losses.values())
        assert total.item() == 0
        total.backward()
        assert logits.grad is not None
        assert deltas.grad is not None
        assert stats == {}

    def test_sigmoid_cross_entropy(self):
        predictor = make(use_sigmoid_ce=True)
        logits, deltas = predictions(3)
        losses, _ = self.losses(predictor, [proposals([2, 3, 0])], (logits, deltas))
        target = torch.tensor([[0.0, 0, 1], [0, 0, 0], [1, 0, 0]])
        p = logits[:, :3].sigmoid()
        expected = -(target * p.log() + (1 - target) * (1 - p).log()).sum() / 3
        torch.testing.assert_close(losses["loss_cls"], expected)


class TestFederatedLoss:
    def make(self, count: int, weights: list[float] | None = None) -> FastRCNNOutputLayers:
        return make(
            num_classes=6, use_sigmoid_ce=True, use_fed_loss=True, fed_loss_num_classes=count,
            get_fed_loss_cls_weights=lambda: torch.tensor(weights or [1.0] * 6),
        )  # fmt: skip

    def test_classes_are_those_present_and_a_sample(self):
        predictor = self.make(4)
        present = torch.tensor([2, 2, 6, 0])
        weight = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
        torch.manual_seed(0)
        for _ in range(5):
            classes = predictor.get_fed_loss_classes(present, 4, 6, weight).tolist()
            assert sorted(classes) == [0, 2, 4, 6]
        assert predictor.get_fed_loss_classes(present, 2, 6, weight).tolist() == [0, 2, 6]

    def test_other_classes_do_not_train(self):
        predictor = self.make(3, weights=[0.0, 1.0, 1.0, 0.0, 0.0, 0.0])
        logits, deltas = predictions(2, classes=6, boxes=6)
        with EventStorage():
            loss = predictor.losses((logits, deltas), [proposals([2, 6])])["loss_cls"]
        loss.backward()
        # Class 2 is present, 6 is background, and 1 is the only one to be drawn.
        assert (logits.grad.count_nonzero(0) > 0).tolist() == [False, True, True] + [False] * 4

    def test_weights_are_a_buffer(self):
        assert "fed_loss_cls_weights" in self.make(3).state_dict()

    def test_requirements(self):
        transform = Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0))
        arguments = {"box2box_transform": transform, "num_classes": 6, "use_fed_loss": True}
        with pytest.raises((ValueError, AssertionError), match="cross entropy"):
            FastRCNNOutputLayers(ShapeSpec(channels=6), **arguments)
        with pytest.raises((ValueError, AssertionError)):
            FastRCNNOutputLayers(
                ShapeSpec(channels=6), **arguments, use_sigmoid_ce=True,
                get_fed_loss_cls_weights=lambda: torch.ones(5),
            )  # fmt: skip

    def test_yaml_route(self):
        name = "tests/fed_loss"
        counts = [{"id": i, "image_count": i * i} for i in (2, 1, 3)]
        MetadataCatalog.get(name).class_image_count = counts
        cfg = get_cfg()
        cfg.DATASETS.TRAIN = (name,)
        cfg.MODEL.ROI_HEADS.NUM_CLASSES = 3
        cfg.MODEL.ROI_BOX_HEAD.USE_FED_LOSS = cfg.MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE = True
        cfg.MODEL.ROI_BOX_HEAD.FED_LOSS_FREQ_WEIGHT_POWER = 0.5
        try:
            predictor = FastRCNNOutputLayers(cfg, ShapeSpec(channels=4))
        finally:
            MetadataCatalog.remove(name)
        assert predictor.fed_loss_cls_weights.tolist() == [1.0, 2.0, 3.0]


def test_yaml_route():
    cfg = get_cfg()
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 5
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.25
    cfg.MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT = 4.0
    cfg.TEST.DETECTIONS_PER_IMAGE = 17
    transform = Box2BoxTransform(weights=(1.0, 2.0, 3.0, 4.0))
    predictor = FastRCNNOutputLayers(cfg, ShapeSpec(channels=4), box2box_transform=transform)
    assert predictor.box2box_transform is transform
    assert predictor.cls_score.out_features == 6
    assert predictor.test_score_thresh == 0.25
    assert predictor.test_topk_per_image == 17
    assert predictor.loss_weight == {"loss_box_reg": 4.0}
