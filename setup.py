"""The extension. It works with either ``detectron2``, so it depends on neither of the two."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (HERE / "projects_ext" / "__init__.py").read_text(), re.MULTILINE
)
assert VERSION is not None

# What draws Cityscapes' label maps and scores on them; what reads SBD's MATLAB files. Only who
# prepares or evaluates these data sets needs them.
CITYSCAPES, VOC = ["cityscapesscripts"], ["scipy"]
# Prediction on videos and cameras. The headless build needs no display.
VIDEO = ["opencv-python-headless"]
# Trackers of experiments. MLflow without its server, with what its local database needs: the old
# folder of files is refused by default since MLflow 3.
WANDB = ["wandb"]
MLFLOW = ["mlflow-skinny", "sqlalchemy", "alembic"]
# Exported models run with it, without torch; see projects_ext/deploy.
DEPLOY = ["onnxruntime"]
# What writes exported models, and what --verify runs them with.
EXPORT = ["onnx", "onnxscript", *DEPLOY, "openvino"]
# The report: templates (jinja2, which torch needs too), plots as SVG (matplotlib), and the errors,
# confusions and comparisons of COCO results (hotcoco, which detectron2-core needs too).
REPORT = ["jinja2>=3.1", "matplotlib>=3.8", "hotcoco>=1.3"]
# OpenCV: what resizing as OpenCV does is compared with. setuptools: builds the wheels that are
# tested; from this version on it does so without the package wheel. pytest-xdist: one test process
# per core. supervision: what it makes of predictions is tested with itself, for its own reader of
# Detectron2's results may change; nothing else needs it.
# html5lib and selenium: the report's pages are checked as HTML, and in Chromium where it is
# installed.
TEST = ["pytest>=8", "pytest-xdist", *CITYSCAPES, *VOC, *EXPORT, *WANDB, *MLFLOW]
TEST += [*VIDEO, "setuptools>=70.1", "supervision", "html5lib", "selenium"]
DEV = ["ruff", "mypy", "types-PyYAML", "types-tabulate", "types-tqdm"]


class BuildWithConfigs(build_py):
    """The package with the configs in it, which a checkout has beside the package."""

    def run(self) -> None:
        """Build the package; an editable one finds the checkout's configs."""
        super().run()
        if self.editable_mode:
            return
        folder = Path(self.build_lib) / "projects_ext" / "configs"
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier build
        for path in self._configs():
            target = folder / path.relative_to(HERE / "configs")
            self.mkpath(str(target.parent))
            self.copy_file(str(path), str(target))

    def get_source_files(self) -> list[str]:
        """Also the configs, for a source distribution."""
        return [*super().get_source_files(), *(str(x.relative_to(HERE)) for x in self._configs())]

    def _configs(self) -> list[Path]:
        found = sorted((HERE / "configs").rglob("*"))
        return [path for path in found if path.suffix in (".py", ".yaml")]


setup(
    name="projects-ext",
    version=VERSION.group(1),
    description="GRoIE, GCNet, Grid R-CNN, CARAFE and CondInst for Detectron2",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["projects_ext", "projects_ext.*"]),
    package_data={
        "projects_ext": ["py.typed"],
        "projects_ext.zoo": ["experiments.yaml"],
        "projects_ext.report": ["templates/*"],
    },
    cmdclass={"build_py": BuildWithConfigs},
    install_requires=[
        "torch",
        "torchvision",
        "fvcore",
        "omegaconf>=2.1",
        "numpy",
        "Pillow",
        "pycocotools",
        "tqdm",
        # The TensorBoard writer of Detectron2's trainer.
        "tensorboard",
        # Weight files that cannot hold code: many of today's ResNets are published in them.
        "safetensors",
        *REPORT,
    ],
    extras_require={
        "cityscapes": CITYSCAPES,
        "voc": VOC,
        "video": VIDEO,
        "wandb": WANDB,
        "mlflow": MLFLOW,
        "deploy": DEPLOY,
        "export": EXPORT,
        "test": TEST,
        "dev": [*TEST, *DEV],
    },
)
