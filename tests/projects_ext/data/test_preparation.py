"""Preparing a data set: once, checked, again after an interruption."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from projects_ext.data.labels import read_label_map
from projects_ext.data.preparation import Item, Part, prepare, prepare_item
from projects_ext.errors import UserError
from tests.conftest import ROOT
from tests.semantic_trees import ade20k_tree, blocks, write_image, write_png

CLASSES = ["a", "b", "c"]


def item(folder: Path, name: str = "x", values: tuple[int, ...] = (0, 1, 2, 255)) -> Item:
    write_image(folder / f"{name}.jpg", 0)
    write_png(folder / f"{name}.png", blocks(list(values), 0))
    return Item(folder / f"{name}.jpg", folder / f"{name}.png", folder / "made" / f"{name}.png")


def run(*items: Item, count: int | None = None) -> tuple[dict, list[str]]:
    """What was counted, and the problems."""
    file = items[0].image.parent / "problems.txt"
    part = Part("train", list(items), len(items) if count is None else count)
    try:
        counted = prepare([part], CLASSES, read_label_map, problems_file=file)
    except UserError:
        return {}, file.read_text().splitlines()
    assert not file.exists()
    return counted, []


def test_a_second_run_makes_nothing_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = item(tmp_path)
    counted, problems = run(one)
    assert problems == []
    assert "1 label maps, 1 of them made now" in capsys.readouterr().out
    written = one.target.stat().st_mtime_ns
    again, _ = run(one)
    output = capsys.readouterr().out
    assert "1 label maps, 0 of them made now" in output
    assert one.target.stat().st_mtime_ns == written
    assert np.array_equal(again["train"].pixels, counted["train"].pixels)
    pixels = int(counted["train"].pixels[1])
    line = next(line for line in output.splitlines() if line.split()[:2] == ["1", "b"])
    assert line.split()[2:4] == ["1", f"{pixels:,}"]
    assert list(one.target.parent.iterdir()) == [one.target]


@pytest.mark.parametrize("damage", ["truncated", "size", "values", "palette", "older"])
def test_a_label_map_that_is_not_good_is_made_again(damage: str, tmp_path: Path) -> None:
    one = item(tmp_path)
    run(one)
    good = read_label_map(one.target)
    if damage == "truncated":
        one.target.write_bytes(one.target.read_bytes()[:60])
    elif damage == "size":
        write_png(one.target, good[:-1])
    elif damage == "values":
        write_png(one.target, np.full_like(good, 3))
    elif damage == "palette":
        write_png(one.target, good, palette=True)
    else:
        write_png(one.target, np.zeros_like(good))
        os.utime(one.target, (1, 1))
    outcome = prepare_item(one, convert=read_label_map, num_classes=3)
    assert outcome.made
    assert np.array_equal(read_label_map(one.target), good)


def test_problems_are_told_file_by_file_and_the_rest_is_done(tmp_path: Path) -> None:
    good, absent, short, small, odd = (item(tmp_path, name) for name in "abcde")
    absent.image.unlink()
    short.image.write_bytes(short.image.read_bytes()[:-100])
    write_png(small.source, blocks([0, 1], 0, (40, 80)))
    write_png(odd.source, blocks([0, 3, 77], 0))
    _, problems = run(good, absent, short, small, odd, count=6)
    assert problems[0] == f"{absent.image}: missing"
    assert problems[1].startswith(f"{short.image}: damaged or another format (image file is trunc")
    assert problems[2] == f"{small.source}: 80 x 40 pixels, but {small.image} is 80 x 48 pixels"
    assert problems[3].startswith(f"{odd.source}: it gives the labels 3 (")
    assert problems[4:] == ["train: 1 good images, officially 6"]
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["a.png"]


def test_companions_have_to_be_readable(tmp_path: Path) -> None:
    one = item(tmp_path)
    beside = tmp_path / "beside.png"
    outcome = prepare_item(
        Item(one.image, one.source, one.target, (beside,)), convert=read_label_map, num_classes=3
    )
    assert outcome.problems == (f"{beside}: missing",)
    Image.new("I;16", (80, 47)).save(beside)
    outcome = prepare_item(
        Item(one.image, one.source, one.target, (beside,)), convert=read_label_map, num_classes=3
    )
    assert outcome.problems == (f"{beside}: 80 x 47 pixels, but {one.image} is 80 x 48 pixels",)


def test_the_program_itself_in_two_processes(tmp_path: Path) -> None:
    ade20k_tree(tmp_path)
    command = [sys.executable, "datasets/prepare_ade20k.py", "--workers", "2"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "DETECTRON2_DATASETS": str(tmp_path), "PYTHONPATH": path}
    started = time.time()
    done, refused = (
        subprocess.run(
            [*command, *more],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        for more in (["--any-count"], ["nothing.zip"])
    )
    assert done.returncode == 0, done.stderr
    assert "train: 3 label maps, 3 of them made now" in done.stdout
    assert "(ignored)" in done.stdout
    assert "image/s" in done.stderr
    made = list(tmp_path.rglob("annotations_detectron2/*/*.png"))
    assert len(made) == 5
    assert all(file.stat().st_mtime >= started - 1 for file in made)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert refused.stderr.splitlines()[-1] == "no archive at nothing.zip: correct its path"
