"""OpenMMLab's names of the region extractor."""

import re
from typing import Any

from projects_ext.checkpoint import KeyMap, Rule

ATTENTION_NAMES = {
    "query_conv": "query",
    "key_conv": "key",
    "value_conv": "value",
    "proj_conv": "projection",
    "appr_geom_fc_x": "position_x",
    "appr_geom_fc_y": "position_y",
    "appr_bias": "key_bias",
    "geom_bias": "position_bias",
    "gamma": "gamma",
}
"""Parts of the generalised attention, there and here."""

BRANCHES = {"bbox": "box", "mask": "mask", "grid": "grid"}


def _post_module(match: re.Match[str]) -> Any:
    branch, part, rest = match.groups()
    return f"{BRANCHES[branch]}_pooler.post_module.{ATTENTION_NAMES[part]}{rest}"


def _pre_module(match: re.Match[str]) -> Any:
    return f"{BRANCHES[match[1]]}_pooler.pre_module.{match[2]}"


_EXTRACTOR = r"roi_head\.(bbox|mask|grid)_roi_extractor\."

RULES: list[Rule] = [
    (_EXTRACTOR + r"pre_module\.conv\.(\w+)", _pre_module),
    (_EXTRACTOR + rf"post_module\.({'|'.join(ATTENTION_NAMES)})(|\.\w+)", _post_module),
]

KEY_MAP = KeyMap(rules={"OpenMMLab": RULES})
