"""The whole model: what every detector here can do."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from detectron2.config import LazyConfig, instantiate
from detectron2.structures import Instances
from detectron2.utils.events import EventStorage
from projects_ext.condinst import Predictions, Selection
from projects_ext.condinst.inference import detect as detect_all
from tests.small_systems import CONFIGS, image, record

CLASSES = 3


def small_config(**options: Any) -> Any:
    """The config for the shapes data; every score passes."""
    model = LazyConfig.load(str(CONFIGS / "condinst" / "condinst_shapes.py")).model
    model.num_classes = options.pop("num_classes", CLASSES)
    model.selection.update(score_thresh=0.0, max_detections=20)
    model.update(options)
    return model


def small_model(**options: Any) -> nn.Module:
    """The same weights at every call."""
    torch.manual_seed(0)
    return instantiate(small_config(**options))


def semantic_model() -> nn.Module:
    """With the semantic branch."""
    config = LazyConfig.load(str(CONFIGS / "condinst" / "condinst_r50_fpn_ms_3x_sem.py")).model
    branch = config.semantic_branch
    branch.channels, branch.input_shape.stride = 64, 4
    return small_model(semantic_branch=branch)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return small_model().eval()


def losses(model: nn.Module, batch: list[dict[str, Any]]) -> dict[str, Tensor]:
    with EventStorage():
        return model(batch)


def detect(model: nn.Module, *images: Tensor, **size: int) -> list[Any]:
    with torch.no_grad():
        return [x["instances"] for x in model([{"image": x, **size} for x in images])]


def assert_same_detections(one: Any, other: Any, atol: float = 1e-3) -> None:
    assert len(one) == len(other) > 0
    assert torch.equal(one.pred_classes, other.pred_classes)
    torch.testing.assert_close(one.scores, other.scores, rtol=0, atol=1e-5)
    torch.testing.assert_close(one.pred_boxes.tensor, other.pred_boxes.tensor, rtol=0, atol=atol)
    assert (one.pred_masks != other.pred_masks).float().mean() < 1e-4


def large_objects() -> dict[str, Any]:
    """One for each level."""
    entry = record("large", 3, 256, 320)
    boxes = torch.tensor([[10.0, 10, 60, 70], [70, 60, 230, 200], [10, 5, 310, 250]])
    entry["instances"].gt_boxes.tensor[:] = boxes
    for mask, (x0, y0, x1, y1) in zip(
        entry["instances"].gt_masks.tensor, boxes.int().tolist(), strict=True
    ):
        mask[:] = False
        mask[y0:y1, x0:x1] = True
    return entry


@pytest.mark.parametrize("build", [small_model, semantic_model])
def test_every_trained_parameter_has_a_gradient(build: Any) -> None:
    model = build().train()
    # Boxes start around 0, where their gradient may end.
    torch.nn.init.ones_(model.head.bbox_pred.bias)
    found = losses(model, [record("a"), large_objects()])
    expected = {"loss_cls", "loss_box_reg", "loss_centerness", "loss_mask"}
    assert set(found) - expected == ({"loss_semantic"} if build is semantic_model else set())
    assert all(value.isfinite() and value > 0 for value in found.values())
    sum(found.values()).backward()
    parameters = {k: v for k, v in model.named_parameters() if v.requires_grad}
    assert parameters
    assert [k for k, v in parameters.items() if v.grad is None or not v.grad.any()] == []


@pytest.mark.parametrize("objects", [(0, 0), (0, 2)])
def test_images_without_objects_train(objects: tuple[int, int]) -> None:
    model = semantic_model().train()
    batch = [record(f"image {index}", count) for index, count in enumerate(objects)]
    # As the mapper leaves an image of which all annotations are crowds.
    batch[0]["instances"].remove("gt_masks")
    found = losses(model, batch)
    assert all(value.isfinite() for value in found.values())
    sum(found.values()).backward()
    # Zero, and not nothing: processes that have objects wait for these gradients.
    assert [k for k, v in model.named_parameters() if v.requires_grad and v.grad is None] == []


def test_one_class_and_instances_smaller_than_a_stride() -> None:
    model = small_model(num_classes=1).train()
    batch = [record("a", 3)]
    truth = batch[0]["instances"]
    truth.gt_classes[:] = 0
    truth.gt_boxes.tensor[0] = torch.tensor([41.0, 33, 43, 36])
    truth.gt_masks.tensor[0] = False
    truth.gt_masks.tensor[0, 33:36, 41:43] = True
    found = losses(model, batch)
    sum(found.values()).backward()
    assert all(value.isfinite() for value in found.values())
    assert all(x.grad.isfinite().all() for x in model.parameters() if x.grad is not None)
    assert set(detect(model.eval(), image("a"))[0].pred_classes.tolist()) == {0}


def test_an_image_does_not_depend_on_the_others_of_its_batch(model: nn.Module) -> None:
    images = [image("a"), image("b"), image("c")]
    for one, found in zip(images, detect(model, *images), strict=True):
        assert_same_detections(detect(model, one)[0], found)


@pytest.mark.parametrize("size", [(33, 257), (97, 65)])
def test_odd_sizes(model: nn.Module, size: tuple[int, int]) -> None:
    found = detect(model, image("odd", *size))[0]
    assert found.image_size == size
    assert found.pred_masks.shape == (len(found), *size)
    assert found.pred_masks.dtype == torch.bool
    boxes = found.pred_boxes.tensor
    assert len(boxes) > 0
    assert (boxes >= 0).all()
    assert (boxes <= torch.tensor([size[1], size[0]]).repeat(2)).all()


def test_output_of_another_size(model: nn.Module) -> None:
    small = detect(model, image("a"))[0]
    large = detect(model, image("a"), height=192, width=256)[0]
    assert large.pred_masks.shape == (len(small), 192, 256)
    torch.testing.assert_close(large.pred_boxes.tensor, small.pred_boxes.tensor * 2)
    assert (large.pred_masks[:, ::2, ::2] != small.pred_masks).float().mean() < 0.02
    assert small.pred_masks.any()
    assert set(large.get_fields()) == {"pred_boxes", "scores", "pred_classes", "pred_masks"}


def test_nothing_found(model: nn.Module) -> None:
    strict = small_config()
    strict.selection.score_thresh = 1.1
    found = detect(instantiate(strict).eval(), image("a"))[0]
    assert len(found) == 0
    assert found.pred_boxes.tensor.shape == (0, 4)
    assert found.pred_masks.shape == (0, 96, 128)


def test_scores_of_both_lineages(model: nn.Module) -> None:
    other = small_config()
    other.selection.score_exponent = 0.5
    root = instantiate(other).eval()
    root.load_state_dict(model.state_dict())
    plain, rooted = detect(model, image("a"))[0], detect(root, image("a"))[0]
    torch.testing.assert_close(rooted.scores, plain.scores.sqrt())
    assert torch.equal(rooted.pred_boxes.tensor, plain.pred_boxes.tensor)
    assert torch.equal(rooted.pred_masks, plain.pred_masks)


def chosen(centerness_first: bool, **options: Any) -> Instances:
    """Detections of a level of two cells, a box reaching out of the 16 x 32 image to the left."""
    logits = torch.tensor([[2.0, 1.0]]).view(1, 1, 1, 2)
    centerness = torch.tensor([[-3.0, 3.0]]).view(1, 1, 1, 2)
    # Around (8, 8) and (24, 8), in strides of 16: both reach from 20 to 28 within the image.
    distances = torch.tensor([[[[3.0, 1.0]], [[0.25, 0.25]], [[1.25, 0.25]], [[0.25, 0.25]]]])
    given = Predictions([logits], [distances], [centerness], [torch.zeros(1, 169, 1, 2)])
    selection = Selection(centerness_first=centerness_first, **options)
    return detect_all(given, [16], [(16, 32)], selection)[0]


def test_the_original_ranks_by_class_times_centerness() -> None:
    by_class = chosen(False, topk_candidates=1)
    by_product = chosen(True, topk_candidates=1)
    assert by_class.points.tolist() == [[8, 8]]
    assert by_product.points.tolist() == [[24, 8]]
    torch.testing.assert_close(
        by_product.scores, torch.tensor([1.0]).sigmoid() * torch.tensor([3.0]).sigmoid()
    )
    # 0.88 and 0.73 of the class; 0.04 and 0.70 of both.
    assert len(chosen(False, score_thresh=0.1, nms_thresh=1.0)) == 2
    assert len(chosen(True, score_thresh=0.1, nms_thresh=1.0)) == 1


def test_the_original_clips_boxes_after_the_nms() -> None:
    """The boxes (-40, 28) and (8, 28) are alike only within the image: 20 of 28 columns."""
    options: Any = {"nms_thresh": 0.6, "score_thresh": 0.0}
    assert len(chosen(False, **options)) == 1
    whole = chosen(True, **options)
    assert len(whole) == 2
    assert float(whole.pred_boxes.tensor.min()) >= 0


def test_autocast_trains_and_detects() -> None:
    model = semantic_model().train()
    with torch.autocast("cpu", torch.bfloat16):
        found = losses(model, [record("a"), record("b")])
        sum(found.values()).backward()
        assert all(value.isfinite() for value in found.values())
        instances = detect(model.eval(), image("a"))[0]
    assert all(value.dtype == torch.float32 for value in found.values())
    expected = losses(model.train(), [record("a"), record("b")])
    for name, value in expected.items():
        assert float(found[name].detach()) == pytest.approx(float(value.detach()), rel=0.1)
    assert len(instances) > 0
    assert instances.pred_boxes.tensor.isfinite().all()


def test_weights_load_into_another_model(model: nn.Module) -> None:
    other = small_model().eval()
    with torch.no_grad():
        for value in other.parameters():
            value.add_(0.01)
    other.load_state_dict(model.state_dict())
    assert_same_detections(detect(other, image("a"))[0], detect(model, image("a"))[0], atol=0)


@torch.no_grad()
def test_starts_as_the_reference_does() -> None:
    model = small_model()
    parts = "cls_subnet.0 bbox_subnet.3 cls_score bbox_pred ctrness controller"
    for name in parts.split():
        weight = model.head.get_submodule(name).weight
        assert float(weight.std()) == pytest.approx(0.01, rel=0.1)
    assert model.head.cls_score.bias.sigmoid().tolist() == pytest.approx([0.01] * CLASSES)
    weight = model.mask_branch.predictor.weight
    assert float(weight.abs().max()) == pytest.approx(0.866, rel=0.02)
    assert [float(x) for x in model.head.scales] == [1.0] * 4


def test_a_wrong_number_of_parameters_is_named() -> None:
    config = small_config()
    config.mask_head.channels = 4
    with pytest.raises(ValueError, match="predicts 169 parameters, but a mask head has"):
        instantiate(config)
