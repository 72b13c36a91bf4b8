import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.core_only(reason="about core's packaging")

CORE = Path(__file__).resolve().parents[2] / "core"


def run(*arguments, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=cwd,
        env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture
def upstream(tmp_path):
    """A folder in which upstream Detectron2 seems to be installed."""
    folder = tmp_path / "installed"
    metadata = folder / "detectron2-0.6.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: detectron2\nVersion: 0.6\n")
    return folder


def test_version_and_implementation():
    import detectron2

    assert detectron2.__version__ == "0.6"
    assert detectron2.__implementation__ == "core"


def test_import_beside_upstream_is_refused(upstream):
    done = run("-c", "import detectron2", PYTHONPATH=f"{CORE}{os.pathsep}{upstream}")
    assert done.returncode != 0
    assert "pip uninstall detectron2`" in done.stderr
    assert "pip uninstall detectron2-core`" in done.stderr


def test_import_alone_is_light():
    code = "import sys, detectron2; assert 'torch' not in sys.modules; print(detectron2.__file__)"
    done = run("-c", code, PYTHONPATH=str(CORE))
    assert done.returncode == 0, done.stderr
    assert str(CORE) in done.stdout


SETUP = """
import sysconfig
folder = {folder!r}
sysconfig.get_path = lambda name, *rest: folder
import runpy, sys
sys.argv = ["setup.py", "--version"]
runpy.run_path("setup.py", run_name="__main__")
"""


def test_setup_refuses_beside_upstream(upstream):
    done = run("-c", SETUP.format(folder=str(upstream)), cwd=CORE)
    assert done.returncode != 0
    assert "pip uninstall detectron2`" in done.stderr
    assert "Traceback" not in done.stderr


def test_setup_alone(tmp_path):
    done = run("-c", SETUP.format(folder=str(tmp_path)), cwd=CORE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("0.1.0")


def test_no_requirement_has_an_upper_bound():
    text = (CORE / "setup.py").read_text()
    listed = text.partition("REQUIREMENTS = [")[2].partition("]")[0]
    assert "torch>=" in listed
    assert "<" not in listed
    assert "==" not in listed
