import pytest
import torch

from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_proposal_generator
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.proposal_generator import RPN, StandardRPNHead
from detectron2.structures import Boxes, ImageList, Instances, pairwise_iou
from detectron2.utils.events import EventStorage

SIZE = (64, 96)


def make_rpn(**kwargs) -> RPN:
    torch.manual_seed(3)
    settings = {
        "in_features": ["p4", "p5"],
        "head": StandardRPNHead(in_channels=6, num_anchors=3),
        "anchor_generator": DefaultAnchorGenerator(
            sizes=[[32], [64]], aspect_ratios=[0.5, 1.0, 2.0], strides=[16, 32], offset=0.0
        ),
        "anchor_matcher": Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True),
        "box2box_transform": Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0)),
        "batch_size_per_image": 16,
        "positive_fraction": 0.5,
        "pre_nms_topk": (40, 30),
        "post_nms_topk": (20, 10),
        **kwargs,
    }
    return RPN(**settings)


def inputs(images: int = 2) -> tuple[ImageList, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    features = {
        "p4": torch.randn(images, 6, 4, 6, generator=generator),
        "p5": torch.randn(images, 6, 2, 3, generator=generator),
    }
    return ImageList(torch.zeros(images, 3, *SIZE), [SIZE] * images), features


def truth(boxes: list[list[float]]) -> Instances:
    return Instances(SIZE, gt_boxes=Boxes(torch.tensor(boxes).reshape(-1, 4)))


OBJECTS = [truth([[8.0, 8.0, 40.0, 40.0]]), truth([])]


class TestHead:
    def test_one_hidden_layer_is_called_conv(self):
        head = StandardRPNHead(in_channels=6, num_anchors=3)
        shapes = {name: tuple(x.shape) for name, x in head.state_dict().items()}
        assert shapes == {
            "conv.weight": (6, 6, 3, 3),
            "conv.bias": (6,),
            "objectness_logits.weight": (3, 6, 1, 1),
            "objectness_logits.bias": (3,),
            "anchor_deltas.weight": (12, 6, 1, 1),
            "anchor_deltas.bias": (12,),
        }

    def test_several_hidden_layers(self):
        head = StandardRPNHead(in_channels=6, num_anchors=2, box_dim=5, conv_dims=[4, -1, 8])
        shapes = {name: tuple(x.shape) for name, x in head.state_dict().items()}
        assert shapes["conv.conv0.weight"] == (4, 6, 3, 3)
        assert shapes["conv.conv1.weight"] == (4, 4, 3, 3)
        assert shapes["conv.conv2.weight"] == (8, 4, 3, 3)
        assert shapes["anchor_deltas.weight"] == (10, 8, 1, 1)
        logits, deltas = head([torch.zeros(1, 6, 5, 7), torch.zeros(1, 6, 3, 4)])
        assert [tuple(x.shape) for x in logits] == [(1, 2, 5, 7), (1, 2, 3, 4)]
        assert [tuple(x.shape) for x in deltas] == [(1, 10, 5, 7), (1, 10, 3, 4)]

    def test_starts_near_zero(self):
        head = StandardRPNHead(in_channels=64, num_anchors=3)
        for name, parameter in head.named_parameters():
            if name.endswith("bias"):
                assert parameter.count_nonzero() == 0
            else:
                assert 0.007 < parameter.std().item() < 0.013

    @pytest.mark.core_only
    @pytest.mark.parametrize("dims", [[], [0], [4, -2]])
    def test_refuses_nonsense_dims(self, dims):
        with pytest.raises(ValueError, match="conv_dims"):
            StandardRPNHead(in_channels=6, num_anchors=3, conv_dims=dims)

    @pytest.mark.core_only
    def test_from_config_needs_equal_levels(self):
        shapes = [ShapeSpec(channels=c, stride=s) for c, s in ((4, 8), (6, 16))]
        with pytest.raises(ValueError, match="channels"):
            StandardRPNHead(get_cfg(), shapes)


class TestProposals:
    def test_shapes_order_and_limits(self):
        images, features = inputs()
        proposals, losses = make_rpn().eval()(images, features)
        assert losses == {}
        assert len(proposals) == 2
        for per_image in proposals:
            assert per_image.image_size == SIZE
            assert 0 < len(per_image) <= 10
            assert (per_image.objectness_logits.diff() <= 0).all()
            assert per_image.proposal_boxes.inside_box(SIZE, 1).all()
            assert not per_image.proposal_boxes.tensor.requires_grad

    def test_training_keeps_more(self):
        images, features = inputs()
        rpn = make_rpn(nms_thresh=1.0)
        with EventStorage():
            trained = rpn.train()(images, features, OBJECTS)[0]
        tested = rpn.eval()(images, features)[0]
        assert [len(x) for x in trained] == [20, 20]
        assert [len(x) for x in tested] == [10, 10]

    def test_a_location_s_prediction_belongs_to_its_anchor(self):
        # One logit and one delta are raised by hand: exactly that anchor's box must come first.
        rpn = make_rpn().eval()
        _, features = inputs(1)
        maps = [features["p4"], features["p5"]]
        anchors = rpn.anchor_generator(maps)
        logits, deltas = rpn.rpn_head(maps)
        logits, deltas = [x.detach() * 0 for x in logits], [x.detach() * 0 for x in deltas]
        row, column, anchor = 2, 3, 1
        logits[0][0, anchor, row, column] = 5.0
        deltas[0][0, 4 * anchor, row, column] = 0.25  # a quarter of its width to the right

        class Fixed(torch.nn.Module):
            def forward(self, _features):
                return logits, deltas

        rpn.rpn_head = Fixed()
        first = rpn(ImageList(torch.zeros(1, 3, *SIZE), [SIZE]), features)[0][0][0]
        expected = anchors[0][(row * 6 + column) * 3 + anchor].clone()
        expected.tensor[:, 0::2] += 0.25 * (expected.tensor[:, 2] - expected.tensor[:, 0])
        expected.clip(SIZE)
        assert first.objectness_logits.item() == 5.0
        torch.testing.assert_close(first.proposal_boxes.tensor, expected.tensor)

    def test_decoded_zero_deltas_are_the_anchors(self):
        rpn = make_rpn()
        anchors = rpn.anchor_generator(list(inputs()[1].values()))
        zeros = [torch.zeros(2, len(level), 4) for level in anchors]
        for decoded, level in zip(rpn._decode_proposals(anchors, zeros), anchors, strict=True):
            assert decoded.shape == (2, len(level), 4)
            torch.testing.assert_close(decoded[1], level.tensor)


class TestLabels:
    def test_sample_is_limited_and_has_the_best_anchor(self):
        rpn = make_rpn()
        anchors = rpn.anchor_generator(list(inputs()[1].values()))
        labels, boxes = rpn.label_and_sample_anchors(anchors, OBJECTS)
        assert [len(x) for x in labels] == [90, 90]
        assert (labels[0] >= 0).sum() <= 16
        positive = labels[0] == 1
        assert positive.sum() >= 1
        assert (boxes[0][positive] == OBJECTS[0].gt_boxes.tensor).all()
        best = pairwise_iou(OBJECTS[0].gt_boxes, Boxes.cat(anchors)).max()
        chosen = pairwise_iou(OBJECTS[0].gt_boxes, Boxes.cat(anchors)[positive])
        assert (chosen == best).any()
        # An image without objects gives background only, with box targets of the right shape.
        assert (labels[1] == 1).sum() == 0
        assert (labels[1] == 0).sum() == 16
        assert boxes[1].shape == (90, 4)

    def test_anchors_over_the_border_may_be_left_out(self):
        rpn = make_rpn(anchor_boundary_thresh=0, batch_size_per_image=1000)
        anchors = rpn.anchor_generator(list(inputs()[1].values()))
        inside = Boxes.cat(anchors).inside_box(SIZE, 0)
        assert 0 < inside.sum() < len(inside)
        for label in rpn.label_and_sample_anchors(anchors, OBJECTS)[0]:
            assert (label[~inside] == -1).all()
            assert (label[inside] >= 0).any()


class TestLosses:
    def run(self, **kwargs) -> tuple[dict[str, torch.Tensor], EventStorage]:
        rpn = make_rpn(batch_size_per_image=1000, **kwargs).train()
        with EventStorage() as storage:
            _, losses = rpn(*inputs(), OBJECTS)
        sum(losses.values()).backward()
        assert all(p.grad is not None for p in rpn.parameters())
        return losses, storage

    def test_against_a_slow_computation(self):
        losses, storage = self.run()
        rpn = make_rpn(batch_size_per_image=1000)
        maps = list(inputs()[1].values())
        anchors = rpn.anchor_generator(maps)
        labels, boxes = rpn.label_and_sample_anchors(anchors, OBJECTS)
        logit_maps, delta_maps = rpn.rpn_head(maps)
        classification = localisation = 0.0
        for n in range(2):
            index = 0
            for logits, deltas, level in zip(logit_maps, delta_maps, anchors, strict=True):
                for position, anchor in enumerate(level.tensor):
                    row, rest = divmod(position, logits.shape[3] * 3)
                    column, a = divmod(rest, 3)
                    label = labels[n][index].item()
                    if label >= 0:
                        p = logits[n, a, row, column].sigmoid()
                        classification -= (p if label else 1 - p).log().item()
                    if label == 1:
                        target = rpn.box2box_transform.get_deltas(
                            anchor[None], boxes[n][index][None]
                        )[0]
                        predicted = deltas[n, 4 * a : 4 * a + 4, row, column]
                        localisation += (predicted - target).abs().sum().item()
                    index += 1
        assert losses["loss_rpn_cls"].item() == pytest.approx(classification / 2000, rel=1e-4)
        assert losses["loss_rpn_loc"].item() == pytest.approx(localisation / 2000, rel=1e-4)
        positives = sum((x == 1).sum().item() for x in labels)
        assert storage.latest()["rpn/num_pos_anchors"][0] == positives / 2
        assert storage.latest()["rpn/num_neg_anchors"][0] > 0

    @pytest.mark.parametrize("kind", ["giou", "diou", "ciou"])
    def test_iou_losses(self, kind):
        losses, _ = self.run(box_reg_loss_type=kind)
        assert 0 < losses["loss_rpn_loc"].item() < 1

    def test_weights(self):
        plain, _ = self.run()
        doubled, _ = self.run(loss_weight=2.0)
        chosen, _ = self.run(loss_weight={"loss_rpn_loc": 0.5})
        torch.testing.assert_close(doubled["loss_rpn_cls"], 2 * plain["loss_rpn_cls"])
        torch.testing.assert_close(chosen["loss_rpn_cls"], plain["loss_rpn_cls"])
        torch.testing.assert_close(chosen["loss_rpn_loc"], 0.5 * plain["loss_rpn_loc"])

    def test_only_empty_images(self):
        rpn = make_rpn().train()
        with EventStorage() as storage:
            _, losses = rpn(*inputs(), [truth([]), truth([])])
        assert losses["loss_rpn_loc"].item() == 0
        assert 0 < losses["loss_rpn_cls"].item() < 2
        sum(losses.values()).backward()
        assert storage.latest()["rpn/num_pos_anchors"][0] == 0

    def test_training_needs_ground_truth(self):
        with EventStorage(), pytest.raises((ValueError, AssertionError)):
            make_rpn().train()(*inputs())


def test_yaml_route():
    cfg = get_cfg()
    cfg.MODEL.RPN.IN_FEATURES = ["p4", "p5"]
    cfg.MODEL.RPN.CONV_DIMS = [8, 8]
    cfg.MODEL.RPN.LOSS_WEIGHT = 3.0
    cfg.MODEL.RPN.BBOX_REG_LOSS_WEIGHT = 2.0
    cfg.MODEL.RPN.POST_NMS_TOPK_TEST = 7
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32], [64]]
    shapes = {f"p{i}": ShapeSpec(channels=6, stride=2**i) for i in (3, 4, 5)}
    rpn = build_proposal_generator(cfg, shapes)
    assert type(rpn) is RPN
    assert rpn.rpn_head.conv.conv1.weight.shape == (8, 8, 3, 3)
    assert rpn.loss_weight == {"loss_rpn_cls": 3.0, "loss_rpn_loc": 6.0}
    assert rpn.post_nms_topk == {True: 2000, False: 7}
    assert len(rpn.eval()(*inputs(1))[0][0]) == 7
    cfg.MODEL.PROPOSAL_GENERATOR.NAME = "PrecomputedProposals"
    assert build_proposal_generator(cfg, shapes) is None
