"""Scaling of detections and semantic logits to the output image."""

import pytest
import torch
import torch.nn.functional as F

from detectron2.modeling import detector_postprocess
from detectron2.modeling.postprocessing import sem_seg_postprocess
from detectron2.structures import Boxes, Instances, ROIMasks


def detections():
    results = Instances((50, 100))
    results.pred_boxes = Boxes(
        torch.tensor([[10.0, 10, 30, 30], [120, 5, 130, 9], [90, 40, 110, 60]])
    )
    results.scores = torch.tensor([0.9, 0.8, 0.7])
    return results


def test_boxes_are_scaled_clipped_and_empty_ones_dropped():
    output = detector_postprocess(detections(), 150, 200)
    assert output.image_size == (150, 200)
    assert output.pred_boxes.tensor.tolist() == [[20, 30, 60, 90], [180, 120, 200, 150]]
    assert output.scores.tolist() == pytest.approx([0.9, 0.7])


def test_proposals():
    results = Instances((50, 100), proposal_boxes=Boxes(torch.tensor([[10.0, 10, 30, 30]])))
    output = detector_postprocess(results, 25, 50)
    assert output.proposal_boxes.tensor.tolist() == [[5, 5, 15, 15]]


@pytest.mark.parametrize("as_roi_masks", [False, True])
def test_masks_are_pasted(as_roi_masks):
    results = detections()
    probabilities = torch.zeros(3, 1, 4, 4)
    probabilities[:, :, :, :2] = 1.0  # the left half
    results.pred_masks = ROIMasks(probabilities[:, 0]) if as_roi_masks else probabilities
    output = detector_postprocess(results, 100, 200)
    assert output.pred_masks.shape == (2, 100, 200)
    assert output.pred_masks.dtype == torch.bool
    # The left half of the box at (20, 20, 60, 60), give or take the border.
    mask = output.pred_masks[0]
    assert mask[22:58, 22:37].all()
    mask[19:61, 19:43] = False
    assert not mask.any()


def test_mask_threshold():
    results = detections()[:1]
    results.pred_masks = torch.full((1, 1, 4, 4), 0.6)
    assert detector_postprocess(results, 50, 100, mask_threshold=0.5).pred_masks.any()
    assert not detector_postprocess(results, 50, 100, mask_threshold=0.7).pred_masks.any()


def test_no_detections():
    results = detections()[:0]
    results.pred_masks = torch.zeros(0, 1, 28, 28)
    output = detector_postprocess(results, 70, 80)
    assert len(output) == 0
    assert output.pred_masks.shape == (0, 70, 80)


@pytest.mark.core_only(reason="upstream scales the given boxes in place")
def test_the_given_detections_stay_as_they_are():
    results = detections()
    detector_postprocess(results, 150, 200)
    assert torch.equal(results.pred_boxes.tensor, detections().pred_boxes.tensor)
    assert results.image_size == (50, 100)
    with pytest.raises(ValueError, match="neither pred_boxes nor proposal_boxes"):
        detector_postprocess(Instances((5, 5), scores=torch.ones(1)), 5, 5)


def test_semantic_logits():
    logits = torch.randn(3, 32, 64, generator=torch.Generator().manual_seed(0))
    same = sem_seg_postprocess(logits, (30, 60), 30, 60)
    torch.testing.assert_close(same, logits[:, :30, :60])
    resized = sem_seg_postprocess(logits, (30, 60), 45, 77)
    expected = F.interpolate(
        logits[None, :, :30, :60], size=(45, 77), mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(resized, expected[0])
