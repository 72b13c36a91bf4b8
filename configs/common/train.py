"""The run: where it writes, how long it lasts, what happens every so many iterations."""

import torch

train = dict(
    output_dir="./output",
    # Weights to start from: a path, an address or torchvision://resnet50; of Detectron2, OpenMMLab
    # or torchvision. Empty: random weights.
    init_checkpoint="",
    # Let that file run the code in it. Only for files whose origin is beyond doubt.
    trust_checkpoint=False,
    # Evaluate (--eval-only) although parts of the model get no weights from that file: they are
    # then random.
    allow_missing_weights=False,
    # Evaluate although no class of that file has the name of one of the data set's: they are taken
    # to be the same in the same order.
    allow_other_classes=False,
    # The names of the classes, which a run writes into its config.yaml, so that prediction needs no
    # data. A list on the command line names those of weights that do not say their own.
    classes=[],
    # Names of modules or parameters that keep their values, such as backbone.bottom_up, with * and
    # ? as in file names.
    freeze=[],
    # The learning rate of res5 is multiplied by it, that of res4 by its square, and so on. 1: off.
    layer_decay=1.0,
    # Keep less of the backbone in memory and compute it twice.
    recompute=False,
    max_iter=90000,
    # The weights are updated with the mean gradient of so many batches; `max_iter` counts updates.
    accumulate=1,
    # The `dataloader.train.total_batch_size` that learning rate, iterations and periods are written
    # for: with another one the rate is scaled with it and the others against it. 0: nothing is.
    reference_batch_size=0,
    # Automatic mixed precision: float16 with loss scaling on CUDA, bfloat16 on CUDA and the CPU.
    amp=dict(enabled=False, dtype="float16"),
    # The gradient of all parameters together is scaled down to `max_norm`; 0: it is not.
    clip_grad=dict(max_norm=0.0, norm_type=2.0),
    # Exponential moving average of the weights: kept in the checkpoints as "ema", and evaluated in
    # place of the weights themselves. `decay` is reached after a while only.
    ema=dict(enabled=False, decay=0.9998),
    # Evaluate two-stage detectors on several versions of each image, with one merged answer: the
    # shorter edge at each of `min_sizes`, the longer one up to `max_size`, and with `flip` mirrored
    # as well.
    test_augmentation=dict(
        enabled=False,
        min_sizes=[400, 500, 600, 700, 800, 900, 1000, 1100, 1200],
        max_size=4000,
        flip=True,
    ),
    ddp=dict(broadcast_buffers=False, find_unused_parameters=False, fp16_compression=False),
    checkpointer=dict(period=5000, max_to_keep=5),
    # `val_metric` such as "segm/AP": the best checkpoint by it is kept as model_best.pth.
    best_checkpointer=dict(val_metric="", mode="max"),
    # Stop after so many evaluations in a row in which that metric has not improved by more than
    # `min_delta`; 0: never.
    early_stopping=dict(patience=0, min_delta=0.0),
    # Compute the losses on the validation data, too, whenever the model is evaluated:
    # validation/total_loss and its terms.
    validation_loss=False,
    eval_period=5000,
    log_period=20,
    # More hooks and more writers of metrics, e.g. [L(MyHook)(period=100)]. The hooks run after
    # those that evaluate and before those that write.
    hooks=[],
    writers=[],
    # Besides `metrics.json`: event files for TensorBoard; runs of Weights & Biases and of MLflow,
    # where a project or an experiment is named (extras wandb and mlflow).
    tensorboard=True,
    wandb=dict(project="", name=""),
    mlflow=dict(experiment="", name="", tracking_uri=""),
    device="cuda" if torch.cuda.is_available() else "cpu",
    # Non-negative: the run can be repeated exactly on the same machine; -1: every run differs.
    seed=-1,
)
