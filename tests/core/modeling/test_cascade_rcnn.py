from typing import Any

import pytest
import torch

from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import (
    CascadeROIHeads,
    FastRCNNConvFCHead,
    FastRCNNOutputLayers,
    MaskRCNNConvUpsampleHead,
)
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import EventStorage
from tests.core.modeling.rcnn_models import ground_truth, sample, tiny_rcnn

SIZE = (64, 96)
OBJECTS = [[4.0, 6.0, 44.0, 46.0], [50.0, 10.0, 90.0, 60.0]]


@pytest.fixture
def heads() -> CascadeROIHeads:
    return tiny_rcnn(cascade=True).roi_heads


def features(count: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = {f"p{i}": (SIZE[0] // 2**i, SIZE[1] // 2**i) for i in range(2, 6)}
    return {k: torch.randn(count, 8, *size, generator=generator) for k, size in sizes.items()}


def proposals(boxes: list[list[float]] = OBJECTS) -> Instances:
    tensor = torch.tensor(boxes).reshape(-1, 4)
    return Instances(SIZE, proposal_boxes=Boxes(tensor), objectness_logits=torch.zeros(len(tensor)))


def test_state_names(heads):
    names = set(heads.state_dict())
    for stage in range(3):
        assert f"box_head.{stage}.fc1.weight" in names
        assert f"box_predictor.{stage}.cls_score.weight" in names
    assert heads.num_cascade_stages == 3


def test_later_stages_are_labelled_at_their_own_iou(heads):
    # IoU with the first object: 1, about 0.65 and about 0.55.
    x0, y0, x1, _ = OBJECTS[0]
    boxes = [OBJECTS[0], [x0, y0, x1, y0 + 26.0], [x0, y0, x1, y0 + 22.0]]
    truth = ground_truth(*SIZE, OBJECTS)
    for stage, expected in ((0, [0, 0, 0]), (1, [0, 0, 3]), (2, [0, 3, 3])):
        with EventStorage() as storage:
            (labelled,) = heads._match_and_label_boxes([proposals(boxes)], stage, [truth])
        assert labelled.gt_classes.tolist() == expected
        assert labelled.gt_boxes.tensor.tolist() == [OBJECTS[0]] * 3
        latest = storage.latest()
        assert latest[f"stage{stage}/roi_head/num_fg_samples"][0] == expected.count(0)
        assert latest[f"stage{stage}/roi_head/num_bg_samples"][0] == expected.count(3)
    with EventStorage():
        (empty,) = heads._match_and_label_boxes([proposals(boxes)], 1, [ground_truth(*SIZE, [])])
    assert empty.gt_classes.tolist() == [3, 3, 3]
    assert empty.gt_boxes.tensor.shape == (3, 4)


def test_training_drops_empty_boxes_and_testing_keeps_them(heads):
    boxes = [torch.tensor([[5.0, 5.0, 120.0, 30.0], [100.0, 5.0, 120.0, 30.0]], requires_grad=True)]
    (kept,) = heads.eval()._create_proposals_from_boxes(boxes, [SIZE])
    assert kept.proposal_boxes.tensor.tolist() == [[5.0, 5.0, 96.0, 30.0], [96.0, 5.0, 96.0, 30.0]]
    assert not kept.proposal_boxes.tensor.requires_grad
    (fewer,) = heads.train()._create_proposals_from_boxes(boxes, [SIZE])
    assert len(fewer) == 1


@torch.no_grad()
def test_scores_are_the_mean_of_the_stages_and_boxes_of_the_last(heads):
    heads.eval()
    for predictor in heads.box_predictor:
        predictor.test_score_thresh, predictor.test_nms_thresh = 0.0, 1.0
    maps, given = list(features().values()), [proposals()]
    scores = []
    for stage, predictor in enumerate(heads.box_predictor):
        predictions = heads._run_stage(maps, given, stage)
        scores.append(predictor.predict_probs(predictions, given)[0])
        boxes = predictor.predict_boxes(predictions, given)
        given = heads._create_proposals_from_boxes(boxes, [SIZE])
    mean = sum(scores) / 3
    (found,) = heads._forward_box(features(), [proposals()])
    assert len(found) == 2 * 3
    expected = mean[:, :3].flatten().sort(descending=True).values
    torch.testing.assert_close(found.scores, expected)
    best = mean[:, :3].max(dim=1).values.argmax()
    torch.testing.assert_close(
        found.pred_boxes.tensor[0], given[0].proposal_boxes.tensor[best], rtol=0, atol=1e-4
    )


def test_gradient_to_the_features_is_shared_by_the_stages(heads):
    heads.train()
    maps = [x.requires_grad_() for x in features().values()]
    heads._run_stage(maps, [proposals()], 1)[0].sum().backward()
    plain = [x.detach().requires_grad_() for x in maps]
    regions = heads.box_pooler(plain, [proposals().proposal_boxes])
    heads.box_predictor[1](heads.box_head[1](regions))[0].sum().backward()
    assert plain[0].grad.abs().max() > 0
    torch.testing.assert_close(maps[0].grad, plain[0].grad / 3)


def test_losses_and_statistics_carry_the_stage(heads):
    images = ImageList(torch.zeros(1, 3, *SIZE), [SIZE])
    torch.manual_seed(0)
    with EventStorage() as storage:
        sampled, losses = heads.train()(
            images, features(), [proposals()], [ground_truth(*SIZE, OBJECTS)]
        )
    assert set(losses) == {
        "loss_cls_stage0", "loss_box_reg_stage0", "loss_cls_stage1", "loss_box_reg_stage1",
        "loss_cls_stage2", "loss_box_reg_stage2", "loss_mask",
    }  # fmt: skip
    assert len(sampled) == 1
    names = set(storage.latest())
    for stage in range(3):
        assert f"stage{stage}/fast_rcnn/cls_accuracy" in names
    assert {"roi_head/num_fg_samples", "stage1/roi_head/num_fg_samples"} <= names


@torch.no_grad()
def test_whole_model_in_a_batch():
    model = tiny_rcnn(cascade=True).eval()
    requests = [sample(i, *SIZE) for i in range(2)]
    together = model(requests)
    for request, output in zip(requests, together, strict=True):
        alone = model([request])[0]["instances"]
        assert len(alone) == len(output["instances"]) > 0
        torch.testing.assert_close(alone.scores, output["instances"].scores, rtol=0, atol=1e-5)


def test_lazy_config():
    def pooler(side: int) -> Any:
        return L(ROIPooler)(
            output_size=side, scales=(1 / 4, 1 / 8, 1 / 16, 1 / 32), sampling_ratio=0,
            pooler_type="ROIAlignV2",
        )  # fmt: skip

    cfg = L(CascadeROIHeads)(
        num_classes=3,
        batch_size_per_image=8,
        positive_fraction=0.25,
        box_in_features=["p2", "p3", "p4", "p5"],
        box_pooler=pooler(7),
        box_heads=[
            L(FastRCNNConvFCHead)(
                input_shape=ShapeSpec(channels=8, height=7, width=7), conv_dims=[4], fc_dims=[16]
            )
            for _ in range(2)
        ],
        box_predictors=[
            L(FastRCNNOutputLayers)(
                input_shape=ShapeSpec(channels=16), num_classes="${...num_classes}",
                box2box_transform=L(Box2BoxTransform)(weights=(10, 10, 5, 5)),
                cls_agnostic_bbox_reg=True, loss_weight={"loss_cls": 0.0},
            )
            for _ in range(2)
        ],
        proposal_matchers=[L(Matcher)(thresholds=[t], labels=[0, 1]) for t in (0.5, 0.6)],
        mask_in_features=["p2", "p3", "p4", "p5"],
        mask_pooler=pooler(14),
        mask_head=L(MaskRCNNConvUpsampleHead)(
            input_shape=ShapeSpec(channels=8, height=14, width=14), num_classes="${..num_classes}",
            conv_dims=[8, 8],
        ),
    )  # fmt: skip
    heads = instantiate(cfg).train()
    images = ImageList(torch.zeros(1, 3, *SIZE), [SIZE])
    with EventStorage():
        _, losses = heads(images, features(), [proposals()], [ground_truth(*SIZE, OBJECTS)])
    assert losses["loss_cls_stage1"].item() == 0
    assert losses["loss_box_reg_stage1"].item() > 0
    assert losses["loss_mask"].item() > 0


def test_arguments_must_fit(heads):
    parts = {
        "box_in_features": ["p2"],
        "box_pooler": heads.box_pooler,
        "num_classes": 3,
        "batch_size_per_image": 8,
        "positive_fraction": 0.25,
        "proposal_matchers": heads.proposal_matchers,
    }
    both = {"box_heads": list(heads.box_head), "box_predictors": list(heads.box_predictor)}
    with pytest.raises((ValueError, AssertionError)):
        CascadeROIHeads(**parts, **both, proposal_matcher=heads.proposal_matchers[0])
    with pytest.raises((ValueError, AssertionError)):
        CascadeROIHeads(**parts, **{**both, "box_heads": both["box_heads"][:2]})
