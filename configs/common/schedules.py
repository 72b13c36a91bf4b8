"""Learning-rate schedules, as multiples of the optimiser's `lr` over the whole run."""

from fvcore.common.param_scheduler import CosineParamScheduler, MultiStepParamScheduler

from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from projects_ext.semantic import PolynomialDecay

# 12 epochs of COCO at 16 images an iteration.
coco_1x = L(WarmupParamScheduler)(
    scheduler=L(MultiStepParamScheduler)(values=[1.0, 0.1, 0.01], milestones=[60000, 80000, 90000]),
    warmup_length=1000 / 90000,
    warmup_method="linear",
    warmup_factor=0.001,
)

# Three times as long; the last two parts keep their length.
coco_3x = L(WarmupParamScheduler)(
    scheduler=L(MultiStepParamScheduler)(
        values=[1.0, 0.1, 0.01], milestones=[210000, 250000, 270000]
    ),
    warmup_length=1000 / 270000,
    warmup_method="linear",
    warmup_factor=0.001,
)

# 12 epochs of 7,330 iterations, as OpenMMLab counts them: steps after epoch 8 and 11.
openmmlab_1x = L(WarmupParamScheduler)(
    scheduler=L(MultiStepParamScheduler)(
        values=[1.0, 0.1, 0.01], milestones=[8 * 7330, 11 * 7330, 12 * 7330]
    ),
    warmup_length=500 / (12 * 7330),
    warmup_method="linear",
    warmup_factor=0.001,
)

# 25 epochs, steps after epoch 17 and 23: OpenMMLab's longer training of Grid R-CNN. It warms up for
# half an epoch.
openmmlab_grid_2x = L(WarmupParamScheduler)(
    scheduler=L(MultiStepParamScheduler)(
        values=[1.0, 0.1, 0.01], milestones=[17 * 7330, 23 * 7330, 25 * 7330]
    ),
    warmup_length=3665 / (25 * 7330),
    warmup_method="linear",
    warmup_factor=1 / 80,
)

# Down to nothing along half a cosine; 5 % of the run to warm up.
cosine = L(WarmupParamScheduler)(
    scheduler=L(CosineParamScheduler)(start_value=1.0, end_value=0.0),
    warmup_length=0.05,
    warmup_method="linear",
    warmup_factor=0.01,
)

# From 0.01 to 0.0001 with power 0.9, at every iteration: the "poly" of semantic segmentation.
poly = L(PolynomialDecay)(power=0.9, start_value=1.0, end_value=0.01)
