"""Packaging of detectron2-core. It does not install beside upstream Detectron2."""

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


def refuse_beside_upstream() -> None:
    """Stop where upstream Detectron2 is in the environment that is installed into.

    pip builds in an environment of its own that hides the outer one's packages from imports, but
    not the outer one's folders.
    """
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    for distribution in metadata.distributions(path=folders):
        if (distribution.metadata["Name"] or "").lower() == "detectron2":
            raise SystemExit(
                f"Both detectron2-core and upstream Detectron2 {distribution.version} would be in "
                "this environment and they share one import name: run `pip uninstall detectron2` "
                "to keep detectron2-core, or `pip uninstall detectron2-core` to keep upstream."
            )


refuse_beside_upstream()

setup(
    name="detectron2-core",
    version="0.1.0",
    description="An independent, pure-Python implementation of a slice of the Detectron2 API",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["detectron2", "detectron2.*"]),
    package_data={"detectron2": ["py.typed"]},
    install_requires=REQUIREMENTS,
)
