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


def installed(folder, name, version):
    """``folder`` with the description of an installed distribution in it."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (metadata / "METADATA").write_text(text)
    return folder


@pytest.fixture
def upstream(tmp_path):
    """A folder in which upstream Detectron2 seems to be installed."""
    return installed(tmp_path, "detectron2", "0.6")


def test_version_and_implementation():
    import detectron2

    assert detectron2.__version__ == "0.6"
    assert detectron2.__implementation__ == "core"


def test_import_beside_upstream_is_refused(upstream):
    done = run("-c", "import detectron2", PYTHONPATH=f"{CORE}{os.pathsep}{upstream}")
    assert done.returncode != 0
    assert "pip uninstall -y detectron2`" in done.stderr


def test_core_is_found_under_upstreams_name(tmp_path):
    installed(tmp_path, "detectron2", "0.6+core.0.2")
    code = "import detectron2, importlib.metadata as m; print(m.version('detectron2'))"
    done = run("-c", code, PYTHONPATH=f"{CORE}{os.pathsep}{tmp_path}")
    assert done.stdout.strip() == "0.6+core.0.2", done.stderr


def test_a_module_of_the_user_sets_the_environment_up(tmp_path):
    module = tmp_path / "mine.py"
    module.write_text("def setup_environment(): print('set up')\n")
    done = run("-c", "import detectron2", PYTHONPATH=str(CORE), DETECTRON2_ENV_MODULE=str(module))
    assert done.stdout.strip() == "set up", done.stderr


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


def test_setup_refuses_beside_core_of_the_former_name(tmp_path):
    folder = installed(tmp_path, "detectron2-core", "0.1.0")
    done = run("-c", SETUP.format(folder=str(folder)), cwd=CORE)
    assert done.returncode != 0
    assert "pip uninstall -y detectron2-core`" in done.stderr
    assert "Traceback" not in done.stderr


def test_setup_alone_or_in_upstreams_place(upstream):
    done = run("-c", SETUP.format(folder=str(upstream)), cwd=CORE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("0.6+core.0.2")


def test_no_requirement_has_an_upper_bound():
    text = (CORE / "setup.py").read_text()
    listed = text.partition("REQUIREMENTS = [")[2].partition("]")[0]
    assert "torch>=" in listed
    assert "<" not in listed
    assert "==" not in listed
