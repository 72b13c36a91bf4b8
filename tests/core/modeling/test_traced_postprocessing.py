"""What a traced detector returns at the image's size, masks included, holds for any size."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.small_systems import image, small_model


class Whole(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, given: Tensor) -> tuple[Tensor, ...]:
        found = self.model([{"image": given}])[0]["instances"]
        return found.scores, found.pred_classes, found.pred_masks, found.pred_boxes.tensor


@pytest.mark.core_only(reason="upstream's trace is tested by upstream")
def test_boxes_and_pasted_masks_at_other_sizes() -> None:
    whole = Whole(small_model("gcnet mask")).eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(whole, (image("a"),), check_trace=False)
        for size in ((96, 128), (50, 61), (130, 97)):
            given = image("b", *size)
            expected = whole(given)
            assert expected[2].any()
            for one, other in zip(traced(given), expected, strict=True):
                assert one.shape == other.shape
                torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
