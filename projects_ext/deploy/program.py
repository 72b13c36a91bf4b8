"""The program that is exported: a model with what lies before and behind it."""

import dataclasses
from typing import Any

from torch import nn

from detectron2.data import DatasetMapper
from detectron2.modeling import GeneralizedRCNN
from projects_ext.condinst import CondInst
from projects_ext.condinst.export import FixedCondInst
from projects_ext.errors import UserError
from projects_ext.prediction.predictor import Predictor
from projects_ext.semantic.export import FixedSegmentor
from projects_ext.semantic.segmentor import Segmentor

from .box_branches import last_predictor
from .metadata import Metadata
from .preprocessing import Preprocessing
from .rcnn import FixedRCNN

DETECTIONS = "test_topk_per_image"


def limit_detections(model: Any, count: int) -> None:
    """Let a model find so many objects in an image at most, exported or not.

    Raises:
        UserError: a model of label maps.
    """
    if isinstance(model, CondInst):
        model.selection = dataclasses.replace(model.selection, max_detections=count)
        return
    limited = [part for part in model.modules() if hasattr(part, DETECTIONS)]
    if not limited:
        raise UserError(
            "a model of label maps has no detections to be limited: leave --max-detections out"
        )
    for part in limited:
        setattr(part, DETECTIONS, count)


def program_of(predictor: Predictor) -> tuple[nn.Module, Metadata]:
    """A predictor's model as a program from an image (H, W, 3) to results at its size.

    Args:
        predictor: on the CPU.

    Returns:
        the program, which has the names of its outputs as ``OUTPUTS``, and what files say of it.

    Raises:
        UserError: a model, or a treatment of its images, that has no such program.
    """
    model = predictor.model
    padded = getattr(model.backbone, "size_divisibility", 1)
    if isinstance(model, CondInst):
        instances: Any = FixedCondInst(model, _preprocessing(predictor, padded))
        limit, threshold = model.selection.max_detections, model.selection.score_thresh
    elif isinstance(model, GeneralizedRCNN):
        instances = FixedRCNN(model, _preprocessing(predictor, padded))
        last = last_predictor(model.roi_heads)
        limit, threshold = last.test_topk_per_image, last.test_score_thresh
    elif isinstance(model, Segmentor):
        program = FixedSegmentor(model, _preprocessing(predictor, 1))
        return program.eval(), Metadata("semantic", tuple(predictor.class_names))
    else:
        raise UserError(
            f"{type(model).__name__} cannot be exported: give a detector with regions, a CondInst "
            "or one of this project's models of label maps"
        )
    if limit <= 0:
        raise UserError(
            f"the model finds any number of objects ({limit}), but an exported one has room for a "
            "number of them: give it with --max-detections"
        )
    metadata = Metadata(
        "instances",
        tuple(predictor.class_names),
        max_detections=int(limit),
        score_threshold=float(threshold),
        mask_stride=int(instances.mask_stride),
    )
    return instances.eval(), metadata


def _preprocessing(predictor: Predictor, divisibility: int) -> Preprocessing:
    mapper, model = predictor.mapper, predictor.model
    if not isinstance(mapper, DatasetMapper):
        raise UserError(
            f"the config's dataloader.test.mapper is a {type(mapper).__name__}: exported are "
            "models whose images detectron2.data.DatasetMapper reads"
        )
    constraints = getattr(model.backbone, "padding_constraints", None) or {}
    if constraints.get("square_size", 0) > 0:
        raise UserError("models that pad images to squares cannot be exported")
    return Preprocessing(
        list(mapper.augmentations.augs),
        mapper.image_format,
        model.pixel_mean.flatten().tolist(),
        model.pixel_std.flatten().tolist(),
        int(constraints.get("size_divisibility", divisibility)),
    )
