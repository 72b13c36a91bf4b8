"""OpenMMLab's names of global context blocks."""

import re
from typing import Any

from projects_ext.checkpoint import KeyMap, Rule

CONTEXT_NAMES = {
    "conv_mask": "mask",
    "channel_add_conv": "channel_add",
    "channel_mul_conv": "channel_mul",
}
"""Parts of a context block, there and here."""


def _in_backbone(match: re.Match[str]) -> Any:
    layer, block, part, rest = match.groups()
    return f"res{int(layer) + 1}.{block}.conv3.activation.{CONTEXT_NAMES[part]}{rest}"


def _in_head(match: re.Match[str]) -> Any:
    part, rest = match.groups()
    return f"sem_seg_head.context.{CONTEXT_NAMES[part]}{rest}"


RULES: list[Rule] = [
    (
        rf"backbone\.layer(\d)\.(\d+)\.context_block\.({'|'.join(CONTEXT_NAMES)})((?:\.\w+)+)",
        _in_backbone,
    ),
    (rf"decode_head\.gc_block\.({'|'.join(CONTEXT_NAMES)})((?:\.\w+)+)", _in_head),
]

KEY_MAP = KeyMap(rules={"OpenMMLab": RULES})
