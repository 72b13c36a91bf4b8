"""The container of an image's objects."""

import copy
import pickle

import pytest
import torch

from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks


def three() -> Instances:
    corners = torch.arange(12.0).reshape(3, 4)
    masks = torch.eye(3, dtype=torch.bool)[:, None].expand(3, 2, 3)
    return Instances(
        (10, 20),
        boxes=Boxes(corners),
        scores=torch.tensor([0.1, 0.2, 0.3]),
        names=["a", "b", "c"],
        masks=BitMasks(masks),
    )


def test_fields_are_attributes():
    instances = Instances((10, 20))
    instances.classes = torch.tensor([4, 5])
    instances.set("names", ["x", "y"])
    assert instances.get("classes") is instances.classes
    assert instances.has("names")
    assert not instances.has("boxes")
    assert list(instances.get_fields()) == ["classes", "names"]
    instances.remove("names")
    assert not instances.has("names")
    assert instances.image_size == (10, 20)


def test_private_names_are_no_fields():
    instances = three()
    instances._note = "anything"
    assert instances._note == "anything"
    assert not instances.has("_note")


def test_unequal_lengths_are_refused():
    instances = three()
    with pytest.raises((AssertionError, ValueError), match="3"):
        instances.classes = torch.zeros(2)
    assert not instances.has("classes")


def test_a_missing_field_is_named():
    with pytest.raises(AttributeError, match="nowhere"):
        _ = three().nowhere
    with pytest.raises(KeyError, match="nowhere"):
        three().get("nowhere")


@pytest.mark.core_only(reason="upstream makes an invisible field of it")
def test_image_size_is_fixed():
    with pytest.raises(AttributeError, match="image_size"):
        Instances((1, 2)).image_size = (3, 4)


@pytest.mark.parametrize(("item", "name"), [(0, "a"), (1, "b"), (-1, "c"), (-3, "a")])
def test_int_gives_one_object(item, name):
    one = three()[item]
    assert len(one) == 1
    assert one.names == [name]
    assert one.boxes.tensor.shape == (1, 4)
    assert one.masks.tensor.shape == (1, 2, 3)


@pytest.mark.parametrize("item", [3, -4])
def test_int_out_of_range(item):
    with pytest.raises(IndexError):
        three()[item]


def test_slice():
    assert three()[1:].names == ["b", "c"]
    assert len(three()[:0]) == 0


@pytest.mark.parametrize("item", [torch.tensor([True, False, True]), torch.tensor([0, 2])])
def test_mask_and_index_tensor(item):
    instances = three()
    instances.remove("names")
    chosen = instances[item]
    assert torch.equal(chosen.scores, instances.scores[item])
    assert torch.equal(chosen.boxes.tensor, instances.boxes.tensor[item])
    assert chosen.image_size == (10, 20)


@pytest.mark.core_only(reason="upstream cannot select from lists")
def test_lists_are_selected_from_too():
    assert three()[torch.tensor([True, False, True])].names == ["a", "c"]
    assert three()[torch.tensor([2, 0])].names == ["c", "a"]
    with pytest.raises(IndexError):
        Instances((1, 1), names=["a"])[torch.tensor([True, False])]


def test_no_objects():
    none = Instances((10, 20), boxes=Boxes([]), scores=torch.zeros(0))
    assert len(none) == 0
    assert len(none[none.scores > 0.5]) == 0
    assert len(Instances.cat([none, none])) == 0
    with pytest.raises(IndexError):
        none[0]


def test_without_fields_there_is_no_length():
    with pytest.raises(NotImplementedError):
        len(Instances((1, 1)))


@pytest.mark.core_only(reason="upstream cannot print it")
def test_without_fields_there_is_a_text():
    assert "num_instances=0" in str(Instances((1, 1)))


def test_iteration_is_refused():
    with pytest.raises(NotImplementedError):
        iter(three())


def test_to_converts_what_it_can():
    moved = three().to("cpu")
    assert moved.names == ["a", "b", "c"]
    assert moved.to(torch.device("meta")).scores.device.type == "meta"


def test_cat_joins_each_kind_of_field():
    polygons = PolygonMasks([[[0, 0, 3, 0, 3, 3]]] * 3)
    instances = three()
    instances.polygons = polygons
    both = Instances.cat([instances, instances[:1]])
    assert len(both) == 4
    assert both.names == ["a", "b", "c", "a"]
    assert both.scores.shape == (4,)
    assert both.boxes.tensor.shape == (4, 4)
    assert both.masks.tensor.shape == (4, 2, 3)
    assert len(both.polygons) == 4
    assert Instances.cat([instances]) is instances


def test_cat_refuses_what_does_not_fit():
    small, large = Instances((1, 1), x=[1]), Instances((2, 2), x=[1])
    for bad in ([], [small, large], [small, 3]):
        with pytest.raises((AssertionError, ValueError, TypeError)):
            Instances.cat(bad)
    with pytest.raises(KeyError):
        Instances.cat([small, Instances((1, 1), y=[1])])
    with pytest.raises(ValueError, match="tuple"):
        Instances.cat([Instances((1, 1), x=(1,)), Instances((1, 1), x=(1,))])


def test_text_tells_the_fields():
    text = str(Instances((10, 20), scores=torch.ones(2)))
    assert text == (
        "Instances(num_instances=2, image_height=10, image_width=20, "
        "fields=[scores: tensor([1., 1.])])"
    )


def pickled(instances: Instances) -> Instances:
    return pickle.loads(pickle.dumps(instances))


@pytest.mark.parametrize("clone", [copy.deepcopy, copy.copy, pickled])
def test_copies(clone):
    other = clone(three())
    assert other.names == ["a", "b", "c"]
    assert other.image_size == (10, 20)
