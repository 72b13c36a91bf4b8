"""Whether the features that a model's heads ask for are among those that its backbone gives."""

from collections.abc import Sequence

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
