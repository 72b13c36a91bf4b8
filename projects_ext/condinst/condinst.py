"""CondInst: instance masks without RoIs (arXiv 2003.05664)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, build_backbone
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.structures import ImageList, Instances

from .config import criterion_from_config, selection_from_config
from .head import CondInstHead, Predictions
from .inference import Selection, detect
from .mask_branch import MaskBranch, SemanticBranch
from .mask_head import DynamicMaskHead
from .training import Criterion


@META_ARCH_REGISTRY.register()
class CondInst(DenseDetector):
    """Boxes as in FCOS, and for each instance a small mask head of its own.

    Every location predicts, beside class, box and centerness, the parameters of a mask head. Those
    of the detections are run on mask features of the whole image; there are no regions.

    Args:
        backbone: makes the pyramid.
        head: see :class:`CondInstHead`.
        head_in_features: names of the maps for it, finest first.
        mask_branch: makes mask features.
        mask_in_features: names of the maps for it, among ``head_in_features``.
        mask_head: see :class:`DynamicMaskHead`.
        criterion: the losses.
        semantic_branch: trains the first of ``mask_in_features`` to tell classes; None: it is not.
        num_classes: K.
        selection: which predictions become detections.
        pixel_mean, pixel_std: images are normalised with them, channel by channel.
        input_format: order of the images' channels.
    """

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        head: CondInstHead,
        head_in_features: Sequence[str] = ("p3", "p4", "p5", "p6", "p7"),
        mask_branch: MaskBranch,
        mask_in_features: Sequence[str] = ("p3", "p4", "p5"),
        mask_head: DynamicMaskHead,
        criterion: Criterion,
        semantic_branch: SemanticBranch | None = None,
        num_classes: int,
        selection: Selection,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        input_format: str = "BGR",
    ) -> None:
        super().__init__(
            backbone, head, list(head_in_features), pixel_mean=pixel_mean, pixel_std=pixel_std
        )
        self.num_classes, self.input_format = num_classes, input_format
        self.mask_branch, self.mask_head = mask_branch, mask_head
        self.semantic_branch = semantic_branch
        self.criterion, self.selection = criterion, selection
        shapes = backbone.output_shape()
        self.strides = [shapes[name].stride or 1 for name in self.head_in_features]
        self.mask_levels = [self.head_in_features.index(name) for name in mask_in_features]
        if head.controller.out_channels != mask_head.num_parameters:
            raise ValueError(
                f"The controller predicts {head.controller.out_channels} parameters, but a mask "
                f"head has {mask_head.num_parameters}: set num_parameters of the head"
            )

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """The parts that ``cfg.MODEL.CONDINST`` describes."""
        options = cfg.MODEL.CONDINST
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        mask_shapes = [shapes[name] for name in options.MASK_BRANCH.IN_FEATURES]
        mask_head = DynamicMaskHead(
            in_channels=options.MASK_BRANCH.OUT_CHANNELS,
            channels=options.MASK_HEAD.CHANNELS,
            stride=mask_shapes[0].stride or 1,
            out_stride=options.MASK_HEAD.OUT_STRIDE,
            size_of_interest=options.MASK_HEAD.SIZE_OF_INTEREST,
        )
        head_shapes = [shapes[name] for name in options.IN_FEATURES]
        semantic = SemanticBranch(cfg, mask_shapes[0]) if options.SEMANTIC_LOSS else None
        return {
            "backbone": backbone,
            "head": CondInstHead(cfg, head_shapes, num_parameters=mask_head.num_parameters),
            "head_in_features": options.IN_FEATURES,
            "mask_branch": MaskBranch(cfg, mask_shapes),
            "mask_in_features": options.MASK_BRANCH.IN_FEATURES,
            "mask_head": mask_head,
            "criterion": criterion_from_config(cfg),
            "semantic_branch": semantic,
            "num_classes": options.NUM_CLASSES,
            "selection": selection_from_config(cfg),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "input_format": cfg.INPUT.FORMAT,
        }

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Losses in training, detections otherwise.

        Args:
            batched_inputs: one dictionary an image, as ``DatasetMapper`` makes them: ``image``
                (C, H, W); in training ``instances`` with ``gt_boxes``, ``gt_classes`` and
                ``gt_masks``; at inference optionally ``height`` and ``width`` of the wanted output.

        Returns:
            in training, name -> scalar loss; otherwise one ``{"instances": Instances}`` an image
            with ``pred_boxes``, ``scores``, ``pred_classes`` and ``pred_masks`` (I, height, width).
        """
        outputs = super().forward(batched_inputs)
        if not self.training:
            for entry, output in zip(batched_inputs, outputs, strict=True):
                self._paste_masks(output["instances"], tuple(entry["image"].shape[-2:]))
        return outputs

    def _paste_masks(self, found: Instances, image_size: tuple[int, ...]) -> None:
        height, width = image_size
        # A tuple also where it is a tensor, in upstream Detectron2 while it is traced.
        rows, columns = found.image_size
        found.pred_masks = self.mask_head.paste(found.mask_logits, (height, width), (rows, columns))
        found.remove("mask_logits")

    def forward_training(
        self,
        images: ImageList,
        features: list[Tensor],
        predictions: Predictions,
        gt_instances: list[Instances],
    ) -> dict[str, Tensor]:
        """The losses of a batch, see :class:`Criterion`."""
        maps = [features[level] for level in self.mask_levels]
        losses = self.criterion.losses(
            predictions, self.strides, self.mask_branch(maps), self.mask_head, gt_instances
        )
        if self.semantic_branch is None:
            return losses
        branch = self.semantic_branch
        return losses | self.criterion.semantic_loss(branch(maps[0]), branch.stride, gt_instances)

    def forward_inference(
        self, images: ImageList, features: list[Tensor], predictions: Predictions
    ) -> list[Instances]:
        """The detections of every image at the network's input size, with ``mask_logits``."""
        found = detect(predictions, self.strides, images.image_sizes, self.selection)
        mask_features = self.mask_branch([features[level] for level in self.mask_levels])
        for instances, image_features in zip(found, mask_features, strict=True):
            arguments = (instances.parameters, instances.points, instances.strides)
            instances.mask_logits = self.mask_head(image_features, *arguments)
            for name in ("parameters", "points", "strides"):
                instances.remove(name)
        return found
