"""Run all mutations, and print how many ended in which way, and every wrong end."""

import argparse
import logging
import sys
import tempfile
from collections import Counter

import torch

from .content import mutations
from .outcome import RIGHT, End, Outcome, run_all

SHOWN = 2000
"""Characters of what a wrong end said."""


def main() -> int:
    """The number of wrong ends, at most 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    parser.add_argument("--count", type=int, default=None, help="of mutations; all if not given")
    parser.add_argument("--show", action="store_true", help="print every outcome")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("detectron2").addHandler(logging.NullHandler())
    logging.getLogger("detectron2").propagate = False
    chosen = mutations(arguments.seed)[: arguments.count]
    jobs = [(mutation, part) for part in ("train", "val") for mutation in chosen]
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        for outcome in run_all(jobs, folder):
            outcomes.append(outcome)
            if arguments.show or outcome.end not in RIGHT:
                print(str(outcome)[-SHOWN:] if outcome.end is End.TRACEBACK else outcome)
    counts = Counter((outcome.part, outcome.end) for outcome in outcomes)
    print(f"{len(chosen)} mutations of the training file and as many of the validation file:")
    for end in End:
        print(f"{counts['train', end]:6} {counts['val', end]:6}  {end.value}")
    return int(any(outcome.end not in RIGHT for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
