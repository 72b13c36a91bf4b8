"""OpenMMLab's names of CARAFE upsamplers."""

import re
from typing import Any

from projects_ext.checkpoint import KeyMap, Rule

PARTS = {"channel_compressor": "compressor", "content_encoder": "encoder"}
"""Parts of an upsampler, there and here."""

_PART = rf"({'|'.join(PARTS)})\.(\w+)"


def _in_pyramid(match: re.Match[str]) -> Any:
    transition, part, parameter = match.groups()
    return f"upsamplers.{transition}.{PARTS[part]}.{parameter}"


def _in_mask_head(match: re.Match[str]) -> Any:
    return f"mask_head.upsampler.{PARTS[match[1]]}.{match[2]}"


# The pyramid's convolutions, the extra level's included, are named as in any other pyramid.
RULES: list[Rule] = [
    (rf"neck\.upsample_modules\.(\d+)\.{_PART}", _in_pyramid),
    (rf"roi_head\.mask_head\.upsample\.{_PART}", _in_mask_head),
]

KEY_MAP = KeyMap(rules={"OpenMMLab": RULES})
