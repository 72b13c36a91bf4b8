"""What has to be installed: torch and one ``detectron2``, of either kind.

Without torch there is nothing but ``projects_ext.deploy``, which runs exported models.
"""

from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec

HAS_TORCH = find_spec("torch") is not None

WITHOUT_TORCH = (
    "projects_ext.{name} needs torch, which is not installed: install it with `pip install ./core "
    ".` from this repository; without it only projects_ext.deploy works."
)

# The second is core's former name; with the present one pip replaces one by the other.
DETECTRON2, OLD_CORE = "detectron2", "detectron2-core"


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _require_one_detectron2() -> None:
    """Refuse to go on without a ``detectron2``, or with two of them in the same place."""
    if find_spec("detectron2") is None:
        raise ImportError(
            "projects_ext needs a `detectron2` package: install detectron2-core with "
            "`pip install ./core` from this repository, or build upstream Detectron2 as its own "
            "documentation says."
        )
    if _installed(DETECTRON2) and _installed(OLD_CORE):
        raise ImportError(
            "both detectron2 and detectron2-core are installed and overwrite each other: "
            "run `pip uninstall -y detectron2 detectron2-core`, then install the one you want."
        )


if HAS_TORCH:
    _require_one_detectron2()
