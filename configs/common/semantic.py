"""What OpenMMLab's experiments of semantic segmentation share: SGD, "poly", ImageNet weights."""

import copy
from typing import Any

from detectron2.config import LazyCall as L
from projects_ext.semantic import OutputEvaluator

from .optim import SGD as optimizer
from .schedules import poly as lr_multiplier
from .train import train

WEIGHTS = "https://download.openmmlab.com/pretrain/third_party/{}.pth"

optimizer.update(lr=0.01, weight_decay=5e-4)
# Norms decay as everything else does.
optimizer.params.weight_decay_norm = None
# Of a ResNet whose stem has three convolutions.
train.init_checkpoint = WEIGHTS.format("resnet50_v1c-2cccc1ad")


def use_resnet101(model: Any, train: Any) -> None:
    """The backbone has 101 layers, and starts from weights of that.

    Args:
        model: a LazyConfig; changed.
        train: changed.
    """
    model.backbone.stages.depth = 101
    train.init_checkpoint = WEIGHTS.format("resnet101_v1c-e67eebb6")


def train_for(train: Any, iterations: int, batch: int, metric: str = "sem_seg/mIoU") -> None:
    """Train for so long, with ten evaluations.

    Args:
        train: changed.
        iterations: of the whole run.
        batch: the images that the rate is for: another number of them scales it.
        metric: what the best checkpoint has most of.
    """
    train.update(max_iter=iterations, eval_period=iterations // 10, reference_batch_size=batch)
    train.checkpointer.period = iterations // 10
    train.best_checkpointer.val_metric = metric


def evaluate_both_ways(dataloader: Any) -> None:
    """Evaluate what `model.predict_multi_scale=True` predicts besides, as the first evaluator does.

    Args:
        dataloader: changed.
    """
    second = copy.deepcopy(dataloader["evaluator"][0])
    if "output_dir" in second:
        second.output_dir = "${train.output_dir}/multi_scale_flip"
    dataloader["evaluator"].append(L(OutputEvaluator)(evaluator=second))
