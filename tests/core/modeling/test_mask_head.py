import pytest
import torch

from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import (
    BaseMaskRCNNHead,
    MaskRCNNConvUpsampleHead,
    build_mask_head,
)
from detectron2.modeling.roi_heads.mask_head import mask_rcnn_inference, mask_rcnn_loss
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage

SIZE = (40, 60)
SHAPE = ShapeSpec(channels=6, height=14, width=14)


def foreground(classes: list[int]) -> Instances:
    """Proposals whose mask fills the left half of the box."""
    boxes = torch.tensor([[4.0 * i, 4.0, 4.0 * i + 16.0, 36.0] for i in range(len(classes))])
    masks = torch.zeros(len(classes), *SIZE, dtype=torch.bool)
    for i in range(len(classes)):
        masks[i, :, 4 * i : 4 * i + 8] = True
    return Instances(
        SIZE,
        proposal_boxes=Boxes(boxes.reshape(-1, 4)),
        gt_classes=torch.tensor(classes).long(),
        gt_masks=BitMasks(masks),
    )


def logits(rows: int, classes: int = 3, side: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(rows, classes, side, side, generator=generator).requires_grad_()


HALF = torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(4, 4)


class TestLoss:
    @pytest.mark.parametrize("agnostic", [False, True])
    def test_is_the_cross_entropy_of_the_class_s_mask(self, agnostic):
        pred = logits(3, 1 if agnostic else 3)
        batch = [foreground([2, 0]), foreground([]), foreground([1])]
        with EventStorage() as storage:
            loss = mask_rcnn_loss(pred, batch)
        column = [0, 0, 0] if agnostic else [2, 0, 1]
        p = pred[range(3), column].sigmoid()
        expected = -(HALF * p.log() + (1 - HALF) * (1 - p).log()).mean()
        torch.testing.assert_close(loss, expected)
        loss.backward()
        touched = pred.grad.flatten(2).abs().sum(2) > 0
        assert touched.sum().item() == 3
        assert all(touched[row, c] for row, c in enumerate(column))
        wrong = (p > 0.5) != HALF.bool()
        latest = storage.latest()
        assert latest["mask_rcnn/accuracy"][0] == pytest.approx(1 - wrong.float().mean().item())
        negative = ~HALF.bool().expand(3, 4, 4)
        assert latest["mask_rcnn/false_positive"][0] == pytest.approx(
            wrong[negative].float().mean().item()
        )
        assert latest["mask_rcnn/false_negative"][0] == pytest.approx(
            wrong[~negative].float().mean().item()
        )

    @pytest.mark.parametrize("batch", [[], [foreground([])]], ids=["no image", "no object"])
    def test_without_objects(self, batch):
        pred = logits(0)
        loss = mask_rcnn_loss(pred, batch)
        assert loss.item() == 0
        loss.backward()
        assert pred.grad is not None

    def test_pictures(self):
        with EventStorage(start_iter=4) as storage:
            mask_rcnn_loss(logits(2), [foreground([1, 0])], vis_period=3)
            assert storage._vis_data == []
            mask_rcnn_loss(logits(2), [foreground([1, 0])], vis_period=2)
            pictures = storage._vis_data
        assert [title for title, _, _ in pictures] == [
            "Left: mask prediction;   Right: mask GT (0)",
            "Left: mask prediction;   Right: mask GT (1)",
        ]
        assert pictures[0][1].shape == (3, 4, 8)
        assert torch.equal(torch.as_tensor(pictures[0][1])[0, :, 4:], HALF)

    def test_masks_are_square(self):
        with EventStorage(), pytest.raises((ValueError, AssertionError), match="square"):
            mask_rcnn_loss(torch.zeros(1, 3, 4, 6), [foreground([1])])


class TestInference:
    @pytest.mark.parametrize("agnostic", [False, True])
    def test_each_prediction_gets_the_mask_of_its_class(self, agnostic):
        pred = logits(3, 1 if agnostic else 3).detach()
        batch = [
            Instances(SIZE, pred_classes=torch.tensor(classes).long())
            for classes in ([1, 2], [], [0])
        ]
        mask_rcnn_inference(pred, batch)
        assert [tuple(x.pred_masks.shape) for x in batch] == [
            (2, 1, 4, 4),
            (0, 1, 4, 4),
            (1, 1, 4, 4),
        ]
        column = [0, 0, 0] if agnostic else [1, 2, 0]
        found = torch.cat([x.pred_masks for x in batch])[:, 0]
        torch.testing.assert_close(found, pred[range(3), column].sigmoid())

    def test_no_detections(self):
        batch = [Instances(SIZE, pred_classes=torch.zeros(0, dtype=torch.int64))]
        mask_rcnn_inference(torch.zeros(0, 3, 4, 4), batch)
        assert batch[0].pred_masks.shape == (0, 1, 4, 4)


class TestConvUpsampleHead:
    @pytest.mark.parametrize("norm", ["", "BN"])
    def test_state_names(self, norm):
        head = MaskRCNNConvUpsampleHead(SHAPE, num_classes=3, conv_dims=[4, 4, 8], conv_norm=norm)
        shapes = {k: tuple(v.shape) for k, v in head.state_dict().items() if "norm" not in k}
        expected = {
            "mask_fcn1.weight": (4, 6, 3, 3),
            "mask_fcn2.weight": (4, 4, 3, 3),
            "deconv.weight": (4, 8, 2, 2),
            "deconv.bias": (8,),
            "predictor.weight": (3, 8, 1, 1),
            "predictor.bias": (3,),
        }
        if not norm:
            expected.update({"mask_fcn1.bias": (4,), "mask_fcn2.bias": (4,)})
        assert shapes == expected

    def test_doubles_the_size(self):
        head = MaskRCNNConvUpsampleHead(SHAPE, num_classes=3, conv_dims=[8])
        assert head.layers(torch.zeros(2, 6, 14, 14)).shape == (2, 3, 28, 28)
        assert head.layers(torch.zeros(0, 6, 14, 14)).shape == (0, 3, 28, 28)

    def test_starts_undecided(self):
        torch.manual_seed(0)
        head = MaskRCNNConvUpsampleHead(SHAPE, num_classes=3, conv_dims=[16, 16])
        assert head.layers(torch.randn(2, 6, 14, 14)).abs().max() < 0.1

    def test_training_and_inference(self):
        head = MaskRCNNConvUpsampleHead(SHAPE, num_classes=3, conv_dims=[8, 8], loss_weight=2.0)
        x = torch.randn(2, 6, 14, 14, generator=torch.Generator().manual_seed(0))
        with EventStorage():
            losses = head.train()(x, [foreground([1, 0])])
            plain = mask_rcnn_loss(head.layers(x), [foreground([1, 0])])
        assert set(losses) == {"loss_mask"}
        torch.testing.assert_close(losses["loss_mask"], 2 * plain)
        batch = [Instances(SIZE, pred_classes=torch.tensor([1, 0]))]
        (found,) = head.eval()(x, batch)
        assert found.pred_masks.shape == (2, 1, 28, 28)

    def test_needs_dims(self):
        with pytest.raises((ValueError, AssertionError)):
            MaskRCNNConvUpsampleHead(SHAPE, num_classes=3, conv_dims=[])

    @pytest.mark.parametrize("agnostic", [False, True])
    def test_yaml_route(self, agnostic):
        cfg = get_cfg()
        cfg.VIS_PERIOD = 9
        cfg.MODEL.ROI_HEADS.NUM_CLASSES = 5
        cfg.MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK = agnostic
        cfg.MODEL.ROI_MASK_HEAD.NUM_CONV, cfg.MODEL.ROI_MASK_HEAD.CONV_DIM = 2, 8
        head = build_mask_head(cfg, SHAPE)
        assert type(head) is MaskRCNNConvUpsampleHead
        assert head.vis_period == 9
        assert [name for name, _ in head.named_children()] == [
            "mask_fcn1", "mask_fcn2", "deconv", "deconv_relu", "predictor",
        ]  # fmt: skip
        assert head.predictor.out_channels == (1 if agnostic else 5)


def test_base_head_is_completed_by_layers():
    class Doubled(BaseMaskRCNNHead):
        def layers(self, x):
            return 2 * x

    batch = [Instances(SIZE, pred_classes=torch.tensor([1]))]
    (found,) = Doubled().eval()(torch.ones(1, 2, 4, 4), batch)
    torch.testing.assert_close(found.pred_masks, torch.full((1, 1, 4, 4), 2.0).sigmoid())
    with pytest.raises(NotImplementedError):
        BaseMaskRCNNHead().eval()(torch.ones(1, 2, 4, 4), batch)
