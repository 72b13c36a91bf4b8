"""OpenMMLab's names of the grid head."""

from projects_ext.checkpoint import KeyMap, Rule

_HEAD = r"roi_head\.grid_head\."

RULES: list[Rule] = [
    (_HEAD + r"convs\.(\d+)\.conv\.(\w+)", r"grid_head.convs.\1.\2"),
    (_HEAD + r"convs\.(\d+)\.gn\.(\w+)", r"grid_head.convs.\1.norm.\2"),
    (_HEAD + r"forder_trans\.([\d.]+\.\w+)", r"grid_head.first_order.\1"),
    (_HEAD + r"sorder_trans\.([\d.]+\.\w+)", r"grid_head.second_order.\1"),
    (_HEAD + r"((?:deconv[12]|norm1)\.\w+)", r"grid_head.\1"),
]

KEY_MAP = KeyMap(rules={"OpenMMLab": RULES})
