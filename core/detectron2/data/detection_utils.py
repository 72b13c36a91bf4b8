"""What data set mappers are made of: reading, transforming, packing into Instances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch

from detectron2.structures import (
    BitMasks,
    Boxes,
    BoxMode,
    Instances,
    PolygonMasks,
    polygons_to_bitmask,
)
from detectron2.structures.keypoints import Keypoints  # noqa: F401
from detectron2.structures.rotated_boxes import RotatedBoxes  # noqa: F401
from detectron2.utils.unavailable import unavailable

from . import transforms as T
from .catalog import MetadataCatalog
from .image_io import (
    _RGB_TO_YUV,
    _YUV_TO_RGB,
    SizeMismatchError,
    _upright,
    check_image_size,
    convert_image_to_rgb,
    convert_PIL_to_numpy,
    read_image,
)

__all__ = [
    "SizeMismatchError",
    "annotations_to_instances",
    "build_augmentation",
    "check_image_size",
    "check_metadata_consistency",
    "convert_PIL_to_numpy",
    "convert_image_to_rgb",
    "filter_empty_instances",
    "gen_crop_transform_with_instance",
    "get_fed_loss_cls_weights",
    "read_image",
    "transform_instance_annotations",
    "transform_proposals",
]


def transform_proposals(
    dataset_dict: dict[str, Any],
    image_shape: tuple[int, int],
    transforms: T.Transform,
    *,
    proposal_topk: int,
    min_box_size: float = 0,
) -> None:
    """Transform precomputed proposals and pack them into ``dataset_dict["proposals"]``, in place.

    Args:
        dataset_dict: with ``proposal_boxes``, ``proposal_objectness_logits`` and
            ``proposal_bbox_mode``, or without any of them.
        image_shape: (height, width) after the transforms.
        transforms: those of the image.
        proposal_topk: how many to keep, from the first.
        min_box_size: boxes with an edge not longer than this are left out.
    """
    if "proposal_boxes" not in dataset_dict:
        return
    mode = dataset_dict.pop("proposal_bbox_mode")
    corners = BoxMode.convert(dataset_dict.pop("proposal_boxes"), mode, BoxMode.XYXY_ABS)
    logits = dataset_dict.pop("proposal_objectness_logits").astype("float32")
    boxes = Boxes(transforms.apply_box(np.asarray(corners, dtype=np.float64)))
    boxes.clip(image_shape)
    large = boxes.nonempty(threshold=min_box_size)
    proposals = Instances(image_shape)
    proposals.proposal_boxes = boxes[large][:proposal_topk]
    proposals.objectness_logits = torch.as_tensor(logits)[large][:proposal_topk]
    dataset_dict["proposals"] = proposals


def transform_instance_annotations(
    annotation: dict[str, Any],
    transforms: T.Transform | Sequence[T.Transform],
    image_size: tuple[int, int],
    *,
    keypoint_hflip_indices: np.ndarray | None = None,
) -> dict[str, Any]:
    """Transform the box and the segmentation of one annotation, in place.

    Args:
        annotation: a standard annotation; its box becomes XYXY, clipped to the image.
        transforms: those of the image.
        image_size: (height, width) after them.
        keypoint_hflip_indices: not supported; keypoints are left out of this package.

    Returns:
        The annotation; polygons have become arrays, RLE a bit mask of shape ``image_size``.
    """
    if keypoint_hflip_indices is not None or "keypoints" in annotation:
        raise NotImplementedError(
            "detectron2-core does not cover keypoints: remove 'keypoints' from the annotations, or "
            "use upstream Detectron2."
        )
    tfm: Any = T.TransformList(transforms) if isinstance(transforms, (list, tuple)) else transforms
    height, width = image_size
    corners = BoxMode.convert(annotation["bbox"], annotation["bbox_mode"], BoxMode.XYXY_ABS)
    box = tfm.apply_box(np.array([corners], dtype=np.float64))[0]
    annotation["bbox"] = np.minimum(box.clip(min=0), [width, height, width, height])
    annotation["bbox_mode"] = BoxMode.XYXY_ABS
    if "segmentation" in annotation:
        annotation["segmentation"] = _transform_segmentation(
            annotation["segmentation"], tfm, (height, width)
        )
    return annotation


def _transform_segmentation(
    segm: Any, transforms: T.Transform, image_size: tuple[int, int]
) -> list[np.ndarray] | np.ndarray:
    if isinstance(segm, list):
        corners = [np.array(polygon, dtype=np.float64).reshape(-1, 2) for polygon in segm]
        return [polygon.reshape(-1) for polygon in transforms.apply_polygons(corners)]
    if not isinstance(segm, dict):
        raise ValueError(
            f"Cannot transform a segmentation of type {type(segm).__name__}: supported are lists "
            "of polygons (flat lists of x and y) and COCO's compressed RLE dictionaries."
        )
    mask = transforms.apply_segmentation(mask_util.decode(segm))
    if mask.shape != tuple(image_size):
        raise ValueError(
            f"An RLE mask of {segm['size']} (height, width) became {mask.shape}, but its image "
            f"became {tuple(image_size)}: the mask is not of the image's size."
        )
    return mask


def annotations_to_instances(
    annos: list[dict[str, Any]], image_size: tuple[int, int], mask_format: str = "polygon"
) -> Instances:
    """Pack the annotations of an image into Instances, as models expect them.

    Args:
        annos: standard annotations, already transformed.
        image_size: (height, width) in pixels.
        mask_format: "polygon" or "bitmask", the kind of ``gt_masks``.

    Returns:
        Instances with ``gt_boxes``, ``gt_classes`` and, if the annotations have segmentations,
        ``gt_masks``.
    """
    instances = Instances(image_size)
    corners = [BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in annos]
    instances.gt_boxes = Boxes(torch.as_tensor(np.array(corners)).reshape(-1, 4))
    categories = [int(a["category_id"]) for a in annos]
    instances.gt_classes = torch.tensor(categories, dtype=torch.int64)
    if annos and "segmentation" in annos[0]:
        segmentations = [a["segmentation"] for a in annos]
        if mask_format == "polygon":
            instances.gt_masks = _to_polygon_masks(segmentations)
        elif mask_format == "bitmask":
            masks = [_to_bitmask(segm, image_size) for segm in segmentations]
            instances.gt_masks = BitMasks(torch.from_numpy(np.stack(masks)))
        else:
            raise ValueError(f"mask_format is 'polygon' or 'bitmask', not {mask_format!r}.")
    return instances


def _to_polygon_masks(segmentations: list[Any]) -> PolygonMasks:
    for segm in segmentations:
        if not isinstance(segm, list):
            raise ValueError(
                f"Mask format 'polygon' cannot hold a segmentation of type {type(segm).__name__} "
                "(an RLE or a bit mask); set INPUT.MASK_FORMAT, or the mapper's "
                "instance_mask_format, to 'bitmask'."
            )
    return PolygonMasks(segmentations)


def _to_bitmask(segm: Any, image_size: tuple[int, int]) -> np.ndarray:
    """A bool array of the image's size from polygons, compressed RLE, or an array."""
    if isinstance(segm, list):
        return polygons_to_bitmask(segm, *image_size).astype(bool)
    if isinstance(segm, dict):
        return mask_util.decode(segm).astype(bool)
    if isinstance(segm, np.ndarray):
        if segm.ndim != 2:
            raise ValueError(f"A bit mask has two dimensions, not the shape {segm.shape}.")
        return segm.astype(bool)
    raise ValueError(
        f"Cannot make a bit mask of a segmentation of type {type(segm).__name__}: supported are "
        "lists of polygons, COCO's compressed RLE dictionaries, and arrays of shape (H, W)."
    )


def filter_empty_instances(
    instances: Instances,
    by_box: bool = True,
    by_mask: bool = True,
    box_threshold: float = 1e-5,
    return_mask: bool = False,
) -> Any:
    """Leave out instances that are empty, usually because a crop cut them off.

    Args:
        instances: with ``gt_boxes`` and possibly ``gt_masks``.
        by_box: leave out empty boxes.
        by_mask: leave out empty masks.
        box_threshold: a box with an edge not longer than this is empty.
        return_mask: whether to return the decision, too.

    Returns:
        The instances that stay; with ``return_mask`` also a bool tensor, true where one stays.
    """
    if not (by_box or by_mask):
        raise ValueError("filter_empty_instances needs by_box or by_mask.")
    keep = torch.ones(len(instances), dtype=torch.bool)
    if by_box:
        keep &= instances.gt_boxes.nonempty(threshold=box_threshold)
    if by_mask and instances.has("gt_masks"):
        keep &= instances.gt_masks.nonempty()
    return (instances[keep], keep) if return_mask else instances[keep]


def check_metadata_consistency(key: str, dataset_names: Sequence[str]) -> None:
    """Check that several data sets agree in one entry of their metadata.

    Raises:
        AttributeError: if one of them has no such entry.
        ValueError: if two differ.
    """
    if not dataset_names:
        return
    first, *others = dataset_names
    reference = getattr(MetadataCatalog.get(first), key)
    for name in others:
        value = getattr(MetadataCatalog.get(name), key)
        if value != reference:
            raise ValueError(
                f"Datasets '{first}' and '{name}' have different metadata '{key}', so they cannot "
                f"be used together: {reference!r} and {value!r}."
            )


def gen_crop_transform_with_instance(
    crop_size: tuple[int, int], image_size: tuple[int, int], instance: dict[str, Any]
) -> T.CropTransform:
    """A crop at a random place that holds the centre of an instance.

    Args:
        crop_size: (height, width) of the crop, in pixels.
        image_size: (height, width) of the image.
        instance: a standard annotation.
    """
    crop, image = np.asarray(crop_size, dtype=np.int32), np.asarray(image_size)
    x0, y0, x1, y1 = BoxMode.convert(instance["bbox"], instance["bbox_mode"], BoxMode.XYXY_ABS)
    center = np.array([(y0 + y1) / 2, (x0 + x1) / 2])
    assert (center <= image).all() and (center >= 0).all(), (  # noqa: PT018
        f"The box {instance['bbox']} has its centre outside of an image of {tuple(image)} "
        "(height, width) pixels."
    )
    assert (crop <= image).all(), (
        f"A crop of {tuple(crop)} is larger than its image, {tuple(image)}."
    )
    lowest = np.maximum(np.floor(center).astype(np.int32) - crop, 0)
    highest = np.minimum(np.ceil(center).astype(np.int32), image - crop)
    top = np.random.randint(lowest[0], highest[0] + 1)
    left = np.random.randint(lowest[1], highest[1] + 1)
    return T.CropTransform(left, top, int(crop[1]), int(crop[0]))


def get_fed_loss_cls_weights(
    dataset_names: str | Sequence[str], freq_weight_power: float = 1.0
) -> torch.Tensor:
    """How often federated loss draws each class: its number of images to a power.

    Args:
        dataset_names: data sets whose metadata has the same ``class_image_count``, a list of
            ``{"id": ..., "image_count": ...}``.
        freq_weight_power: the power.
    """
    names = [dataset_names] if isinstance(dataset_names, str) else dataset_names
    check_metadata_consistency("class_image_count", names)
    counts = MetadataCatalog.get(names[0]).class_image_count
    by_id = sorted(counts, key=lambda row: row["id"])
    return torch.tensor([row["image_count"] for row in by_id]).float() ** freq_weight_power


def build_augmentation(cfg: Any, is_train: bool) -> list[T.Augmentation]:
    """The augmentations that ``cfg.INPUT`` describes: a resize and, in training, a flip."""
    options = cfg.INPUT
    if not is_train:
        return [T.ResizeShortestEdge(options.MIN_SIZE_TEST, options.MAX_SIZE_TEST, "choice")]
    directions: dict[str, Callable[[], list[T.Augmentation]]] = {
        "none": list,
        "horizontal": lambda: [T.RandomFlip(horizontal=True, vertical=False)],
        "vertical": lambda: [T.RandomFlip(horizontal=False, vertical=True)],
    }
    if options.RANDOM_FLIP not in directions:
        raise ValueError(
            f"INPUT.RANDOM_FLIP is one of {', '.join(directions)}; not {options.RANDOM_FLIP!r}."
        )
    style = options.MIN_SIZE_TRAIN_SAMPLING
    resize = T.ResizeShortestEdge(options.MIN_SIZE_TRAIN, options.MAX_SIZE_TRAIN, style)
    return [resize, *directions[options.RANDOM_FLIP]()]


annotations_to_instances_rotated = unavailable(
    __name__, "rotated boxes", "annotations_to_instances_rotated"
)

(create_keypoint_hflip_indices, transform_keypoint_annotations) = unavailable(
    __name__, "keypoints", "create_keypoint_hflip_indices transform_keypoint_annotations"
)

build_transform_gen = build_augmentation
_apply_exif_orientation = _upright
_EXIF_ORIENT = 274  # of EXIF's table of tags
_M_RGB2YUV, _M_YUV2RGB = _RGB_TO_YUV.tolist(), _YUV_TO_RGB.tolist()


def get_bbox(annotation: dict[str, Any]) -> np.ndarray:
    """An annotation's box, in absolute XYXY coordinates, (4,)."""
    mode = annotation["bbox_mode"]
    return np.asarray(BoxMode.convert(annotation["bbox"], mode, BoxMode.XYXY_ABS))
