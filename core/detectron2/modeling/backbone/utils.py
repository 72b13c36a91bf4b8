"""Parts of transformer backbones, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(
    PatchEmbed, add_decomposed_rel_pos, get_abs_pos, get_rel_pos, window_partition,
    window_unpartition,
) = unavailable(
    __name__, "transformer and RegNet backbones",
    "PatchEmbed add_decomposed_rel_pos get_abs_pos get_rel_pos window_partition window_unpartition",
)  # fmt: skip
