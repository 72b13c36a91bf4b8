"""Which files the words of the command line stand for, and what their outputs are called."""

from pathlib import Path

import pytest
from PIL import Image

from projects_ext.errors import MissingFileError, UserError
from projects_ext.prediction.inputs import find_inputs
from projects_ext.prediction.pictures import picture_paths, require_no_input


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images and a video in nested folders, with the same names in two of them."""
    for name in ("a/x.jpg", "a/b/x.jpg", "a/y.PNG", "c/x.jpg", "a/.hidden/z.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3)).save(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "a" / "clip.mp4").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*words: str, **more: object) -> dict[str, str]:
    return {x.source: x.name for x in find_inputs(words, **more)}  # type: ignore[arg-type]


def test_folders_with_what_is_in_them(tree: Path) -> None:
    found = find_inputs(["a"])
    assert {(x.kind, x.source, x.name) for x in found} == {
        ("image", "a/b/x.jpg", "b/x"),
        ("image", "a/x.jpg", "x"),
        ("image", "a/y.PNG", "y"),
        ("video", "a/clip.mp4", "clip"),
    }


def test_patterns_files_and_cameras(tree: Path) -> None:
    assert names("a/*.jpg", "c/x.jpg", "camera:2") == {
        "a/x.jpg": "a/x", "c/x.jpg": "c/x", "2": "camera_2"
    }  # fmt: skip
    assert names("a/**/*.jpg") == {"a/x.jpg": "x", "a/b/x.jpg": "b/x"}
    assert [x.kind for x in find_inputs([], videos=["a/notes.txt"], cameras=[0, 0])] == [
        "video", "camera"
    ]  # fmt: skip


def test_a_file_whose_name_looks_like_a_pattern(tree: Path) -> None:
    Image.new("RGB", (4, 3)).save("a/[1].png")
    assert names("a/[1].png") == {"a/[1].png": "[1]"}


def test_the_same_name_from_different_folders_or_kinds(tree: Path) -> None:
    assert names("a", "c") == {
        "a/b/x.jpg": "a/b/x", "a/x.jpg": "a/x", "a/y.PNG": "a/y", "a/clip.mp4": "a/clip",
        "c/x.jpg": "c/x",
    }  # fmt: skip
    Image.new("RGB", (4, 3)).save("c/x.png")
    assert names("c") == {"c/x.jpg": "x.jpg", "c/x.png": "x.png"}
    assert names("c", "c/x.png", "c/*.jpg") == names("c")


def test_outputs_in_a_searched_folder_are_no_inputs(tree: Path) -> None:
    output = tree / "a" / "predictions"
    output.mkdir()
    Image.new("RGB", (4, 3)).save(output / "x.jpg")
    assert "a/predictions/x.jpg" in names("a")
    assert names("a", output=output).keys() == names("a").keys() - {"a/predictions/x.jpg"}
    assert names("a/predictions", output=output)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("nowhere.jpg", "no file or folder nowhere.jpg"),
        ("a/*.gif", "no image or video matches"),
        ("empty", "no image or video in the folder"),
        ("camera:front", "camera:0"),
    ],
)
def test_what_is_not_there(tree: Path, word: str, sentence: str) -> None:
    (tree / "empty").mkdir()
    with pytest.raises((MissingFileError, UserError), match=sentence):
        find_inputs([word])


def test_all_that_is_not_there_is_named(tree: Path) -> None:
    (tree / "empty").mkdir()
    words = ["n0.jpg", "a/x.jpg", "*.gif", *(f"n{index}.jpg" for index in range(1, 8)), "empty"]
    with pytest.raises(MissingFileError) as error:
        find_inputs(words, videos=["none.mp4", "a/clip.mp4"])
    assert str(error.value) == (
        "there is no file or folder n0.jpg, n1.jpg, n2.jpg, n3.jpg, n4.jpg and 4 more; no image or "
        "video matches *.gif; there is no image or video in the folder empty: correct these"
    )


def test_paths_of_the_outputs(tree: Path) -> None:
    inputs = find_inputs(["a"], cameras=[0])
    paths = picture_paths(inputs, Path("out"))
    assert {str(path) for path in paths.values()} == {
        "out/x.jpg", "out/b/x.jpg", "out/y.png", "out/clip.mp4", "out/camera_0.mp4"
    }  # fmt: skip
    image, video = find_inputs(["c/x.jpg"]), find_inputs(["a/clip.mp4"])
    assert picture_paths(image, Path("new.png")) == {"x": Path("new.png")}
    assert picture_paths(video, Path("new.mp4")) == {"clip": Path("new.mp4")}


@pytest.mark.parametrize(
    ("words", "output", "sentence"),
    [
        (["a"], "a", "overwrite the input a/"),
        (["c/x.jpg"], "c", "overwrite the input c/x.jpg"),
        (["c/x.jpg"], "c/x.jpg", "overwrite the input"),
        (["a/clip.mp4"], "a/clip.mp4", "overwrite the input"),
        (["a"], "all.png", "one file, but there are 4 inputs"),
        (["c/x.jpg"], "x.mp4", "for the annotated image a file that ends in .jpeg or .jpg or .png"),
        (["c/x.jpg"], "x.bmp", "x.bmp: give a folder, or for"),
        (["c/x.jpg"], "x.csv", "x.csv: give a folder, or for"),
        (["a/clip.mp4"], "x.png", "for the annotated video a file that ends in .mp4"),
        (["a/clip.mp4"], "x.avi", "x.avi: give a folder, or for"),
    ],
)
def test_outputs_that_cannot_be(tree: Path, words: list[str], output: str, sentence: str) -> None:
    inputs = find_inputs(words)
    with pytest.raises(UserError, match=sentence):
        require_no_input(picture_paths(inputs, Path(output)).values(), inputs)
