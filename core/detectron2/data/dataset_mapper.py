"""From a data set dictionary to what a model takes: read, augment, pack."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from detectron2.config import configurable

from . import detection_utils as utils
from . import transforms as T

__all__ = ["DatasetMapper"]

logger = logging.getLogger(__name__)


class DatasetMapper:
    """Reads the image of a data set dictionary, augments it with all that belongs to it.

    Args:
        is_train: False to leave annotations out.
        augmentations: augmentations or fixed transforms, in order.
        image_format: see :func:`detectron2.data.detection_utils.read_image`.
        use_instance_mask: whether to make ``gt_masks``.
        use_keypoint, keypoint_hflip_indices: not supported; keypoints are left out.
        instance_mask_format: "polygon" or "bitmask".
        precomputed_proposal_topk: how many precomputed proposals to keep; None for not using any.
        recompute_boxes: whether to replace the boxes by those of the masks, which fit more tightly
            after a crop; needs masks.
    """

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        augmentations: list[T.Augmentation | T.Transform],
        image_format: str,
        use_instance_mask: bool = False,
        use_keypoint: bool = False,
        instance_mask_format: str = "polygon",
        keypoint_hflip_indices: np.ndarray | None = None,
        precomputed_proposal_topk: int | None = None,
        recompute_boxes: bool = False,
    ) -> None:
        if use_keypoint or keypoint_hflip_indices is not None:
            raise NotImplementedError(
                "detectron2-core does not cover keypoints: leave use_keypoint and "
                "keypoint_hflip_indices (MODEL.KEYPOINT_ON) at their defaults."
            )
        if recompute_boxes and not use_instance_mask:
            raise ValueError("recompute_boxes needs instance masks: set use_instance_mask, too.")
        self.is_train = is_train
        self.augmentations = T.AugmentationList(augmentations)
        self.image_format = image_format
        self.use_instance_mask, self.use_keypoint = use_instance_mask, use_keypoint
        self.instance_mask_format = instance_mask_format
        self.keypoint_hflip_indices = keypoint_hflip_indices
        self.proposal_topk = precomputed_proposal_topk
        self.recompute_boxes = recompute_boxes
        stage = "training" if is_train else "inference"
        logger.info("[DatasetMapper] Augmentations used in %s: %s", stage, augmentations)

    @classmethod
    def from_config(cls, cfg: Any, is_train: bool = True) -> dict[str, Any]:
        """The constructor's arguments from a config node."""
        augmentations: list[Any] = utils.build_augmentation(cfg, is_train)
        crops = bool(cfg.INPUT.CROP.ENABLED and is_train)
        if crops:
            augmentations.insert(0, T.RandomCrop(cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE))
        arguments = {
            "augmentations": augmentations,
            "image_format": cfg.INPUT.FORMAT,
            "instance_mask_format": cfg.INPUT.MASK_FORMAT,
            "is_train": is_train,
            # A crop cuts objects, and then their boxes are no longer tight.
            "recompute_boxes": crops and cfg.MODEL.MASK_ON,
            "use_instance_mask": cfg.MODEL.MASK_ON,
            "use_keypoint": cfg.MODEL.KEYPOINT_ON,
        }
        if cfg.MODEL.LOAD_PROPOSALS:
            phase = "TRAIN" if is_train else "TEST"
            topk = cfg.DATASETS[f"PRECOMPUTED_PROPOSAL_TOPK_{phase}"]
            arguments["precomputed_proposal_topk"] = topk
        return arguments

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Map one dictionary; the given one is not changed.

        Returns:
            The dictionary with ``image``, a (C, H, W) tensor, and, where the data set has them,
            ``sem_seg``, an (H, W) int64 tensor, ``proposals`` and, in training, ``instances``.
        """
        sample = copy.deepcopy(dataset_dict)
        image = utils.read_image(sample["file_name"], format=self.image_format)
        utils.check_image_size(sample, image)
        sem_seg = None
        if "sem_seg_file_name" in sample:
            sem_seg = utils.read_image(sample.pop("sem_seg_file_name"), "L").squeeze(2)
        aug_input = T.AugInput(image, sem_seg=sem_seg)
        del image  # not to be held beside the augmented one
        transforms = self.augmentations(aug_input)
        size = aug_input.image.shape[:2]

        channels_first = np.atleast_3d(aug_input.image).transpose(2, 0, 1)
        sample["image"] = torch.as_tensor(np.ascontiguousarray(channels_first))
        if aug_input.sem_seg is not None:
            sample["sem_seg"] = torch.as_tensor(aug_input.sem_seg.astype("long"))
        if self.proposal_topk is not None:
            utils.transform_proposals(sample, size, transforms, proposal_topk=self.proposal_topk)
        if not self.is_train:
            sample.pop("annotations", None)
        elif "annotations" in sample:
            self._transform_annotations(sample, transforms, size)
        return sample

    def _transform_annotations(
        self, dataset_dict: dict[str, Any], transforms: T.Transform, image_shape: Sequence[int]
    ) -> None:
        """Replace ``annotations`` by ``instances``; crowd regions are left out."""
        height, width = image_shape
        unused = {"keypoints"} if self.use_instance_mask else {"keypoints", "segmentation"}
        annos = []
        for annotation in dataset_dict.pop("annotations"):
            if annotation.get("iscrowd", 0) == 0:
                used = {key: value for key, value in annotation.items() if key not in unused}
                annos.append(
                    utils.transform_instance_annotations(used, transforms, (height, width))
                )
        instances = utils.annotations_to_instances(
            annos, (height, width), mask_format=self.instance_mask_format
        )
        # An image without objects has no masks to take boxes from.
        if self.recompute_boxes and instances.has("gt_masks"):
            instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
        dataset_dict["instances"] = utils.filter_empty_instances(instances)
