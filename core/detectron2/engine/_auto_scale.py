"""The linear scaling rule: a schedule for another number of processes."""

from detectron2.config import CfgNode


def scale_schedule(cfg: CfgNode, num_workers: int) -> CfgNode:
    """A copy of ``cfg``, frozen if that is, scaled from its reference world size to another.

    Batch size and learning rate grow with the number of processes, everything that is counted in
    iterations shrinks with it.

    Raises:
        ValueError: if the reference batch does not divide among the reference processes.
    """
    reference = cfg.SOLVER.REFERENCE_WORLD_SIZE
    if cfg.SOLVER.IMS_PER_BATCH % reference:
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH={cfg.SOLVER.IMS_PER_BATCH} is not a multiple of "
            f"SOLVER.REFERENCE_WORLD_SIZE={reference}."
        )
    was_frozen, scale = cfg.is_frozen(), num_workers / reference

    def fewer(iterations: int) -> int:
        return round(iterations / scale)

    cfg = cfg.clone()
    cfg.defrost()
    solver, test = cfg.SOLVER, cfg.TEST
    solver.REFERENCE_WORLD_SIZE = num_workers
    solver.IMS_PER_BATCH = round(solver.IMS_PER_BATCH * scale)
    solver.BASE_LR *= scale
    solver.STEPS = tuple(map(fewer, solver.STEPS))
    for node, key in (
        (solver, "MAX_ITER"),
        (solver, "WARMUP_ITERS"),
        (solver, "CHECKPOINT_PERIOD"),
        (test, "EVAL_PERIOD"),
    ):
        node[key] = fewer(node[key])
    if was_frozen:
        cfg.freeze()
    return cfg
