"""Optimizers; whoever builds one sets its `params.model` before."""

from torch import optim

from detectron2.config import LazyCall as L
from detectron2.solver.build import get_default_optimizer_params as parameters

SGD = L(optim.SGD)(
    params=L(parameters)(weight_decay_norm=0.0), lr=0.02, momentum=0.9, weight_decay=1e-4
)
AdamW = L(optim.AdamW)(
    params=L(parameters)(base_lr="${..lr}", weight_decay_norm=0.0),
    lr=1e-4,
    betas=(0.9, 0.999),
    weight_decay=0.1,
)
