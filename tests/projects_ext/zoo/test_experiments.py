"""The table of published experiments: complete, with configs that say the same."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from detectron2.data import transforms as T
from projects_ext import zoo
from projects_ext.data.opencv_resize import OpenCVResizeShortestEdge
from projects_ext.errors import UserError

ROWS = zoo.experiments()
OPENMMLAB = [name for name, row in ROWS.items() if row.source.startswith("OpenMMLab")]


def test_every_table_is_complete() -> None:
    counts = {table.name: len(table.rows) for table in zoo.tables()}
    segmentation = [count for name, count in counts.items() if name.startswith("GCNet seg")]
    assert counts["GRoIE"] == 10
    assert counts["CARAFE"] == 4
    assert counts["CondInst"] + counts["CondInst, the original"] == 6
    assert counts["GCNet detection"] == 19
    assert counts["Grid R-CNN"] == 4
    assert sum(segmentation) == 16
    # Two rows of GRoIE's table are also in GCNet's.
    assert len(ROWS) == sum(counts.values()) - 2


@pytest.mark.parametrize("name", ROWS)
def test_config_says_what_the_table_says(name: str) -> None:
    documentation = ast.get_docstring(ast.parse(Path(zoo.config_file(name)).read_text()))
    said = re.findall(r"(?:box|mask) AP (\d+\.\d)|mIoU (\d+\.\d+)|flips (\d+\.\d+)", documentation)
    figures = {float(figure) for groups in said for figure in groups if figure}
    published = {value for value in ROWS[name].metrics.values() if value is not None}
    assert published <= figures
    if not published:
        assert "empty" in documentation


@pytest.mark.parametrize("name", OPENMMLAB)
def test_address_and_hash(name: str) -> None:
    row = ROWS[name]
    pattern = (
        r"https://download\.openmmlab\.com/mm\w+/v\d\.\d/\w+/([\w-]+)/[\w.-]+-([0-9a-f]{8})\.pth"
    )
    found = re.fullmatch(pattern, row.address)
    assert found
    assert row.hash_prefix == found[2]
    assert row.address.rpartition("/")[2].startswith(found[1])


def test_a_file_belongs_to_one_experiment() -> None:
    shared = Counter(row.address for row in ROWS.values() if row.address)
    several = [address for address, count in shared.items() if count > 1]
    # CARAFE with more proposals at test time.
    assert all("/carafe/" in address and shared[address] == 2 for address in several)
    assert len(several) == 2


def test_what_was_never_published_is_no_number() -> None:
    empty = [name for name, row in ROWS.items() if None in row.metrics.values()]
    assert sorted(empty) == [
        "carafe/faster_rcnn_r50_fpn_carafe_2000_proposals_1x",
        "carafe/mask_rcnn_r50_fpn_carafe_2000_proposals_1x",
        "groie/grid_rcnn_r50_fpn_gn_groie_1x",
    ]


def test_speeds_and_memory() -> None:
    row = ROWS["groie/mask_rcnn_r50_fpn_1x"]
    assert row.images_per_second == pytest.approx(16.1, abs=0.01)
    assert (row.memory_gb, row.hardware) == (4.4, "V100")
    assert ROWS["groie/mask_rcnn_r50_fpn_groie_1x"].images_per_second is None


@pytest.mark.parametrize("name", ROWS)
def test_images_are_resized_as_in_the_training_of_the_weights(name: str) -> None:
    (resize,) = zoo.get_config(name).dataloader.test.mapper.augmentations
    expected = OpenCVResizeShortestEdge if name in OPENMMLAB else T.ResizeShortestEdge
    assert resize["_target_"] is expected


def test_names_may_be_short() -> None:
    full = "groie/mask_rcnn_r50_fpn_groie_1x"
    for name in (full, f"{full}.py", f"configs/{full}.py", "mask_rcnn_r50_fpn_groie_1x"):
        assert zoo.find(name).name == full
        assert zoo.config_file(name).endswith(f"configs/{full}.py")


def test_unknown_names_bring_the_nearest_ones() -> None:
    with pytest.raises(UserError, match="mask_rcnn_r50_fpn_groie_2x': did you mean .*groie_1x"):
        zoo.find("groie/mask_rcnn_r50_fpn_groie_2x")
    with pytest.raises(UserError, match="no config 'zzz': .* lists the published ones"):
        zoo.get_config("zzz")


def test_configs_without_a_publication_have_names_too() -> None:
    names = zoo.config_names()
    assert "quickstart/mask_rcnn_shapes" in names
    assert not [name for name in names if name.startswith("common")]
    assert zoo.get_config("quickstart/mask_rcnn_shapes").train.max_iter == 700
