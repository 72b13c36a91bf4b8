"""What ``import projects_ext`` says when there is no ``detectron2``, or two of them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

WITHOUT_DETECTRON2 = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == "detectron2" else find(name, *rest)
import projects_ext
"""


def last_line(code: str, *more_path: Path) -> str:
    """The last line that a fresh Python prints on its way out of ``code``."""
    path = os.pathsep.join([*map(str, more_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


def test_without_detectron2_both_ways_to_get_it_are_named() -> None:
    sentence = last_line(WITHOUT_DETECTRON2)
    assert sentence.startswith("ImportError: projects_ext needs a `detectron2` package")
    assert "pip install ./core" in sentence
    assert "upstream Detectron2" in sentence


def test_two_of_them_are_refused(tmp_path: Path) -> None:
    for name in ("detectron2", "detectron2_core"):
        folder = tmp_path / f"{name}-0.1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 0.1\n"
        )
    sentence = last_line("import projects_ext", tmp_path)
    assert sentence.startswith("ImportError: both detectron2 and detectron2-core")
    assert "pip uninstall" in sentence
