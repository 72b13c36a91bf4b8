"""A part of ``python -m tests.mutations``, and whether that would notice what it looks for."""

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from projects_ext.errors import UserError
from tests.coco_trial import warnings_said
from tests.mutations import outcome
from tests.mutations.content import Action, Mutation, content, is_plausible, mutations
from tests.mutations.outcome import RIGHT, End, run, run_all

IN_THE_TESTS = 450
"""Of the mutations, each of both files, so that this takes less than ten seconds."""

PLAUSIBLE_BOX = Mutation(("annotations", 0, "bbox", 0), 13)


def test_mutated_files_end_as_they_should(tmp_path: Path) -> None:
    jobs = [(m, part) for m in mutations()[:IN_THE_TESTS] for part in ("train", "val")]
    outcomes = list(run_all(jobs, str(tmp_path)))
    assert [(o.mutation.name, o.part) for o in outcomes] == [(m.name, part) for m, part in jobs]
    assert [str(o) for o in outcomes if o.end not in RIGHT] == []
    counts = Counter(o.end for o in outcomes)
    assert counts[End.REFUSED] > IN_THE_TESTS
    assert min(counts[End.WARNED], counts[End.SAME], counts[End.PLAUSIBLE]) > 3


def test_there_are_enough_mutations_and_always_the_same() -> None:
    names = [mutation.name for mutation in mutations()]
    assert len(names) > 900
    assert names == [mutation.name for mutation in mutations()]
    assert len({str(m.path) for m in mutations()}) > 90


def test_the_file_itself_is_right(tmp_path: Path) -> None:
    right = outcome.baseline(str(tmp_path))
    assert sum(map(len, right.images.values())) == 4
    assert run(Mutation(("info",), {}), "val", str(tmp_path)).end is End.SAME
    metrics = right.metrics
    assert metrics["bbox/AP-cat"] == pytest.approx(100)
    assert metrics["bbox/AP-dog"] < 70
    assert all("iscrowd" in text for text in right.said)


@pytest.mark.parametrize("part", ["train", "val"])
def test_what_nobody_can_notice_is_in_the_table(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(PLAUSIBLE_BOX, part, str(tmp_path)).end is End.PLAUSIBLE
    monkeypatch.setattr(outcome, "is_plausible", lambda mutation: False)
    assert run(PLAUSIBLE_BOX, part, str(tmp_path)).end is End.SILENT


def test_run_lengths_are_never_plausible() -> None:
    for path in (("segmentation", "counts", 1), ("segmentation", "size", 0)):
        assert not is_plausible(Mutation(("annotations", 2, *path), 7))


def test_harmless_run_lengths_cover_no_more_than_the_image() -> None:
    counts = content()["annotations"][2]["segmentation"]["counts"]
    assert sum(counts) == 120 * 160
    for mutation in mutations():
        if "counts" in mutation.path and type(mutation.value) in (int, float):
            at = mutation.path[-1]
            assert 0 <= mutation.value < (counts[at] if isinstance(at, int) else 120 * 160)


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (ZeroDivisionError("x"), End.TRACEBACK),
        (UserError("names no file"), End.BAD_SENTENCE),
        (UserError("changed.json:\ntwo lines"), End.BAD_SENTENCE),
        (UserError("changed.json: wrong"), End.REFUSED_LATER),
    ],
)
def test_each_kind_of_error_is_told_from_the_others(
    error: Exception, end: End, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome.baseline(str(tmp_path))

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(outcome.trial, "training_images", fail)
    assert run(PLAUSIBLE_BOX, "train", str(tmp_path)).end is end


def test_crashes_and_hangs_end_only_their_own_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = {"crash": lambda: os._exit(7), "hang": lambda: time.sleep(60), "end": lambda: None}

    def end_in_its_way(mutation: Mutation, part: str, folder: str) -> outcome.Outcome:
        ways[mutation.value]()
        return outcome.Outcome(mutation, part, End.SAME)

    monkeypatch.setattr(outcome, "run", end_in_its_way)
    monkeypatch.setattr(outcome, "SECONDS", 1.0)
    jobs = [(Mutation((), way), "val") for way in ("end", "crash", "hang", "end")]
    ends = [o.end for o in run_all(jobs, str(tmp_path))]
    assert ends == [End.SAME, End.CRASH, End.HANG, End.SAME]


ACCEPTED_BEFORE = [
    (("annotations", 0, "bbox", 2), 10**30, "train", "far outside its image"),
    (("annotations", 0, "bbox", 0), -300, "val", "of which nothing is inside its image"),
    (("annotations", 0, "area"), 0.5, "val", "which its object cannot have: it is computed"),
    (("annotations",), [], "val", "no object to evaluate, so every metric will be nan"),
    (("images", 0, "file_name"), "img1.jpg", "val", "2 images have the file_name img1.jpg"),
    (("annotations", 0), Action.DUPLICATE, "val", "has an id that is not its own"),
]


@pytest.mark.parametrize(("path", "value", "part", "message"), ACCEPTED_BEFORE)
def test_found_by_mutations(
    path: tuple[str | int, ...], value: object, part: str, message: str, tmp_path: Path
) -> None:
    with warnings_said():
        found = run(Mutation(path, value), part, str(tmp_path))
    assert found.end in {End.REFUSED, End.WARNED}
    assert message in found.said
