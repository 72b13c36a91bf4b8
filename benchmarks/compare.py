"""One benchmark with two Python installations in turns, side by side.

    python -m benchmarks.compare --other /envs/detectron2/bin/python mask_rcnn --repeat 3

``this`` is the running interpreter. Each round starts both anew, in an order that alternates.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import table

ROOT = Path(__file__).parents[1]
KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**33), "MALLOC_TRIM_THRESHOLD_": str(2**34)
}  # fmt: skip
"""For glibc: without these, large tensors come from the system and go back to it each time, and the
page faults, about one million in a training step, differ from run to run by a third."""


def run(python: str, benchmark: str, options: list[str]) -> dict[str, Any]:
    """What one run of a benchmark answers."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.json"
        command = [python, "-m", f"benchmarks.{benchmark}", *options, "--json", str(file)]
        env = {**os.environ, **KEEP_FREED_MEMORY}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return json.loads(file.read_text())


def median(runs: list[dict[str, Any]], case: int, field: str) -> float:
    """Of one field of one case over several runs."""
    return statistics.median(run["results"][case][field] for run in runs)


def rows(this: list[dict[str, Any]], other: list[dict[str, Any]]) -> list[list[Any]]:
    """Case, times and their ratio, peak memory and its ratio."""
    found = []
    for case, result in enumerate(this[0]["results"]):
        row = [result["case"]]
        for field in ("seconds", "peak_mib"):
            ours, theirs = median(this, case, field), median(other, case, field)
            row += [ours, theirs, f"{ours / theirs:.2f}"] if theirs else [None] * 3
        found.append(row)
    return found


def main() -> None:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--other", required=True, help="the other installation's interpreter")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument("benchmark", help="such as mask_rcnn, with its own options behind it")
    parser.add_argument("options", nargs=argparse.REMAINDER)
    args = parser.parse_args()

    pythons = {"this": sys.executable, "other": args.other}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in pythons}
    for turn in range(args.rounds):
        for name in ("this", "other") if turn % 2 == 0 else ("other", "this"):
            print(f"round {turn + 1} of {args.rounds}: {name}", file=sys.stderr, flush=True)
            runs[name].append(run(pythons[name], args.benchmark, args.options))
    for name in pythons:
        print(f"{name}: {runs[name][0]['environment']}\n")
    headers = ["case", "this s", "other s", "ratio", "this MiB", "other MiB", "ratio"]
    print(table(rows(runs["this"], runs["other"]), headers))


if __name__ == "__main__":
    main()
