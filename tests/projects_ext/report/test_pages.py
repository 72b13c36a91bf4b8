"""The pages: valid HTML with nothing from the network, everything escaped, of bounded size."""

import base64
import re
from pathlib import Path
from typing import Any

import html5lib
import numpy as np
import pytest
from PIL import Image

from projects_ext.errors import UserError
from projects_ext.report.command import main
from projects_ext.report.comparison import (
    better_and_worse,
    changed_keys,
    class_differences,
    metric_differences,
    require_same_truth,
)
from projects_ext.report.evaluation import evaluate
from projects_ext.report.gallery import EMBEDDED, Thumbnails
from projects_ext.report.page import number, plural, signed
from projects_ext.report.run import parsed_config, read_run
from projects_ext.report.training import run_facts

from .scenes import CLASSES, random_scene, scene, write_scene

BOX = (10.0, 10.0, 20.0, 20.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two results with masks on the same ground truth, and the pages about them."""
    folder = tmp_path_factory.mktemp("scene")
    objects, detections = random_scene(0)
    write_scene(folder, objects, [(*one[:3], 0.9) for one in objects], masks=True)
    (folder / "results.json").rename(folder / "better.json")
    write_scene(folder, objects, detections, masks=True)
    truth = ["--truth", str(folder / "truth.json"), "--images", str(folder / "images")]
    main([str(folder / "results.json"), *truth])
    main([str(folder / "results.json"), str(folder / "better.json"), *truth])
    return folder


@pytest.fixture(params=["report", "comparison"])
def page(request: pytest.FixtureRequest, folder: Path) -> str:
    return (folder / f"{request.param}.html").read_text()


def parsed(page: str) -> Any:
    """The document; a mistake in the HTML is an error."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)


def test_a_page_is_valid_html_with_ids_that_are_unique(page: str) -> None:
    found = [one.get("id") for one in parsed(page).iter() if one.get("id")]
    assert len(found) > 30
    assert len(found) == len(set(found))
    targets = {one.get("href")[1:] for one in parsed(page).iter("a")}
    assert targets <= set(found)


def test_nothing_comes_from_the_network(page: str) -> None:
    for one in parsed(page).iter():
        for key in ("src", "href", "data", "action", "poster"):
            value = one.get(key, "")
            assert value.startswith(("data:image/", "#")) or not value, value[:80]
        assert one.tag not in ("link", "iframe", "object", "embed")
    assert not re.search(r"url\((?!#)|@import|https?://", page)
    assert "default-src 'none'" in page


def test_names_are_escaped_and_shown(page: str) -> None:
    text = "".join(parsed(page).itertext())
    for name in CLASSES:
        assert name in text
    assert "0 <&' #.png" in text
    assert "cat <b>" not in page


def test_the_page_says_what_is_worst_and_why(folder: Path) -> None:
    text = "".join(parsed((folder / "report.html").read_text()).itertext())
    worst = re.search(r"The worst class is (.+?), with an AP of [\d.]+", text)
    assert worst
    assert worst.group(1) in CLASSES
    assert "Its most frequent error:" in text
    assert "costs most" in text


def test_pages_are_small_without_their_images(page: str) -> None:
    assert len(re.sub(r"data:image/[^\"]*", "", page)) < 1_000_000


def test_the_better_run_is_said_to_be_better(folder: Path) -> None:
    text = "".join(parsed((folder / "comparison.html").read_text()).itertext())
    assert "better is better than results" in text
    assert "more than chance" in text


def test_images_of_large_pages_lie_beside_them(tmp_path: Path) -> None:
    *_, images = write_scene(tmp_path, [(0, 0, BOX)], [(0, 1, BOX, 0.9)])
    picture = Image.open(images / "0 <&' #.png")
    within = Thumbnails(tmp_path / "a #.html", EMBEDDED).add(picture)
    assert base64.b64decode(within.partition(",")[2]).startswith(b"\xff\xd8")
    assert not (tmp_path / "a #_images").exists()
    beside = Thumbnails(tmp_path / "a #.html", EMBEDDED + 1)
    assert beside.add(picture) == "a%20%23_images/00001.jpg"
    assert beside.add(picture, lossless=True) == "a%20%23_images/00002.png"
    assert Image.open(tmp_path / "a #_images" / "00002.png").size == (100, 100)


def test_an_image_that_is_missing_is_said(tmp_path: Path) -> None:
    results, truth, images = write_scene(tmp_path, [(0, 0, BOX)], [(0, 1, BOX, 0.9)])
    (images / "0 <&' #.png").unlink()
    main([str(results), "--truth", str(truth), "--images", str(images)])
    text = "".join(parsed((tmp_path / "report.html").read_text()).itertext())
    assert "1 image could not be read and is shown in grey, such as 0 <&' #.png." in text


@pytest.mark.parametrize("detections", [[], [(0, 0, BOX, 0.9)]])
def test_nothing_found_and_nothing_wrong_have_a_page(tmp_path: Path, detections: list[Any]) -> None:
    results, truth, images = write_scene(tmp_path, [(0, 0, BOX)], detections)
    main([str(results), "--truth", str(truth), "--images", str(images)])
    text = "".join(parsed((tmp_path / "report.html").read_text()).itertext())
    assert ("There are no detections at all." in text) == (not detections)
    assert "nan" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.json"], "nowhere.json"),
        (["nowhere.json", "--truth", "truth.json"], "nowhere.json"),
        (["results.json"], "--truth"),
        (["."], "config.yaml"),
        (["results.json", "--truth", "results.json"], "results.json is not in COCO format"),
        (["results.json"] * 3, "at most two"),
        (["results.json", "--output", "x.pdf"], "x.pdf"),
        (["results.json", "--output", "nowhere/x.html"], "nowhere"),
        (["results.json", "--gallery", "-1"], "--gallery -1"),
        (["results.json", "--truth", "truth.json", "--images", "nowhere"], "--images nowhere"),
        (["sem_seg_report.json", "--truth", "truth.json"], "--truth and --images do not apply"),
    ],
)
def test_wrong_words_end_in_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    write_scene(tmp_path, [(0, 0, BOX)], [])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert said in lines[0]


def test_the_same_results_do_not_differ(tmp_path: Path) -> None:
    results = scene(tmp_path, *random_scene(1))
    pair = evaluate(results, "bbox"), evaluate(results, "bbox")
    for one in (*metric_differences(*pair), *class_differences(*pair)):
        assert not one.is_sure
        assert one.change == 0 or one.change != one.change


def test_one_better_class_is_found(tmp_path: Path) -> None:
    objects = [(k, label, BOX) for k in range(20) for label in (0, 1)]
    far = (70.0, 70.0, 20.0, 20.0)
    before = [(k, label, far if label or k % 2 else BOX, 0.9) for k, label, _ in objects]
    after = [(k, label, BOX if label else box, 0.9) for (k, label, box, _) in before]
    first, second = (evaluate(scene(tmp_path, objects, x), "bbox") for x in (before, after))
    cat, dog, other = class_differences(first, second)
    assert (cat.change, cat.is_sure) == (0, False)
    assert (dog.first, dog.second, dog.is_sure) == (0, 100, True)
    assert other.change != other.change
    assert metric_differences(first, second)[0].is_sure


def test_runs_on_different_data_are_not_compared(tmp_path: Path) -> None:
    first = scene(tmp_path, [(0, 0, BOX)], [])
    require_same_truth(first, scene(tmp_path, [(0, 0, BOX)], [(0, 0, BOX, 0.5)]))
    for objects, what in (([(0, 1, BOX)], "objects"), ([(0, 0, BOX), (1, 0, BOX)], "images")):
        with pytest.raises(UserError, match=f"different {what}"):
            require_same_truth(first, scene(tmp_path, objects, []))


def test_keys_that_differ_are_listed() -> None:
    first, second = "a: {b: 1, c: [1, 2]}\nd: x", "a: {b: 2, c: [1, 2]}\ne: {}"
    assert changed_keys(first, second) == [("a.b", "1", "2"), ("d", "x", ""), ("e", "", "{}")]


def test_images_that_changed_most_come_first() -> None:
    better, worse = better_and_worse(np.array([5, 1, 1, 3]), np.array([0, 1, 4, 2]), 9)
    assert (better.tolist(), worse.tolist()) == ([0, 3], [2])


def test_numbers_are_written_for_readers() -> None:
    assert [number(x) for x in (1234.56, -0.04, -2.0, None, float("nan"))] == [
        "1,234.6", "0.0", "−2.0", "–", "–",
    ]  # fmt: skip
    assert [signed(x) for x in (2.0, -0.04, 0.04, -2.0)] == ["+2.0", "0.0", "0.0", "−2.0"]
    assert [plural(1, "image"), plural(2000, "image")] == ["1 image", "2,000 images"]


def test_a_saved_config_is_read_without_running_it() -> None:
    text = "train: {max_iter: 7}\nblock: !!python/name:os.getcwd ''\nsides: !!python/tuple [1, 2]\n"
    assert parsed_config(text) == {
        "train": {"max_iter": 7}, "block": "os.getcwd", "sides": [1, 2],
    }  # fmt: skip
    assert parsed_config("a: !!python/object/apply:os.getcwd []") == {}
    assert parsed_config("[") == parsed_config("- 1") == {}


def test_a_history_is_read_as_far_as_it_is_whole(tmp_path: Path) -> None:
    lines = ['{"iteration": 3, "total_loss": 2.0}', '{"iteration": 1, "total_loss": 4.0}']
    lines += ['{"iteration": 3, "total_loss": 1.0, "note": "x"}', "[]", '{"iteration": 5, "tot']
    (tmp_path / "metrics.json").write_text("\n".join(lines))
    (tmp_path / "config.yaml").write_text("train: {max_iter: 5}")
    run = read_run(tmp_path)
    iterations, values = run.history["total_loss"]
    assert (iterations.tolist(), values.tolist()) == ([1, 3], [4.0, 1.0])
    assert set(run.history) == {"total_loss"}
    assert dict(run_facts(run)) == {"Output folder": str(tmp_path), "Iterations": "5"}
    (tmp_path / "evaluation.json").write_text("{")
    with pytest.raises(UserError, match=r"evaluation\.json is not valid json"):
        read_run(tmp_path)
