"""Another project on the installed wheels: no checkout, no path to one."""

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import CORE_IS_ACTIVE, ROOT

# Ten lines of somebody else: a config by name, their data, classes and head, two iterations.
PROJECT = '''
import os, sys
from detectron2.modeling.roi_heads import MaskRCNNConvUpsampleHead
from projects_ext import zoo
from projects_ext.engine import Trainer

class HalfAsSure(MaskRCNNConvUpsampleHead):
    def layers(self, x):
        return super().layers(x) / 2

cfg = zoo.get_config("groie/mask_rcnn_groie_shapes")
cfg.data.update({f"{part}_{what}": path for part in ("train", "val")
                 for what, path in zip(("json", "images"), sys.argv[1:])})
cfg.model.roi_heads.num_classes = 2
cfg.model.roi_heads.mask_head._target_ = HalfAsSure
cfg.train.update(max_iter=2, eval_period=2, output_dir="output", device="cpu")
cfg.dataloader.train.update(total_batch_size=2, num_workers=0)
cfg.dataloader.test.num_workers = 0
os.makedirs("output")
metrics = Trainer(cfg).train()
'''  # fmt: skip
TOLD = """
import json, detectron2, projects_ext
print(json.dumps({"metrics": {task: sorted(found) for task, found in metrics.items()},
                  "projects_ext": projects_ext.__file__, "detectron2": detectron2.__file__}))
"""


def run(*command: object, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Wheels of a copy of this checkout: building leaves files behind."""
    folder = tmp_path_factory.mktemp("wheels")
    ignore = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    for name in ("projects_ext", "configs", "core"):
        shutil.copytree(ROOT / name, folder / "copy" / name, ignore=ignore)
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / "copy")
    # Upstream Detectron2 is no wheel of ours; core does not build beside it.
    parts = ["./core", "."] if CORE_IS_ACTIVE else ["."]
    options = ("--no-build-isolation", "--no-deps", "--no-index", "--quiet")
    run(sys.executable, "-m", "pip", "wheel", *options, "-w", folder, *parts, cwd=folder / "copy")
    found = sorted(folder.glob("*.whl"))
    assert len(found) == len(parts)
    return found


@pytest.fixture(scope="module")
def python(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheels; torch and such are this one's."""
    folder = tmp_path_factory.mktemp("environment")
    venv.EnvBuilder(symlinks=True).create(folder)
    interpreter = folder / "bin" / "python"
    options = ("--no-deps", "--no-index", "--quiet")
    pip = (sys.executable, "-m", "pip", "--python", interpreter)
    run(*pip, "install", *options, *wheels, cwd=folder)
    # Behind the environment's own packages, where `--system-site-packages` would show those of the
    # interpreter that this environment was made from.
    (site_packages,) = folder.glob("lib/python*/site-packages")
    others = [path for path in sys.path if Path(path).name == "site-packages"]
    (site_packages / "others.pth").write_text("\n".join(others))
    return interpreter


def test_wheel_has_every_config_and_no_tests(wheels: list[Path]) -> None:
    (wheel,) = (path for path in wheels if path.name.startswith("projects_ext"))
    names = zipfile.ZipFile(wheel).namelist()
    below = {name.removeprefix("projects_ext/") for name in names}
    configs = [path for path in (ROOT / "configs").rglob("*") if path.suffix in (".py", ".yaml")]
    missing = {str(path.relative_to(ROOT)) for path in configs} - below
    assert len(configs) > 50
    assert missing == set()
    assert "zoo/experiments.yaml" in below
    assert {f"report/templates/page.{kind}" for kind in ("css", "js")} <= below
    assert "report/templates/base.html.j2" in below
    assert not [name for name in names if name.startswith("tests")]


def test_a_foreign_project_trains_and_evaluates(python: Path, shapes: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    data = json.loads((shapes / "annotations" / "instances_train.json").read_text())
    data["categories"] = data["categories"][:2]
    kept = {category["id"] for category in data["categories"]}
    data["annotations"] = [x for x in data["annotations"] if x["category_id"] in kept]
    own.write_text(json.dumps(data))
    (tmp_path / "project.py").write_text(PROJECT + TOLD)
    output = run(python, "project.py", own, shapes / "train", cwd=tmp_path)
    told = json.loads(output.splitlines()[-1])
    assert {"AP", "AP50"} <= set(told["metrics"]["bbox"]) & set(told["metrics"]["segm"])
    assert Path(told["projects_ext"]).is_relative_to(python.parents[1])
    assert Path(told["detectron2"]).is_relative_to(python.parents[1]) == CORE_IS_ACTIVE
    assert (tmp_path / "output" / "model_final.pth").is_file()


def test_zoo_in_the_terminal_without_a_checkout(python: Path, tmp_path: Path) -> None:
    name = "groie/mask_rcnn_r50_fpn_groie_1x"
    path = run(python, "-m", "projects_ext.zoo", "config", "--path", name, cwd=tmp_path).strip()
    assert path.endswith(f"site-packages/projects_ext/configs/{name}.py")
    assert Path(path).is_file()
