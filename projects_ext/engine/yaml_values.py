"""What a YAML config's values have to be that their defaults, being empty, do not show."""

from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode
from projects_ext.errors import UserError

from .value_types import is_number


def check_proposal_files(cfg: CfgNode) -> None:
    """With ``MODEL.LOAD_PROPOSALS`` there has to be a file for each data set.

    Raises:
        UserError: there are more or fewer.
    """
    if not cfg.MODEL.LOAD_PROPOSALS:
        return
    for part in ("TRAIN", "TEST"):
        key = f"DATASETS.PROPOSAL_FILES_{part}"
        files, names = cfg.DATASETS[f"PROPOSAL_FILES_{part}"], cfg.DATASETS[part]
        if len(files) != len(names):
            raise UserError(
                f"MODEL.LOAD_PROPOSALS is True, and {key} names {len(files)} files for the "
                f"{len(names)} data sets of DATASETS.{part}: give one for each, or set "
                "MODEL.LOAD_PROPOSALS False"
            )


def check_expected_results(expected: Any) -> None:
    """``TEST.EXPECTED_RESULTS`` is read only after the last evaluation.

    Raises:
        UserError: an entry is no task, metric, value and tolerance.
    """
    for entry in expected:
        if not _is_expectation(entry):
            raise UserError(
                f"TEST.EXPECTED_RESULTS has the entry {entry!r}: each is a list of task, metric, "
                "value and tolerance, e.g. TEST.EXPECTED_RESULTS \"[['bbox', 'AP', 38.5, 0.2]]\""
            )


def _is_expectation(entry: Any) -> bool:
    if not isinstance(entry, Sequence) or isinstance(entry, str) or len(entry) != 4:
        return False
    return all(isinstance(x, str) for x in entry[:2]) and all(is_number(x) for x in entry[2:])
