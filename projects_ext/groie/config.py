"""YAML keys of GRoIE."""

from detectron2.config import CfgNode


def add_groie_config(cfg: CfgNode) -> None:
    """Add ``MODEL.GROIE``: what its poolers have beside POOLER_* of a head.

    They are chosen by POOLER_NAME "GRoIEPooler" of a head, with POOLER_SAMPLING_RATIO 2.
    """
    cfg.MODEL.GROIE = type(cfg)(
        {
            "PRE_KERNEL_SIZE": 5,
            # "sum" or "concat" over the levels.
            "AGGREGATION": "sum",
            # Four digits of arXiv 1904.05873, in quotes: projects_ext.layers.GeneralizedAttention.
            "ATTENTION_TYPE": "0100",
            "NUM_HEADS": 6,
            "KV_STRIDE": 2,
            "TRANSPOSED_ROWS": True,
            # Compute features again in the backward pass: less memory, more time.
            "RECOMPUTE": False,
        }
    )
