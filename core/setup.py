"""Packaging of detectron2-core, as a distribution named ``detectron2``.

With upstream's name, pip replaces one by the other instead of mixing their files, and whatever asks
for ``detectron2``, or for its version, finds it. The local part of the version tells them apart.
"""

import site
import sysconfig
from importlib import metadata

from setuptools import find_packages, setup

REQUIREMENTS = [
    "torch>=2.6",
    "torchvision>=0.21",
    "fvcore>=0.1.5",
    "iopath>=0.1.9",
    "omegaconf>=2.3",
    "hydra-core>=1.3",
    "yacs>=0.1.8",
    "pycocotools>=2.0.7",
    "hotcoco>=1.3",
    "cloudpickle>=2.2",
    "tabulate>=0.9",
    "termcolor>=2.0",
    "tqdm>=4.60",
    "Pillow>=9.4",
    "numpy>=2.0",
]


def refuse_beside_old_core() -> None:
    """Stop where core is installed under its former name, whose files pip would not replace.

    pip builds in an environment of its own that hides the outer one's packages from imports, but
    not the outer one's folders.
    """
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    for distribution in metadata.distributions(path=folders):
        if (distribution.metadata["Name"] or "").lower() == "detectron2-core":
            raise SystemExit(
                f"detectron2-core {distribution.version} is in this environment, and the "
                "distribution is called detectron2 now: run `pip uninstall -y detectron2-core`, "
                "then install again."
            )


refuse_beside_old_core()

setup(
    name="detectron2",
    version="0.6+core.0.2",
    description="An independent, pure-Python implementation of a slice of the Detectron2 API",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["detectron2", "detectron2.*"]),
    package_data={
        "detectron2": [
            "py.typed",
            "data/datasets/*.txt",
            "model_zoo/*.txt",
            "model_zoo/configs/*.yaml",
            "model_zoo/configs/*/*.yaml",
            "model_zoo/configs/*/*.py",
            "model_zoo/configs/*/*/*.py",
        ]
    },
    install_requires=REQUIREMENTS,
)
