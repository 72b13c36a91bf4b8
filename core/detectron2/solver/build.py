"""From a configuration to an optimizer and its learning-rate schedule."""

import logging
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from typing import Any

import torch
from fvcore.common.param_scheduler import (
    CosineParamScheduler,
    MultiStepParamScheduler,
    ParamScheduler,
    StepWithFixedGammaParamScheduler,
)
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import Optimizer

from detectron2.config import CfgNode
from detectron2.utils.env import TORCH_VERSION  # noqa: F401

from .lr_scheduler import LRMultiplier, WarmupParamScheduler

logger = logging.getLogger(__name__)

ParamGroup = dict[str, Any]
GradientClipper = Callable[[torch.Tensor], Any]

NORMALIZATION_TYPES = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),  # NaiveSyncBatchNorm too
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm),
)


def _create_gradient_clipper(cfg: CfgNode) -> GradientClipper:
    """What ``cfg`` (``SOLVER.CLIP_GRADIENTS``) asks to do to each parameter's gradient."""
    if cfg.CLIP_TYPE == "value":
        return partial(clip_grad_value_, clip_value=cfg.CLIP_VALUE)
    if cfg.CLIP_TYPE == "norm":
        return partial(clip_grad_norm_, max_norm=cfg.CLIP_VALUE, norm_type=cfg.NORM_TYPE)
    raise ValueError(
        f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE is {cfg.CLIP_TYPE!r}; it is either 'value' or 'norm'."
    )


def _with_gradient_clipping(
    optimizer_type: type[Optimizer], clip: GradientClipper
) -> type[Optimizer]:
    """A subclass whose ``step`` first clips every parameter's gradient by itself.

    Under a gradient scaler ``step`` sees gradients that are unscaled already.
    """

    def step(self: Optimizer, closure: Callable[[], float] | None = None) -> float | None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    clip(parameter)
        return optimizer_type.step(self, closure)

    return type(f"{optimizer_type.__name__}WithGradientClip", (optimizer_type,), {"step": step})


def maybe_add_gradient_clipping(cfg: CfgNode, optimizer: type[Optimizer] | Optimizer) -> Any:
    """Add the gradient clipping of ``cfg.SOLVER.CLIP_GRADIENTS`` to an optimizer.

    Args:
        cfg: ``CLIP_TYPE`` "value" limits each element, "norm" the norm (``NORM_TYPE``) of each
            parameter's gradient; both to ``CLIP_VALUE``.
        optimizer: an optimizer class, or an instance (which is changed in place).

    Returns:
        ``optimizer`` itself unless clipping is enabled; then a subclass of it, or the instance.

    Raises:
        ValueError: if ``CLIP_TYPE`` is unknown.
    """
    settings = cfg.SOLVER.CLIP_GRADIENTS
    if not settings.ENABLED:
        return optimizer
    clip = _create_gradient_clipper(settings)
    if isinstance(optimizer, Optimizer):
        optimizer.__class__ = _with_gradient_clipping(type(optimizer), clip)
        return optimizer
    return _with_gradient_clipping(optimizer, clip)


def build_optimizer(cfg: CfgNode, model: nn.Module) -> Optimizer:
    """SGD as ``cfg.SOLVER`` describes it, over the trainable parameters of ``model``."""
    solver = cfg.SOLVER
    groups = get_default_optimizer_params(
        model,
        base_lr=solver.BASE_LR,
        bias_lr_factor=solver.BIAS_LR_FACTOR,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
    )
    sgd = maybe_add_gradient_clipping(cfg, torch.optim.SGD)
    optimizer: Optimizer = sgd(
        groups,
        lr=solver.BASE_LR,
        weight_decay=solver.WEIGHT_DECAY,
        momentum=solver.MOMENTUM,
        nesterov=solver.NESTEROV,
        foreach=True,
    )
    return optimizer


def _trainable_parameters(model: nn.Module) -> Iterator[tuple[nn.Module, str, str, nn.Parameter]]:
    """Each trainable parameter once: its module, the module's name, its own name, itself."""
    seen = set()
    for module_name, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                yield module, module_name, name, parameter


def _with_bias_overrides(
    overrides: dict[str, dict[str, float]] | None,
    base_lr: float | None,
    bias_lr_factor: float | None,
    weight_decay_bias: float | None,
) -> dict[str, dict[str, float]]:
    """``overrides`` and, as one more of them, the settings for parameters named "bias"."""
    bias: dict[str, float] = {}
    if bias_lr_factor is not None and bias_lr_factor != 1.0:
        if base_lr is None:
            raise ValueError("bias_lr_factor requires base_lr: it is a multiple of it.")
        bias["lr"] = base_lr * bias_lr_factor
    if weight_decay_bias is not None:
        bias["weight_decay"] = weight_decay_bias
    if not bias:
        return overrides or {}
    if overrides and "bias" in overrides:
        raise ValueError(
            "Conflicting overrides for 'bias': give either overrides['bias'] or "
            "bias_lr_factor and weight_decay_bias, not both."
        )
    return {**(overrides or {}), "bias": bias}


def get_default_optimizer_params(
    model: nn.Module,
    base_lr: float | None = None,
    weight_decay: float | None = None,
    weight_decay_norm: float | None = None,
    bias_lr_factor: float | None = 1.0,
    weight_decay_bias: float | None = None,
    lr_factor_func: Callable[[str], float] | None = None,
    overrides: dict[str, dict[str, float]] | None = None,
) -> list[ParamGroup]:
    """Parameter groups for a torch optimizer, parameters of equal settings in one group.

    A parameter that several modules share appears once; one without ``requires_grad`` not at all.
    What is left at None is not mentioned in the groups: the optimizer's own default holds.

    Args:
        base_lr: learning rate of every group.
        weight_decay: weight decay of every group.
        weight_decay_norm: weight decay of the parameters of normalization layers.
        bias_lr_factor: parameters named "bias" learn at this multiple of ``base_lr``.
        weight_decay_bias: weight decay of parameters named "bias".
        lr_factor_func: maps a parameter's full name to a factor of ``base_lr``, e.g. for
            layer-wise decay.
        overrides: settings by a parameter's last name, e.g. ``{"embedding": {"lr": 0.01}}``. They
            hold before everything else.

    Raises:
        ValueError: if a factor is asked for without ``base_lr``, or "bias" is overridden twice.
    """
    if lr_factor_func is not None and base_lr is None:
        raise ValueError("lr_factor_func requires base_lr: its factors are multiples of it.")
    by_name = _with_bias_overrides(overrides, base_lr, bias_lr_factor, weight_decay_bias)

    groups: list[ParamGroup] = []
    for module, module_name, name, parameter in _trainable_parameters(model):
        settings = {"lr": base_lr, "weight_decay": weight_decay}
        if weight_decay_norm is not None and isinstance(module, NORMALIZATION_TYPES):
            settings["weight_decay"] = weight_decay_norm
        if lr_factor_func is not None and base_lr is not None:
            settings["lr"] = base_lr * lr_factor_func(f"{module_name}.{name}".lstrip("."))
        settings.update(by_name.get(name, {}))
        given = {key: value for key, value in settings.items() if value is not None}
        groups.append({**given, "params": [parameter]})
    return reduce_param_groups(groups)


def reduce_param_groups(params: list[ParamGroup]) -> list[ParamGroup]:
    """Merge groups of equal settings, so that the optimizer works on few long lists.

    A parameter that is in several groups gets their settings together, the later ones first.
    Groups and parameters stay in the order of their first appearance.
    """
    settings_of: dict[Any, ParamGroup] = {}
    for group in params:
        settings = {key: value for key, value in group.items() if key != "params"}
        for parameter in group["params"]:
            settings_of.setdefault(parameter, {}).update(settings)

    merged: list[tuple[ParamGroup, list[Any]]] = []
    for parameter, settings in settings_of.items():
        members = next((members for known, members in merged if known == settings), None)
        if members is None:
            merged.append((settings, [parameter]))
        else:
            members.append(parameter)
    return [{**settings, "params": members} for settings, members in merged]


def _multi_step(cfg: CfgNode) -> ParamScheduler:
    """``SOLVER.GAMMA`` at every one of ``SOLVER.STEPS`` that training reaches."""
    max_iter = cfg.SOLVER.MAX_ITER
    steps = [step for step in cfg.SOLVER.STEPS if step < max_iter]
    if len(steps) < len(cfg.SOLVER.STEPS):
        ignored = sorted(set(cfg.SOLVER.STEPS) - set(steps))
        logger.warning(
            f"SOLVER.STEPS {ignored} are not before SOLVER.MAX_ITER={max_iter}: ignored."
        )
    values = [cfg.SOLVER.GAMMA**passed for passed in range(len(steps) + 1)]
    return MultiStepParamScheduler(values, num_updates=max_iter, milestones=steps)


def _cosine(cfg: CfgNode) -> ParamScheduler:
    """Half a cosine from ``SOLVER.BASE_LR`` to ``SOLVER.BASE_LR_END``."""
    last = cfg.SOLVER.BASE_LR_END / cfg.SOLVER.BASE_LR
    if last < 0:
        raise ValueError(
            f"SOLVER.BASE_LR_END is {cfg.SOLVER.BASE_LR_END}; it must not be negative."
        )
    return CosineParamScheduler(1, last)


class _FixedGamma(StepWithFixedGammaParamScheduler):
    """fvcore's, but defined at progress 1 too, where the step after the last iteration asks."""

    def __call__(self, where: float) -> float:
        return float(super().__call__(min(where, 1 - 2 * self.WHERE_EPSILON)))


def _fixed_gamma(cfg: CfgNode) -> ParamScheduler:
    """``SOLVER.GAMMA`` at ``SOLVER.NUM_DECAYS`` evenly spaced steps."""
    return _FixedGamma(
        1.0,
        gamma=cfg.SOLVER.GAMMA,
        num_decays=cfg.SOLVER.NUM_DECAYS,
        num_updates=cfg.SOLVER.MAX_ITER,
    )


SCHEDULES: dict[str, Callable[[CfgNode], ParamScheduler]] = {
    "WarmupMultiStepLR": _multi_step,
    "WarmupCosineLR": _cosine,
    "WarmupStepWithFixedGammaLR": _fixed_gamma,
}


def build_lr_scheduler(cfg: CfgNode, optimizer: Optimizer) -> LRScheduler:
    """The learning-rate schedule that ``cfg.SOLVER`` describes, one ``step()`` per iteration.

    Raises:
        ValueError: if ``SOLVER.LR_SCHEDULER_NAME`` is unknown.
    """
    solver = cfg.SOLVER
    if solver.LR_SCHEDULER_NAME not in SCHEDULES:
        raise ValueError(
            f"Unknown LR scheduler: SOLVER.LR_SCHEDULER_NAME is {solver.LR_SCHEDULER_NAME!r}; "
            f"known are {', '.join(SCHEDULES)}."
        )
    multiplier = WarmupParamScheduler(
        SCHEDULES[solver.LR_SCHEDULER_NAME](cfg),
        solver.WARMUP_FACTOR,
        warmup_length=min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0),
        warmup_method=solver.WARMUP_METHOD,
        rescale_interval=solver.RESCALE_INTERVAL,
    )
    return LRMultiplier(optimizer, multiplier, max_iter=solver.MAX_ITER)


def _expand_param_groups(params: list[ParamGroup]) -> list[ParamGroup]:
    """One group per parameter; later groups override the settings of earlier ones."""
    expanded: dict[torch.Tensor, ParamGroup] = {}
    for group in params:
        settings = {k: v for k, v in group.items() if k not in ("params", "param_names")}
        names = group.get("param_names")
        for index, parameter in enumerate(group["params"]):
            named = {} if names is None else {"param_names": [names[index]]}
            own = expanded.setdefault(parameter, {})
            own.update(named | {"params": [parameter]} | settings)
    return list(expanded.values())


class GradientClipType(Enum):
    """Values of ``SOLVER.CLIP_GRADIENTS.CLIP_TYPE``."""

    VALUE = "value"
    NORM = "norm"


def _generate_optimizer_class_with_gradient_clipping(
    optimizer: type[Optimizer],
    *,
    per_param_clipper: GradientClipper | None = None,
    global_clipper: Callable[[Any], Any] | None = None,
) -> type[Optimizer]:
    """A subclass that clips before each step: parameter by parameter, or all together."""
    assert per_param_clipper is None or global_clipper is None, (
        "Not allowed to use both per-parameter clipping and global clipping"
    )
    if per_param_clipper is not None:
        return _with_gradient_clipping(optimizer, per_param_clipper)
    assert global_clipper is not None, "One of the two clippers has to be given"

    def step(self: Optimizer, closure: Callable[[], float] | None = None) -> float | None:
        global_clipper(p for group in self.param_groups for p in group["params"])
        return optimizer.step(self, closure)

    return type(f"{optimizer.__name__}WithGradientClip", (optimizer,), {"step": step})
