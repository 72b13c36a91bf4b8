"""The run: where it writes, how long it lasts, what happens every so many iterations."""

import torch

train = dict(
    output_dir="./output",
    # Weights to start from; empty: random weights.
    init_checkpoint="",
    max_iter=90000,
    # Automatic mixed precision: float16 with loss scaling, on CUDA.
    amp=dict(enabled=False),
    ddp=dict(broadcast_buffers=False, find_unused_parameters=False, fp16_compression=False),
    checkpointer=dict(period=5000, max_to_keep=5),
    # `val_metric` such as "segm/AP": the best checkpoint by it is kept as model_best.pth.
    best_checkpointer=dict(val_metric="", mode="max"),
    eval_period=5000,
    log_period=20,
    device="cuda" if torch.cuda.is_available() else "cpu",
    # Non-negative: the run can be repeated exactly on the same machine; -1: every run differs.
    seed=-1,
)
