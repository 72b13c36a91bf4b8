"""OpenMMLab's names of CondInst."""

from projects_ext.checkpoint import ClassLayer, KeyMap, Rule

_BRANCH = r"mask_head\.mask_feature_head\."

RULES: list[Rule] = [
    (r"neck\.fpn_convs\.3\.conv\.(\w+)", r"top_block.p6.\1"),
    (r"neck\.fpn_convs\.4\.conv\.(\w+)", r"top_block.p7.\1"),
    # Convolution, norm and activation take three places of a tower.
    *(
        (rf"bbox_head\.{theirs}\.{index}\.{part}\.(\w+)", rf"head.{ours}.{3 * index + place}.\1")
        for theirs, ours in (("cls_convs", "cls_subnet"), ("reg_convs", "bbox_subnet"))
        for index in range(8)
        for place, part in enumerate(("conv", "gn"))
    ),
    (r"bbox_head\.conv_cls\.(\w+)", r"head.cls_score.\1"),
    (r"bbox_head\.conv_reg\.(\w+)", r"head.bbox_pred.\1"),
    (r"bbox_head\.conv_centerness\.(\w+)", r"head.ctrness.\1"),
    (r"bbox_head\.controller\.(\w+)", r"head.controller.\1"),
    (r"bbox_head\.scales\.(\d+)\.scale", r"head.scales.\1"),
    (_BRANCH + r"convs_all_levels\.(\d+)\.conv\d+\.conv\.(\w+)", r"mask_branch.levels.\1.\2"),
    (_BRANCH + r"convs_all_levels\.(\d+)\.conv\d+\.bn\.(\w+)", r"mask_branch.levels.\1.norm.\2"),
    (_BRANCH + r"conv_branch\.(\d+)\.conv\.(\w+)", r"mask_branch.tower.\1.\2"),
    (_BRANCH + r"conv_branch\.(\d+)\.bn\.(\w+)", r"mask_branch.tower.\1.norm.\2"),
    (_BRANCH + r"conv_pred\.(\w+)", r"mask_branch.predictor.\1"),
]

KEY_MAP = KeyMap(
    rules={"OpenMMLab": RULES},
    class_layers=(
        ClassLayer(r"head\.cls_score", decides=True),
        ClassLayer(r"semantic_branch\.predictor", decides=True),
    ),
)
