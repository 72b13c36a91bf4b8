"""The extension. It works with either ``detectron2``, so it depends on neither of the two."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (HERE / "projects_ext" / "__init__.py").read_text(), re.MULTILINE
)
assert VERSION is not None

# What draws Cityscapes' label maps and scores on them; what reads SBD's MATLAB files. Only who
# prepares or evaluates these data sets needs them.
CITYSCAPES, VOC = ["cityscapesscripts"], ["scipy"]
# onnxscript and onnxruntime: exported models are written and run by them; nothing else needs them.
TEST = ["pytest>=8", *CITYSCAPES, *VOC, "onnxscript", "onnxruntime"]
DEV = ["ruff", "mypy", "types-PyYAML", "types-tabulate", "types-tqdm"]

setup(
    name="projects-ext",
    version=VERSION.group(1),
    description="GRoIE, GCNet, Grid R-CNN, CARAFE and CondInst for Detectron2",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["projects_ext", "projects_ext.*"]),
    package_data={"projects_ext": ["py.typed"]},
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
    ],
    extras_require={"cityscapes": CITYSCAPES, "voc": VOC, "test": TEST, "dev": [*TEST, *DEV]},
)
