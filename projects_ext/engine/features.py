"""Whether the features that a model's heads ask for are among those that its backbone gives."""

from collections.abc import Sequence

import torch
from torch import nn

from projects_ext.errors import UserError

# How Detectron2's heads and meta-architectures call the features that they take.
ATTRIBUTES = (
    "box_in_features",
    "mask_in_features",
    "keypoint_in_features",
    "head_in_features",
    "in_features",
)


def require_input_channels(model: nn.Module) -> None:
    """Refuse a first layer that takes other images than those that ``pixel_mean`` is for.

    Raises:
        UserError: with both numbers of channels.
    """
    mean, backbone = getattr(model, "pixel_mean", None), getattr(model, "backbone", None)
    if not isinstance(mean, torch.Tensor) or not isinstance(backbone, nn.Module):
        return
    lowest = getattr(backbone, "bottom_up", backbone)
    layers = (layer for layer in lowest.modules() if isinstance(layer, nn.Conv2d))
    first = next(layers, None)
    if first is not None and mean.numel() not in (1, first.in_channels):
        raise UserError(
            f"model.pixel_mean has {mean.numel()} values, but the backbone's first layer takes "
            f"{first.in_channels} channels: give both the number of the images' channels "
            "(model.backbone.bottom_up.stem.in_channels; YAML: MODEL.PIXEL_MEAN)"
        )


def require_features(model: nn.Module) -> None:
    """Refuse names of features that the backbone does not have; else the first iteration fails.

    Raises:
        UserError: with the names that there are.
    """
    shapes = getattr(getattr(model, "backbone", None), "output_shape", None)
    if shapes is None:
        return
    known = set(shapes())
    parts = {"": model, **dict(model.named_children())}
    for name, part in parts.items():
        if name == "backbone":
            continue  # its own inputs are those of its lower part
        for attribute in ATTRIBUTES:
            asked = getattr(part, attribute, None)
            if not isinstance(asked, Sequence) or isinstance(asked, str):
                continue
            unknown = [one for one in asked if one not in known]
            if unknown:
                where = ".".join(filter(None, ("model", name, attribute)))
                raise UserError(
                    f"{where} names {unknown[0]!r}, which the backbone does not give: it has "
                    f"{', '.join(sorted(known))} (YAML: MODEL.*.IN_FEATURES)"
                )
