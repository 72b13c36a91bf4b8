"""From scores to label maps, counts and run lengths, compared with the obvious ways."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch

from projects_ext.evaluation.label_maps import confusion, encode_classes, label_map


@pytest.mark.parametrize("classes", [1, 3, 19, 300])
def test_label_map_is_argmax(classes: int) -> None:
    scores = torch.randn(classes, 7, 11)
    scores[:, 0] = 1  # equal scores: the first class
    found = label_map(scores)
    assert np.array_equal(found, scores.argmax(dim=0).numpy())
    assert found.dtype == (np.uint8 if classes <= 256 else np.int32)


def test_labels_stay_what_they_are() -> None:
    labels = torch.tensor([[0, 5], [255, 1]])
    assert label_map(labels).tolist() == labels.tolist()


def test_made_once_for_all_evaluators_and_again_after_a_change() -> None:
    scores = torch.zeros(2, 3, 4)
    first = label_map(scores)
    assert label_map(scores) is first
    scores[1] += 1
    assert label_map(scores).min() == 1
    assert label_map(scores.clone()) is not first


def test_confusion_of_every_pair() -> None:
    random = np.random.default_rng(0)
    for side in (3, 400):
        prediction, truth = random.integers(0, side, (2, 30, 20)).astype(np.int32)
        expected = np.zeros((side, side), dtype=int)
        np.add.at(expected, (prediction, truth), 1)
        assert np.array_equal(confusion(prediction, truth, side), expected)
        small = confusion(prediction.astype(np.uint8) % 3, truth.astype(np.uint8) % 3, 3)
        assert small.sum() == 600


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((1, 1)),
        np.full((5, 3), 7),
        np.arange(12).reshape(3, 4),
        np.random.default_rng(1).integers(0, 3, (40, 60)),
        np.tri(50, 30) + 1,
    ],
    ids=["pixel", "one class", "all differ", "noise", "triangle"],
)
def test_run_lengths_are_those_of_the_mask_library(labels: np.ndarray) -> None:
    labels = labels.astype(np.uint8)
    found = dict(encode_classes(labels))
    assert sorted(found) == np.unique(labels).tolist()
    for value, runs in found.items():
        expected = mask_util.encode(np.asfortranarray(labels == value, dtype=np.uint8))
        assert runs == {"size": expected["size"], "counts": expected["counts"].decode()}
