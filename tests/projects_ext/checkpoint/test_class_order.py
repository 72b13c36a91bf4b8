"""The order of the classes in a file and in the model."""

from typing import Any

import pytest
import torch
from torch import nn

from detectron2.data import MetadataCatalog
from projects_ext.checkpoint import ClassLayer, KeyMap, class_names, load_weights
from projects_ext.checkpoint.class_order import other_names, reorder_classes
from tests.projects_ext.checkpoint.small_models import (
    assert_has_weights,
    openmmlab_weights,
    small_mask_rcnn,
    weights,
)


def openmmlab_file(model: nn.Module, *classes: str) -> dict[str, Any]:
    return {"meta": {"CLASSES": classes}, "state_dict": openmmlab_weights(model)}


def test_nothing_changes_where_they_agree(source: Any, model: Any) -> None:
    content = openmmlab_file(source, "cat", "Dog ", "bird")
    report = load_weights(model, content, classes=["cat", "dog", "bird"])
    assert len(report.notes) == 1
    assert_has_weights(model, weights(source))


def test_another_order_is_put_right(source: Any, model: Any) -> None:
    report = load_weights(
        model, openmmlab_file(source, "cat", "dog", "bird"), classes=["bird", "cat", "dog"]
    )
    assert report.notes[1] == "the file's 3 classes are put into the model's order"
    assert report.classes == ["bird", "cat", "dog"]
    theirs, own = source.roi_heads, model.roi_heads
    expected = theirs.box_predictor.cls_score.weight[[2, 0, 1, 3]]  # background stays the last
    assert torch.equal(own.box_predictor.cls_score.weight, expected)
    deltas = theirs.box_predictor.bbox_pred.bias.view(3, 4)[[2, 0, 1]].flatten()
    assert torch.equal(own.box_predictor.bbox_pred.bias, deltas)
    masks = theirs.mask_head.predictor.weight[[2, 0, 1]]
    assert torch.equal(own.mask_head.predictor.weight, masks)
    rest = {
        name: value
        for name, value in weights(source).items()
        if "predictor" not in name
    }  # fmt: skip
    assert_has_weights(model, rest)


def test_detections_are_the_same_under_other_numbers(source: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 256, (3, 64, 96), generator=generator, dtype=torch.uint8)
    other = small_mask_rcnn(seed=3)
    load_weights(other, openmmlab_file(source, "a", "b", "c"), classes=["c", "a", "b"])
    results = []
    with torch.no_grad():
        for model in (source, other):
            model.roi_heads.box_predictor.test_score_thresh = 0.0
            results.append(model([{"image": image}])[0]["instances"])
    first, second = results
    assert len(first) > 0
    number = {0: 1, 1: 2, 2: 0}
    assert [number[k] for k in first.pred_classes.tolist()] == second.pred_classes.tolist()
    torch.testing.assert_close(first.pred_boxes.tensor, second.pred_boxes.tensor)
    assert torch.equal(first.pred_masks, second.pred_masks)


def test_deltas_that_all_classes_share_stay() -> None:
    name = "roi_heads.box_predictor.0.bbox_pred.weight"
    matched = {name: torch.arange(8.0).view(4, 2)}
    reorder_classes(matched, (), ["a", "b", "c"], ["b", "a", "c"], "x")
    assert matched[name].flatten().tolist() == list(range(8))


def test_layers_of_a_system(source: Any, model: Any) -> None:
    key_map = KeyMap(class_layers=[ClassLayer(r"box_head\.fc2", per_class=8)])
    content = openmmlab_file(source, "a", "b", "c")
    load_weights(model, content, classes=["b", "a", "c"], key_maps=[key_map])
    expected = source.roi_heads.box_head.fc2.bias.view(3, 8)[[1, 0, 2]].flatten()
    assert torch.equal(model.roi_heads.box_head.fc2.bias, expected)


def test_some_of_the_same_in_other_places_are_refused(source: Any, model: Any) -> None:
    before = weights(model)
    content = openmmlab_file(source, "cat", "dog", "bird")
    with pytest.raises(ValueError, match=r"class 0 is 'dog' in the model's data set and 'cat' in"):
        load_weights(model, content, classes=["dog", "horse", "bird"])
    assert_has_weights(model, before)


def test_other_names_are_taken_for_the_same_classes(source: Any, model: Any) -> None:
    content = openmmlab_file(source, "cat", "dog", "bird")
    report = load_weights(model, content, classes=["cat", "hound", "bird"])
    assert report.doubts == report.notes[1:]
    assert report.doubts[0].startswith(
        "1 of 3 classes have other names in the file, such as class 1, 'dog' there and 'hound' in "
    )
    assert_has_weights(model, weights(source))


@pytest.mark.parametrize(
    ("theirs", "own"), [(None, ["a"]), (["a"], None), ([], []), (["a"], ["a", "b"])]
)
def test_nothing_to_compare(theirs: Any, own: Any) -> None:
    assert reorder_classes({}, (), theirs, own, "x") == ""
    assert other_names(theirs, own) == ""


def test_names_of_registered_data_sets() -> None:
    coco = class_names(["coco_2017_val"])
    assert coco is not None
    assert (len(coco), coco[0], coco[-1]) == (80, "person", "toothbrush")
    assert class_names(["coco_2017_val", "coco_2017_train"]) == coco
    assert class_names(["coco_2017_val", "cityscapes_fine_sem_seg_val"]) is None
    roads = class_names(["cityscapes_fine_sem_seg_val"])
    assert roads is not None
    assert roads[:2] == ["road", "sidewalk"]
    assert class_names([]) is None
    assert class_names(["made_up_for_this_test"]) is None
    MetadataCatalog.remove("made_up_for_this_test")
