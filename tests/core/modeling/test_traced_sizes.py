"""A traced detector serves images of any size, as upstream's does."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from detectron2.structures import ImageList
from tests.small_systems import image, small_model


class Wrapped(nn.Module):
    """Tensors in and out, which tracing needs."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        (found,) = self.model.inference([{"image": pixels}], do_postprocess=False)
        return found.scores, found.pred_classes, found.pred_masks, found.pred_boxes.tensor


def traced(module: nn.Module, *example: Any) -> Any:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return torch.jit.trace(module.eval(), example, check_trace=False)


@pytest.mark.parametrize("size", [(96, 128), (50, 61), (130, 97), (32, 20)])
@pytest.mark.parametrize("multiple", [0, 32])
def test_a_traced_batch_is_padded_at_any_size(size: tuple[int, int], multiple: int) -> None:
    class Batch(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return ImageList.from_tensors([pixels], multiple, pad_value=3.0).tensor

    program, given = traced(Batch(), image("a").float()), image("b", *size).float()
    assert torch.equal(program(given), Batch()(given))


@pytest.mark.core_only(reason="upstream's mask head keeps the traced number of boxes")
def test_a_traced_detector_finds_the_same_at_any_size() -> None:
    model = small_model("gcnet mask")
    predictor = model.roi_heads.box_predictor
    predictor.test_topk_per_image = 100
    wrapped = Wrapped(model).eval()
    # Such a threshold that the number of detections differs from image to image.
    with torch.no_grad():
        predictor.test_score_thresh = float(wrapped(image("a"))[0].median())
    program = traced(wrapped, image("a"))
    counts = set()
    for size in ((96, 128), (50, 61), (130, 97), (32, 20)):
        given = image("b", *size)
        with torch.no_grad():
            expected, found = wrapped(given), program(given)
        counts.add(len(expected[0]))
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    assert len(counts) > 1
