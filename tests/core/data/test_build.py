"""Data loaders, and what they do with registered data sets."""

import itertools
import logging
import pickle

import numpy as np
import pytest
from torch.utils.data import Dataset, IterableDataset

from detectron2.config import get_cfg
from detectron2.data import (
    DatasetCatalog,
    DatasetMapper,
    MetadataCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
    load_proposals_into_dataset,
    print_instances_class_histogram,
)
from detectron2.data.samplers import TrainingSampler
from detectron2.structures import BoxMode


def record(image_id, categories=(0,), crowd=0, width=40, height=30):
    annotations = [{"category_id": c, "iscrowd": crowd, "bbox": [0, 0, 5, 5]} for c in categories]
    size = {"width": width, "height": height}
    return {"file_name": "a", "image_id": image_id, "annotations": annotations, **size}


@pytest.fixture
def toy(catalogs):
    """Four images: one object, a crowd, nothing, two objects."""
    dicts = [record(1), record(2, crowd=1), record(3, ()), record(4, (0, 1))]
    DatasetCatalog.register("toy", lambda: dicts)
    MetadataCatalog.get("toy").thing_classes = ["fig", "nut"]
    return dicts


def ids(dicts):
    return [d["image_id"] for d in dicts]


def test_images_without_objects_are_filtered(toy):
    assert ids(get_detection_dataset_dicts("toy")) == [1, 4]
    assert ids(get_detection_dataset_dicts(["toy"], filter_empty=False)) == [1, 2, 3, 4]


def test_data_sets_are_joined(toy):
    DatasetCatalog.register("more", lambda: [record(9)])
    MetadataCatalog.get("more").thing_classes = ["fig", "nut"]
    assert ids(get_detection_dataset_dicts(["toy", "more"])) == [1, 4, 9]


def test_data_sets_have_to_agree_in_their_classes(toy):
    DatasetCatalog.register("other", lambda: [record(9)])
    MetadataCatalog.get("other").thing_classes = ["nut", "fig"]
    with pytest.raises(ValueError, match="thing_classes"):
        get_detection_dataset_dicts(["toy", "other"])
    assert len(get_detection_dataset_dicts(["toy", "other"], check_consistency=False)) == 3


def test_empty_and_unknown_data_sets_are_explained(catalogs):
    DatasetCatalog.register("nothing", list)
    with pytest.raises(AssertionError, match="'nothing' is empty"):
        get_detection_dataset_dicts("nothing")
    with pytest.raises(KeyError, match="unheard"):
        get_detection_dataset_dicts("unheard")
    DatasetCatalog.register("crowds", lambda: [record(1, crowd=1)])
    with pytest.raises(AssertionError, match="No valid data found in crowds"):
        get_detection_dataset_dicts("crowds")


@pytest.mark.core_only(reason="upstream asserts without a message; it covers keypoints")
def test_wrong_calls_are_explained(toy):
    with pytest.raises(ValueError, match=r"DATASETS\.TRAIN"):
        get_detection_dataset_dicts([])
    with pytest.raises(NotImplementedError, match="keypoints"):
        get_detection_dataset_dicts("toy", min_keypoints=1)


def test_histogram_counts_objects_without_crowds(toy, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("detectron2"), "propagate", True)
    with caplog.at_level(logging.INFO, logger="detectron2"):
        print_instances_class_histogram(toy, ["date", "nut"])
    cells = [cell.strip() for cell in caplog.text.replace("\n", "|").split("|")]
    assert cells[cells.index("date") + 1] == "2"
    assert cells[cells.index("nut") + 1] == "1"
    assert cells[cells.index("total") + 1] == "3"


def test_invalid_categories_are_explained(toy):
    with pytest.raises(AssertionError, match="category_id=1 for a dataset of 1 classes"):
        print_instances_class_histogram(toy, ["fig"])


@pytest.mark.core_only(reason="upstream's table has one width")
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_histogram_fits_the_terminal(monkeypatch, columns):
    from detectron2.data.dataset_dicts import _histogram_table

    monkeypatch.setenv("COLUMNS", str(columns))
    names = [f"a long name of class {i}" for i in range(80)]
    lines = _histogram_table(names, [10**6] * 80).splitlines()
    assert max(map(len, lines)) <= columns
    assert len(lines) - 2 == -(-81 // min(3, columns // 36 or 1))


def test_proposals_are_sorted_by_score(tmp_path):
    boxes = np.arange(12.0).reshape(3, 4)
    content = {"ids": [7], "boxes": [boxes], "scores": [np.array([0.1, 0.9, 0.5])]}
    content["bbox_mode"] = BoxMode.XYXY_ABS
    path = tmp_path / "proposals.pkl"
    path.write_bytes(pickle.dumps(content))
    (loaded,) = load_proposals_into_dataset([record(7)], str(path))
    np.testing.assert_allclose(loaded["proposal_objectness_logits"], [0.9, 0.5, 0.1])
    np.testing.assert_allclose(loaded["proposal_boxes"], boxes[[1, 2, 0]])


def sizes(count):
    return [record(i, width=40 if i % 3 else 20) for i in range(count)]


@pytest.mark.parametrize("grouping", [True, False])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_train_loader(grouping, num_workers):
    loader = build_detection_train_loader(
        sizes(10), mapper=lambda d: {**d, "mapped": True}, sampler=TrainingSampler(10, seed=3),
        total_batch_size=2, aspect_ratio_grouping=grouping, num_workers=num_workers,
    )  # fmt: skip
    batches = list(itertools.islice(iter(loader), 15))
    assert all(len(batch) == 2 and batch[0]["mapped"] for batch in batches)
    if grouping:
        assert all(a["width"] == b["width"] for a, b in batches)
    else:
        stream = list(itertools.islice(iter(TrainingSampler(10, seed=3)), 30))
        assert [d["image_id"] for batch in batches for d in batch] == stream


def test_train_loader_passes_options_on():
    loader = build_detection_train_loader(
        sizes(6), mapper=None, total_batch_size=3, aspect_ratio_grouping=False,
        collate_fn=lambda batch: sum(d["image_id"] for d in batch), pin_memory=False,
        drop_last=True, sampler=TrainingSampler(6, shuffle=False), prefetch_factor=4,
    )  # fmt: skip
    assert list(itertools.islice(iter(loader), 3)) == [3, 12, 3]
    grouped = build_detection_train_loader(
        sizes(6), mapper=None, total_batch_size=2, collate_fn=len,
        sampler=TrainingSampler(6, shuffle=False),
    )  # fmt: skip
    assert next(iter(grouped)) == 2


def random_number(record):
    return {**record, "random": np.random.rand()}


def test_workers_have_random_numbers_of_their_own():
    def first_numbers():
        loader = build_detection_train_loader(
            sizes(8), mapper=random_number, sampler=TrainingSampler(8, shuffle=False),
            total_batch_size=2, aspect_ratio_grouping=False, num_workers=2, seed=5,
        )  # fmt: skip
        batches = itertools.islice(iter(loader), 4)
        return [d["random"] for batch in batches for d in batch]

    numbers = first_numbers()
    assert len(set(numbers)) == 8
    assert numbers == first_numbers()


def test_iterable_data_set_brings_its_order():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(sizes(4))

    loader = build_detection_train_loader(Stream(), mapper=random_number, total_batch_size=2,
                                          aspect_ratio_grouping=False)  # fmt: skip
    assert [ids(batch) for batch in loader] == [[0, 1], [2, 3]]


def test_registered_data_set_object(catalogs):
    class Objects(Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return record(index)

    DatasetCatalog.register("objects", Objects)
    dataset = get_detection_dataset_dicts("objects")
    loader = build_detection_test_loader(dataset, mapper=random_number)
    assert [batch[0]["image_id"] for batch in loader] == [0, 1, 2]


@pytest.mark.parametrize("total", [0, 3])
def test_batch_size_is_a_multiple_of_the_processes(monkeypatch, total):
    monkeypatch.setattr("detectron2.data.build.get_world_size", lambda: 2)
    with pytest.raises(AssertionError, match=rf"\({total}\).*\(2\)"):
        build_detection_train_loader(sizes(4), mapper=None, total_batch_size=total)


def test_batch_is_shared_by_the_processes(monkeypatch):
    monkeypatch.setattr("detectron2.data.build.get_world_size", lambda: 2)
    loader = build_detection_train_loader(sizes(4), mapper=None, total_batch_size=6)
    assert len(next(iter(loader))) == 3


@pytest.mark.parametrize(("batch_size", "num_workers"), [(1, 0), (2, 0), (2, 2)])
def test_test_loader_sees_everything_once(batch_size, num_workers):
    loader = build_detection_test_loader(
        sizes(5), mapper=random_number, batch_size=batch_size, num_workers=num_workers
    )
    batches = [ids(batch) for batch in loader]
    assert list(itertools.chain(*batches)) == list(range(5))
    assert len(loader) == len(batches)


def toy_cfg():
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = ("toy",)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH = 2
    return cfg


def test_loaders_from_config(toy):
    loader = build_detection_train_loader(toy_cfg(), mapper=random_number)
    seen = {d["image_id"] for batch in itertools.islice(iter(loader), 4) for d in batch}
    assert seen == {1, 4}
    test_loader = build_detection_test_loader(toy_cfg(), "toy", mapper=random_number)
    assert [batch[0]["image_id"] for batch in test_loader] == [1, 2, 3, 4]


def test_config_chooses_the_sampler(toy):
    cfg = toy_cfg()
    cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    cfg.DATALOADER.REPEAT_THRESHOLD = 1.0
    loader = build_detection_train_loader(cfg, mapper=random_number)
    seen = [d["image_id"] for batch in itertools.islice(iter(loader), 60) for d in batch]
    # Class 1 is in half of the images: the one that has it is repeated sqrt(2) times.
    assert seen.count(4) / seen.count(1) == pytest.approx(2**0.5, rel=0.2)
    cfg.DATALOADER.SAMPLER_TRAIN = "NoSuchSampler"
    with pytest.raises(ValueError, match="NoSuchSampler"):
        build_detection_train_loader(cfg, mapper=random_number)


def test_config_makes_the_mapper(toy, monkeypatch):
    monkeypatch.setattr(DatasetMapper, "__call__", lambda self, d: {**d, "train": self.is_train})
    batch = next(iter(build_detection_train_loader(toy_cfg())))
    assert all(d["train"] for d in batch)
    assert not next(iter(build_detection_test_loader(toy_cfg(), "toy")))[0]["train"]
