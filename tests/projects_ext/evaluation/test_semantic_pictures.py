"""Overlays of the worst and the best images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from projects_ext.evaluation import SemanticPictures
from projects_ext.evaluation.panels import overlay
from projects_ext.evaluation.semantic_pictures import image_score

from .conftest import CLASSES, logits, semantic_records, spoiled

SHARES = (0.5, 0.0, 1.0, 0.25)  # best to worst: 1, 3, 0, 2


def draw(evaluator: SemanticPictures, records: list, indices: range = range(4)) -> list[str]:
    evaluator.reset()
    for index in indices:
        scores = logits(spoiled(records[index]["labels"], SHARES[index]))
        evaluator.process([records[index]], [{"sem_seg": scores}])
    assert evaluator.evaluate() == {}
    return sorted(path.name for path in evaluator.folder.iterdir())


def test_worst_and_best_are_drawn(tmp_path: Path, register: Callable[..., str]) -> None:
    records = semantic_records(tmp_path)
    name = register(records)
    evaluator = SemanticPictures(name, str(tmp_path), count=1)
    assert draw(evaluator, records) == ["best_01_1.png", "worst_01_2.png"]
    more = SemanticPictures(name, str(tmp_path), count=2)
    expected = ["best_01_1.png", "best_02_3.png", "worst_01_2.png", "worst_02_0.png"]
    assert draw(more, records) == expected
    # Fewer images than places: nobody is both.
    few = SemanticPictures(name, str(tmp_path), count=3)
    assert draw(few, records) == [
        "best_01_1.png",
        "worst_01_2.png",
        "worst_02_0.png",
        "worst_03_3.png",
    ]


def test_a_picture_has_three_parts_in_the_colours_of_the_classes(
    tmp_path: Path, register: Callable[..., str]
) -> None:
    records = semantic_records(tmp_path)
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    name = register(records, stuff_colors=colours)
    evaluator = SemanticPictures(name, str(tmp_path), count=1, opacity=1.0)
    draw(evaluator, records)
    picture = np.array(Image.open(evaluator.folder / "best_01_1.png"))
    width, height = 320, 192  # enlarged four times
    assert picture.shape == (height + 2 * 20, 3 * width + 2 * 8, 3)
    labels = records[1]["labels"]
    for row, column in ((12, 12), (20, 44), (36, 68)):  # in the middle of blocks
        y, x = 20 + 4 * row, 4 * column
        expected = (*colours, (0, 0, 0))[min(labels[row, column], 3)]
        assert tuple(picture[y, 328 + x]) == expected
        if labels[row, column] != 255:
            assert tuple(picture[y, 656 + x]) == expected


def test_images_of_which_all_is_ignored_have_no_score(
    tmp_path: Path, register: Callable[..., str]
) -> None:
    records = semantic_records(tmp_path, 1)
    Image.fromarray(np.full((48, 80), 255, dtype=np.uint8)).save(records[0]["sem_seg_file_name"])
    evaluator = SemanticPictures(register(records), str(tmp_path), count=2)
    assert draw(evaluator, records, range(1)) == []


def test_nothing_is_drawn_with_count_zero(tmp_path: Path, register: Callable[..., str]) -> None:
    evaluator = SemanticPictures(register([]), str(tmp_path), count=0)
    evaluator.reset()
    evaluator.process([{"file_name": "x.jpg"}], [{}])
    assert evaluator.evaluate() == {}
    assert list(tmp_path.iterdir()) == []


def test_score_of_an_image() -> None:
    truth = np.array([[0, 0, 1, 1], [255, 255, 2, 2]])
    prediction = np.array([[0, 1, 1, 1], [5, 5, 5, 2]])
    # 1 of 2, 2 of 3, 1 of 2; the 5 beyond the ground truth's classes is a miss, no class.
    assert image_score(prediction, truth) == pytest.approx(100 * (1 / 2 + 2 / 3 + 1 / 2) / 3)
    assert image_score(prediction, np.full((2, 4), 255)) is None


def test_overlay_mixes_colours_with_the_image() -> None:
    image = np.full((1, 2, 3), 100, dtype=np.uint8)
    colours = np.array([[200, 0, 0]], dtype=np.uint8)
    mixed = overlay(image, np.array([[0, 255]]), colours, 0.5)
    assert mixed.tolist() == [[[150, 50, 50], [50, 50, 50]]]


def _work(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    records = semantic_records(Path(folder) / str(rank))
    for record in records:  # both processes know the files by the same names
        for key in ("file_name", "sem_seg_file_name"):
            record[key] = record[key].replace(f"{folder}/{rank}/", f"{folder}/0/")
    DatasetCatalog.register("test_pictures", lambda: records)
    MetadataCatalog.get("test_pictures").set(stuff_classes=CLASSES)
    torch.distributed.barrier()
    draw(SemanticPictures("test_pictures", folder, count=1), records, range(rank, 4, 2))
    torch.distributed.destroy_process_group()


def test_two_processes_draw_as_one(tmp_path: Path) -> None:
    torch.multiprocessing.start_processes(
        _work, args=(str(tmp_path),), nprocs=2, start_method="fork"
    )
    written = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert written == ["best_01_1.png", "worst_01_2.png"]
