"""How runs on changed files end."""

import itertools
import json
import multiprocessing
import os
import re
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from projects_ext.errors import UserError
from tests import coco_trial as trial
from tests.coco_trial import Found, Images

from .content import IMAGES, Mutation, content, is_plausible, rectangle

SECONDS = 30.0
"""After which a run counts as hanging; it takes less than a tenth of a second."""

LONGEST_SENTENCE = 900


RIGHT_FILE, CHANGED = "right.json", "changed.json"


class End(Enum):
    """What came of a run; the first five are right."""

    REFUSED = "refused before training, in one sentence"
    REFUSED_LATER = "refused when the image was read, in one sentence"
    WARNED = "accepted with a warning"
    SAME = "accepted, the results are the same"
    PLAUSIBLE = "accepted, the results differ; the value may be meant"
    SILENT = "accepted without a word, the results differ"
    BAD_SENTENCE = "refused, but not in one sentence that names the file"
    TRACEBACK = "a traceback"
    CRASH = "the process died"
    HANG = f"no end within {SECONDS:.0f} s"


RIGHT = frozenset({End.REFUSED, End.REFUSED_LATER, End.WARNED, End.SAME, End.PLAUSIBLE})


@dataclass(frozen=True)
class Outcome:
    """One run's end.

    Attributes:
        mutation: what was changed.
        part: "train" or "val": which of the two files was changed.
        end: how it ended.
        said: the sentence, the warnings, the traceback or what differs.
    """

    mutation: Mutation
    part: str
    end: End
    said: str = ""

    def __str__(self) -> str:
        return f"{self.part}: {self.mutation.name}: {self.end.value}: {self.said}"


@dataclass(frozen=True)
class Baseline:
    """What the unchanged file gives.

    Attributes:
        pair: its json file and image folder.
        images: the objects that are trained on.
        answers: a model's; the dogs are not quite in place, and one answer lies in the crowd.
        metrics: of these answers.
        said: the kinds of its warnings, which the changed file may give as well.
        configs: of runs on the file :data:`CHANGED` as each part, and this one as the other.
    """

    images: Images
    answers: Images
    metrics: dict[str, float]
    said: frozenset[str]
    configs: dict[str, DictConfig]


@lru_cache(maxsize=1)
def baseline(folder: str) -> Baseline:
    """Of the file as it is, written to the folder."""
    (Path(folder) / RIGHT_FILE).write_text(json.dumps(content()))
    pair, changed = ((str(Path(folder) / name), str(IMAGES)) for name in (RIGHT_FILE, CHANGED))
    cfg = trial.config(pair, pair)
    with trial.warnings_said() as said:
        images = trial.training_images(cfg)
    answers = trial.shifted(images, "dog", 9)
    crowd = (100, 10, 120, 30)
    answers["img1.jpg"].append(Found("cat", crowd, rectangle(*crowd), 0.5))
    metrics = trial.evaluate(cfg, answers)
    configs = {"train": trial.config(changed, pair), "val": trial.config(pair, changed)}
    return Baseline(images, answers, metrics, frozenset(map(_kind, said)), configs)


def _kind(warning: str) -> str:
    """The same for warnings that differ in the file or the number of all its objects."""
    return re.sub(r"\bof \d+", "of #", warning.replace(RIGHT_FILE, CHANGED))


_times = itertools.count(10**18)


def write_changed(mutation: Mutation, file: Path) -> None:
    """Write the file anew, with a time of its own, however soon after the last one that is."""
    file.write_text(json.dumps(mutation.applied(content())))
    now = next(_times)
    os.utime(file, ns=(now, now))


def run(mutation: Mutation, part: str, folder: str) -> Outcome:
    """Register, map and evaluate with one of the two files changed."""
    right = baseline(folder)
    write_changed(mutation, Path(folder) / CHANGED)
    cfg = right.configs[part]
    names: tuple[str, ...] = ()
    with trial.warnings_said() as said:
        try:
            names = trial.register(cfg)
            images = trial.training_images(cfg)
            metrics = trial.evaluate(cfg, right.answers)
        except UserError as error:
            return Outcome(mutation, part, _refusal(error, bool(names)), error.sentence)
        except Exception:
            return Outcome(mutation, part, End.TRACEBACK, traceback.format_exc())
        finally:
            trial.forget([name for name in names if CHANGED in name])
    differs = trial.differences(images, right.images)
    differs += [] if trial.same_metrics(metrics, right.metrics) else [f"metrics: {metrics}"]
    new = [text for text in said if _kind(text) not in right.said]
    if new:
        return Outcome(mutation, part, End.WARNED, " | ".join(new))
    if not differs:
        return Outcome(mutation, part, End.SAME)
    end = End.PLAUSIBLE if is_plausible(mutation) else End.SILENT
    return Outcome(mutation, part, end, ", ".join(differs))


def _refusal(error: UserError, late: bool) -> End:
    text = str(error)
    named = CHANGED in text or str(IMAGES) in text
    if "\n" in text or len(text) > LONGEST_SENTENCE or not named:
        return End.BAD_SENTENCE
    return End.REFUSED_LATER if late else End.REFUSED


Job = tuple[Mutation, str]


def _work(jobs: Sequence[Job], folder: str, results: Any) -> None:
    tempfile.tempdir = folder  # where this process may leave files behind
    for mutation, part in jobs:
        results.send(run(mutation, part, folder))


def run_all(jobs: Sequence[Job], folder: str) -> Iterator[Outcome]:
    """Each run's outcome, in order; in a process of its own, so that none can take others along."""
    baseline(folder)  # the processes inherit it; if it fails, nothing can be said of any run
    context = multiprocessing.get_context("fork")
    left = list(jobs)
    while left:
        results, sender = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(left, folder, sender), daemon=True)
        worker.start()
        sender.close()
        try:
            while left:
                if not results.poll(SECONDS):
                    yield Outcome(*left.pop(0), End.HANG)
                    break
                try:
                    outcome = results.recv()
                except EOFError:
                    worker.join()
                    code = worker.exitcode
                    yield Outcome(*left.pop(0), End.CRASH, f"exit code {code}")
                    break
                left.pop(0)
                yield outcome
        finally:
            worker.kill()
            worker.join()
            results.close()
