"""The catalogs: registration, metadata that is set once, errors that help."""

import pickle

import pytest

from detectron2.data import DatasetCatalog, MetadataCatalog


def test_dataset_is_loaded_by_its_function(catalogs):
    DatasetCatalog.register("toy", lambda: [{"file_name": "a"}])
    assert "toy" in DatasetCatalog.list()
    assert DatasetCatalog.get("toy") == [{"file_name": "a"}]
    DatasetCatalog.remove("toy")
    assert "toy" not in DatasetCatalog.list()


def test_a_name_can_be_registered_once(catalogs):
    DatasetCatalog.register("toy", list)
    with pytest.raises(AssertionError, match="toy.*already registered"):
        DatasetCatalog.register("toy", list)
    with pytest.raises(AssertionError, match="function"):
        DatasetCatalog.register("toy2", [])


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(KeyError, match=r"'coco_2017_trian' is not registered.*coco_2017_train"):
        DatasetCatalog.get("coco_2017_trian")


@pytest.mark.core_only(reason="upstream suggests no name")
def test_unknown_name_suggests_a_similar_one():
    with pytest.raises(KeyError, match="Did you mean 'coco_2017_train'"):
        DatasetCatalog.get("coco_2017_trian")


def test_metadata_is_set_once(catalogs):
    meta = MetadataCatalog.get("toy")
    assert meta.set(thing_classes=["a", "b"]) is meta
    assert MetadataCatalog.get("toy") is meta
    meta.thing_classes = ["a", "b"]  # the same value is allowed
    with pytest.raises(AssertionError, match="thing_classes.*toy"):
        meta.thing_classes = ["a"]
    assert meta.get("no_such_thing") is None
    assert meta.get("no_such_thing", 3) == 3
    assert meta.as_dict() == {"name": "toy", "thing_classes": ["a", "b"]}
    meta.as_dict()["more"] = 1
    assert not hasattr(meta, "more")


def test_missing_metadata_says_what_there_is(catalogs):
    with pytest.raises(AttributeError, match=r"'colors'.*'toy'.*empty"):
        _ = MetadataCatalog.get("toy").colors
    MetadataCatalog.get("toy").evaluator_type = "coco"
    with pytest.raises(AttributeError, match=r"'colors'.*evaluator_type"):
        _ = MetadataCatalog.get("toy").colors


def test_metadata_can_be_pickled(catalogs):
    meta = MetadataCatalog.get("toy").set(thing_classes=["a"])
    assert pickle.loads(pickle.dumps(meta)) == meta
