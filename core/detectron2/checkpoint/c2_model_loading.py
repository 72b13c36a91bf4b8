"""Matching of weight names, under upstream's module name; Caffe2's own names are left out."""

from collections.abc import Sequence
from itertools import takewhile

from detectron2.checkpoint.matching import align_and_update_state_dicts
from detectron2.utils.unavailable import INTERNALS, unavailable

__all__ = ["align_and_update_state_dicts", "convert_basic_c2_names", "convert_c2_detectron_names"]

(convert_basic_c2_names, convert_c2_detectron_names) = unavailable(
    __name__, "Caffe2's weight names", "convert_basic_c2_names convert_c2_detectron_names"
)
(_group_keys_by_module, _group_str, _longest_common_prefix) = unavailable(
    __name__, INTERNALS, "_group_keys_by_module _group_str _longest_common_prefix"
)


def _longest_common_prefix_str(names: Sequence[str]) -> str:
    """What all names begin with."""
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in same)
