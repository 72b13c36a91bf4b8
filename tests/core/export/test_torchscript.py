"""What TorchScript compiles, and traces of other sizes than the traced one."""

import torch

from detectron2.export.torchscript import patch_instances
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes, ImageList, Instances, pairwise_iou
from detectron2.utils.testing import (
    assert_instances_allclose,
    convert_scripted_instances,
    random_boxes,
    reload_script_model,
)


def test_boxes_are_scripted():
    def scripted(corners: torch.Tensor):
        boxes = Boxes(corners)
        boxes.clip((50, 60))
        kept = boxes[boxes.nonempty(1.0)]
        return pairwise_iou(boxes, kept), kept.cat([kept, boxes]).tensor, len(kept)

    corners = random_boxes(8)
    for given, expected in zip(torch.jit.script(scripted)(corners), scripted(corners), strict=True):
        assert torch.equal(torch.as_tensor(given), torch.as_tensor(expected))


def test_image_lists_are_scripted_and_traced():
    def scripted(images: list[torch.Tensor]) -> torch.Tensor:
        return ImageList.from_tensors(images, 16).tensor

    images = [torch.rand(3, 20, 30), torch.rand(3, 25, 11)]
    assert torch.equal(torch.jit.script(scripted)(images), scripted(images))
    traced = torch.jit.trace(scripted, (images,))
    others = [torch.rand(3, 50, 7), torch.rand(3, 12, 40)]
    assert torch.equal(traced(others), scripted(others))


def test_matchers_are_scripted():
    def scripted(quality: torch.Tensor):
        return Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True)(quality)

    quality = torch.rand(4, 30)
    for given, expected in zip(torch.jit.script(scripted)(quality), scripted(quality), strict=True):
        assert torch.equal(given, expected)


class _Best(torch.nn.Module):
    def forward(self, x: Instances) -> Instances:
        if not x.has("scores"):
            return x
        return x[x.scores > 0.5]


def test_instances_are_scripted_with_the_fields_that_are_named():
    boxes, scores = Boxes(random_boxes(6)), torch.rand(6)
    instances = Instances((80, 90), boxes=boxes, scores=scores)
    expected = _Best()(instances)
    with patch_instances({"boxes": Boxes, "scores": torch.Tensor}) as kind:
        module = reload_script_model(torch.jit.script(_Best()))
        answer = module(kind.from_instances(instances))
        assert_instances_allclose(convert_scripted_instances(answer), expected)
        assert len(answer) == len(expected)
    assert not hasattr(Instances, "__torch_script_class__")
    assert len(_Best()(instances)) == len(expected)


def test_numbers_of_instances_are_traced():
    def numbered(corners: torch.Tensor) -> torch.Tensor:
        instances = Instances((80, 90), boxes=Boxes(corners))
        return torch.arange(instances.__len__())

    traced = torch.jit.trace(numbered, random_boxes(5))
    assert traced(random_boxes(3)).tolist() == [0, 1, 2]


def test_poolers_are_traced_for_any_number_of_boxes():
    pooler = ROIPooler(5, (0.25, 0.125), 0, "ROIAlignV2")

    def pooled(fine: torch.Tensor, coarse: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        return pooler([fine, coarse], [Boxes(corners)])

    def maps(count: int) -> tuple[torch.Tensor, ...]:
        return torch.rand(1, 2, 32, 24), torch.rand(1, 2, 16, 12), random_boxes(count)

    traced = torch.jit.trace(pooled, maps(5))
    for count in (9, 1, 0):
        inputs = maps(count)
        torch.testing.assert_close(traced(*inputs), pooled(*inputs))
