"""Nothing of the validation part has been trained on."""

from pathlib import Path

import pytest

from projects_ext.data.own.split import group_names, shared_files, split_off
from projects_ext.errors import UserError


def write(folder: Path, contents: dict[str, str]) -> list[str]:
    for name, content in contents.items():
        (folder / name).write_text(content)
    return [str(folder / name) for name in contents]


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("clip_frame_0001.jpg", "clip_frame_0900.jpg", True),
        ("clip_f12.jpg", "clip_f13.jpg", True),
        ("frame_12.jpg", "frame13.jpg", True),
        ("clip.mp4_12.jpg", "clip.mp4-13.jpg", True),
        ("scene_x0_y512.png", "scene_x512_y0.png", True),
        ("scene_0_0_640_640.png", "scene_512_0_1152_640.png", True),
        ("scene_tile_1_2.png", "scene_tile_3.png", True),
        ("scene_row1_col2.png", "scene_row2_col1.png", True),
        ("cat_jpg.rf.0123abcd.jpg", "cat_jpg.rf.fedc9876.jpg", True),
        ("a_frame_1.jpg", "b_frame_1.jpg", False),
        ("IMG_0001.jpg", "IMG_0002.jpg", False),
        ("IMG_20260501_120000.jpg", "IMG_20260501_120001.jpg", False),
        ("000000000030.jpg", "000000000071.jpg", False),
        ("leaf1.jpg", "leaf2.jpg", False),
    ],
)
def test_names_that_belong_together(first: str, second: str, together: bool) -> None:
    one, other = group_names([first, second])
    assert (one == other) is together


def test_folders_are_part_of_the_name() -> None:
    one, other = group_names(["a/frame_1.jpg", "b/frame_2.jpg"])
    assert one != other


def test_expression_of_the_user() -> None:
    files = ["p1-left.jpg", "p1-right.jpg", "p2-left.jpg"]
    assert group_names(files, r"(p\d+)-") == ["p1", "p1", "p2"]
    with pytest.raises(UserError, match="no regular expression"):
        group_names(files, "(")


def test_equal_files_and_frames_stay_together(tmp_path: Path) -> None:
    contents = {f"photo{index}.jpg": f"same {index % 20}" for index in range(40)}
    contents |= {f"v{index // 5}_frame_{index}.jpg": str(index) for index in range(40)}
    files = write(tmp_path, contents)
    for seed in range(5):
        out = split_off(files, 0.2, seed)
        assert 0.1 * len(files) <= sum(out) <= 0.2 * len(files)
        sides: dict[str, set[bool]] = {}
        for file, is_out in zip(files, out, strict=True):
            name = Path(file).stem
            key = name.split("_")[0] if "frame" in name else contents[Path(file).name]
            sides.setdefault(key, set()).add(is_out)
        assert all(len(side) == 1 for side in sides.values())


def test_seed_decides_and_new_images_move_few(tmp_path: Path) -> None:
    files = write(tmp_path, {f"photo{index}.jpg": str(index) for index in range(100)})
    first, again, other = (
        split_off(files, 0.2, 0),
        split_off(files, 0.2, 0),
        split_off(files, 0.2, 1),
    )
    assert first == again != other
    assert sum(first) == 20
    more = files + write(tmp_path, {f"new{index}.jpg": f"n{index}" for index in range(5)})
    grown = split_off(more, 0.2, 0)
    moved = [a != b for a, b in zip(first, grown, strict=False)]
    assert sum(moved) <= 5


def test_one_image_each_where_there_are_two(tmp_path: Path) -> None:
    files = write(tmp_path, {"a.jpg": "a", "b.jpg": "b"})
    assert sorted(split_off(files, 0.01, 0)) == [False, True]
    assert sorted(split_off(files, 0.99, 0)) == [False, True]


def test_impossible_splits_are_refused(tmp_path: Path) -> None:
    files = write(tmp_path, {"a.jpg": "same", "b.jpg": "same"})
    with pytest.raises(UserError, match="all belong together"):
        split_off(files, 0.2, 0)
    with pytest.raises(UserError, match="data.val_fraction is 1.5"):
        split_off(files, 1.5, 0)


def test_files_of_both_parts_are_found(tmp_path: Path) -> None:
    files = write(tmp_path, {"a.jpg": "same", "b.jpg": "other", "c.jpg": "same", "d.jpg": "d"})
    a, b, c, d = files
    assert shared_files([a, b], [c, d]) == [(a, c)]
    assert shared_files([a, b], [d]) == []
    assert shared_files([a], [a]) == [(a, a)]
