"""Detection with test-time augmentation: several versions of one image, one merged answer.

Shape legend: V versions of an image, R detections, S side of a mask on the grid of its box.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from fvcore.transforms.transform import HFlipTransform, NoOpTransform, Transform
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from detectron2.config import CfgNode, configurable
from detectron2.data import transforms as T
from detectron2.data.detection_utils import read_image
from detectron2.data.transforms.augmentation import apply_augmentations  # noqa: F401
from detectron2.data.transforms.augmentation_impl import RandomFlip, ResizeShortestEdge  # noqa: F401
from detectron2.data.transforms.transform import ResizeTransform  # noqa: F401
from detectron2.structures import Boxes, Instances

from .meta_arch.rcnn import GeneralizedRCNN
from .postprocessing import detector_postprocess
from .roi_heads.fast_rcnn import fast_rcnn_inference_single_image

__all__ = ["DatasetMapperTTA", "GeneralizedRCNNWithTTA"]

# Each candidate has one class with a score; the others stay at 0 and must not become detections.
_ANY_SCORE = 1e-8


def _as_tensor(image: np.ndarray) -> Tensor:
    """(H, W, C) -> (C, H, W)."""
    return torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))


class DatasetMapperTTA:
    """Makes V resized and flipped versions of a model's input.

    Args:
        min_sizes: lengths of the shorter edge, in pixels; one version for each.
        max_size: limit of the longer edge.
        flip: whether each version is followed by its mirror image.
    """

    @configurable
    def __init__(self, min_sizes: Sequence[int], max_size: int, flip: bool) -> None:
        self.min_sizes, self.max_size, self.flip = min_sizes, max_size, flip

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Constructor arguments from ``cfg.TEST.AUG``."""
        aug = cfg.TEST.AUG
        return {"min_sizes": aug.MIN_SIZES, "max_size": aug.MAX_SIZE, "flip": aug.FLIP}

    def __call__(self, dataset_dict: dict[str, Any]) -> list[dict[str, Any]]:
        """Map one input with ``image`` (C, H, W) and the original's ``height`` and ``width``.

        Returns:
            V copies of the dict with other ``image`` and, new, ``transforms``, which lead from the
            original image to it.
        """
        image = dataset_dict["image"].permute(1, 2, 0).numpy()
        original, seen = (dataset_dict["height"], dataset_dict["width"]), image.shape[:2]
        first = NoOpTransform() if seen == original else T.ResizeTransform(*original, *seen)
        versions = []
        for length in self.min_sizes:
            resize = T.ResizeShortestEdge(length, self.max_size)
            for flips in ([], [T.RandomFlip(prob=1.0)]) if self.flip else ([],):
                changed, applied = T.apply_augmentations([resize, *flips], image.copy())
                version = copy.deepcopy(dataset_dict)
                version.update(image=_as_tensor(changed), transforms=first + applied)
                versions.append(version)
        return versions


class GeneralizedRCNNWithTTA(nn.Module):
    """A :class:`GeneralizedRCNN` that looks at several versions of each image.

    Boxes of all versions are joined by the detector's own NMS; masks are predicted for the joined
    boxes in every version and averaged. It is called as the model is in evaluation mode.
    """

    def __init__(
        self,
        cfg: CfgNode,
        model: nn.Module,
        tta_mapper: Callable[[dict[str, Any]], list[dict[str, Any]]] | None = None,
        batch_size: int = 3,
    ) -> None:
        """
        Args:
            cfg: the model's config; ``TEST.AUG`` says which versions, unless ``tta_mapper`` does.
            model: a :class:`GeneralizedRCNN`, possibly inside ``DistributedDataParallel``.
            tta_mapper: see :class:`DatasetMapperTTA`.
            batch_size: how many versions go through the model at once.

        Raises:
            AssertionError: another kind of model, or one on keypoints or precomputed proposals.
        """
        super().__init__()
        inner: Any = model.module if isinstance(model, DistributedDataParallel) else model
        assert isinstance(inner, GeneralizedRCNN), (
            "Test-time augmentation works with a GeneralizedRCNN, not with a "
            f"{type(inner).__name__}: set TEST.AUG.ENABLED to False."
        )
        for key in ("KEYPOINT_ON", "LOAD_PROPOSALS"):
            assert not cfg.MODEL[key], f"Test-time augmentation does not support MODEL.{key}."
        self.cfg = cfg.clone()
        self.model = inner
        self.tta_mapper = DatasetMapperTTA(cfg) if tta_mapper is None else tta_mapper
        self.batch_size = batch_size

    def __call__(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Instances]]:
        """Detect objects.

        Args:
            batched_inputs: N dicts with ``image`` (C, H, W) or else ``file_name``, and the size of
                the output ``height`` and ``width`` (by default the image's own).

        Returns:
            N dicts with ``instances``, as from :class:`GeneralizedRCNN`.
        """
        return [self._inference_one_image(self._with_image(x)) for x in batched_inputs]

    def _with_image(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """The dict with an image and a size."""
        sample = copy.copy(dataset_dict)
        if "image" not in sample:
            sample["image"] = _as_tensor(
                read_image(sample.pop("file_name"), self.model.input_format)
            )
        if "height" not in sample and "width" not in sample:
            sample["height"], sample["width"] = sample["image"].shape[1:]
        return sample

    def _inference_one_image(self, input: dict[str, Any]) -> dict[str, Instances]:
        size = (input["height"], input["width"])
        versions, transforms = self._get_augmented_inputs(input)
        with self._turn_off_roi_heads(["mask_on", "keypoint_on"]):
            boxes, scores, classes = self._get_augmented_boxes(versions, transforms)
        found = self._merge_detections(boxes, scores, classes, size)
        if self.cfg.MODEL.MASK_ON:
            known = self._rescale_detected_boxes(versions, found, transforms)
            outputs = self._batch_inference(versions, known)
            found.pred_masks = self._reduce_pred_masks(outputs, transforms)
            found = detector_postprocess(found, *size)
        return {"instances": found}

    @contextmanager
    def _turn_off_roi_heads(self, attrs: Sequence[str]) -> Iterator[None]:
        """Set those of the named switches that the RoI heads have to False for a while."""
        heads = self.model.roi_heads
        before = {name: getattr(heads, name) for name in attrs if hasattr(heads, name)}
        try:
            for name in before:
                setattr(heads, name, False)
            yield
        finally:
            for name, value in before.items():
                setattr(heads, name, value)

    def _batch_inference(
        self,
        batched_inputs: list[dict[str, Any]],
        detected_instances: list[Instances] | None = None,
    ) -> list[Instances]:
        """The model's answers in the coordinates of its inputs, a few inputs at once."""
        outputs: list[Instances] = []
        for start in range(0, len(batched_inputs), self.batch_size):
            part = slice(start, start + self.batch_size)
            known = None if detected_instances is None else detected_instances[part]
            outputs += self.model.inference(batched_inputs[part], known, do_postprocess=False)
        return outputs

    def _get_augmented_inputs(
        self, input: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], list[Transform]]:
        versions = self.tta_mapper(input)
        return versions, [version.pop("transforms") for version in versions]

    def _get_augmented_boxes(
        self, augmented_inputs: list[dict[str, Any]], tfms: Sequence[Transform]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes in pixels of the original image, scores and classes of all versions in a row."""
        outputs = self._batch_inference(augmented_inputs)
        boxes = []
        for output, transform in zip(outputs, tfms, strict=True):
            seen = output.pred_boxes.tensor.detach()
            original = transform.inverse().apply_box(seen.cpu().numpy())
            boxes.append(torch.from_numpy(original).to(seen.device))
        scores, classes = ([x.get(name) for x in outputs] for name in ("scores", "pred_classes"))
        return torch.cat(boxes), torch.cat(scores), torch.cat(classes)

    def _merge_detections(
        self, all_boxes: Tensor, all_scores: Any, all_classes: Any, shape_hw: tuple[int, int]
    ) -> Instances:
        """The detections that the NMS leaves of all versions' ones."""
        device, cfg = all_boxes.device, self.cfg
        classes = torch.as_tensor(all_classes, dtype=torch.int64, device=device)
        # One column more for the background, which fast_rcnn_inference leaves out.
        scores = torch.zeros(len(all_boxes), cfg.MODEL.ROI_HEADS.NUM_CLASSES + 1, device=device)
        scores[torch.arange(len(all_boxes), device=device), classes] = torch.as_tensor(
            all_scores, dtype=scores.dtype, device=device
        )
        nms_thresh, limit = cfg.MODEL.ROI_HEADS.NMS_THRESH_TEST, cfg.TEST.DETECTIONS_PER_IMAGE
        return fast_rcnn_inference_single_image(
            all_boxes, scores, shape_hw, _ANY_SCORE, nms_thresh, limit
        )[0]

    def _rescale_detected_boxes(
        self,
        augmented_inputs: list[dict[str, Any]],
        merged_instances: Instances,
        tfms: Sequence[Transform],
    ) -> list[Instances]:
        """The merged detections in pixels of each version."""
        original = merged_instances.pred_boxes.tensor.cpu().numpy()
        fields = {name: merged_instances.get(name) for name in ("pred_classes", "scores")}
        return [
            Instances(
                tuple(version["image"].shape[1:3]),
                # fvcore's transforms may change the coordinates that they are given.
                pred_boxes=Boxes(torch.from_numpy(transform.apply_box(original.copy()))),
                **fields,
            )
            for version, transform in zip(augmented_inputs, tfms, strict=True)
        ]

    def _reduce_pred_masks(self, outputs: Sequence[Instances], tfms: Sequence[Transform]) -> Tensor:
        """The mean (R, 1, S, S) of the versions' masks.

        Masks lie on the grid of their boxes, so that only mirroring matters to them.
        """
        masks = []
        for output, transform in zip(outputs, tfms, strict=True):
            mirrored = any(isinstance(x, HFlipTransform) for x in transform.transforms)
            masks.append(output.pred_masks.flip(3) if mirrored else output.pred_masks)
        return torch.stack(masks).mean(dim=0)
