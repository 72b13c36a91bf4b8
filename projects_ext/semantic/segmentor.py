"""The meta-architecture: Detectron2's SemanticSegmentor with what dilated networks need besides.

Shape legend: N images of H x W pixels, K classes.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, SemanticSegmentor, build_backbone
from detectron2.modeling.meta_arch.semantic_seg import build_sem_seg_head
from detectron2.structures import ImageList

from .checks import refuse_single_values
from .config import auxiliary_options, inferences_from_config
from .head import FCNHead, PixelHead
from .inference import Inference, WholeInference

MULTI_SCALE_KEY = "sem_seg_ms_flip"
"""Under what name the second prediction stands beside ``sem_seg``."""


@META_ARCH_REGISTRY.register()
class Segmentor(SemanticSegmentor):
    """Images -> backbone -> head -> logits; in training an auxiliary head learns besides.

    In contrast to its parent, images are predicted one by one, without padding, by an inference
    object; and logits are resized to the very size of the network's input, which need not be a
    multiple of the stride.

    Args:
        backbone: images -> dict of feature maps.
        sem_seg_head: feature maps -> logits and losses.
        auxiliary_head: one more, for training alone (Zhao et al., "Pyramid Scene Parsing Network",
            arXiv 1612.01105, section 4).
        inference: from network and image to logits of the wanted size; by default the whole image
            at once.
        multi_scale: a second way.
        predict_multi_scale: whether images are predicted by ``multi_scale``, too; the result is
            called ``sem_seg_ms_flip``.
        pixel_mean, pixel_std: a value a channel, in the order of the input's channels.
        input_format: "RGB" or "BGR", as the images are read.

    Raises:
        ValueError: a head that does not know the size of its logits, or ``predict_multi_scale``
            without ``multi_scale``.
    """

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        sem_seg_head: PixelHead,
        auxiliary_head: PixelHead | None = None,
        inference: Inference | None = None,
        multi_scale: Inference | None = None,
        predict_multi_scale: bool = False,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        input_format: str | None = None,
    ) -> None:
        if not isinstance(sem_seg_head, PixelHead):
            raise ValueError(
                f"{type(sem_seg_head).__name__} is no head for a Segmentor: take one on a single "
                "feature map, such as FCNHead, or the meta-architecture SemanticSegmentor"
            )
        super().__init__(
            backbone=backbone, sem_seg_head=sem_seg_head, pixel_mean=pixel_mean, pixel_std=pixel_std
        )
        if predict_multi_scale and multi_scale is None:
            raise ValueError("predict_multi_scale is on, but there is no multi_scale to predict by")
        self.auxiliary_head = auxiliary_head
        self.inference = inference or WholeInference(align_corners=sem_seg_head.align_corners)
        self.multi_scale = multi_scale if predict_multi_scale else None
        self.input_format = input_format

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Constructor arguments from ``cfg.MODEL``."""
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        with_auxiliary = cfg.MODEL.SEMANTIC.AUXILIARY.ENABLED
        inference, multi_scale = inferences_from_config(cfg)
        return {
            "backbone": backbone,
            "sem_seg_head": build_sem_seg_head(cfg, shapes),
            "auxiliary_head": (
                FCNHead(**auxiliary_options(cfg, shapes)) if with_auxiliary else None
            ),
            "inference": inference,
            "multi_scale": multi_scale,
            "predict_multi_scale": multi_scale is not None,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "input_format": cfg.INPUT.FORMAT,
        }

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Losses while training, predictions otherwise.

        Args:
            batched_inputs: N dicts with ``image`` (3, H, W), in training ``sem_seg`` (H, W) of
                class indices, otherwise optionally the wanted ``height`` and ``width``.

        Returns:
            a dict of losses, or N dicts with ``sem_seg`` (K, height, width): the inference's
            scores, the highest of which is the class. With ``predict_multi_scale`` also
            ``sem_seg_ms_flip``.

        Raises:
            ValueError: training without labels, with labels of another size than the image's or of
                no class, or with a single value a channel for batch normalisation.
        """
        images = [self.normalise(sample["image"]) for sample in batched_inputs]
        if self.training:
            return self.losses(images, batched_inputs)
        return [
            self.predict(image, (sample.get("height", size[0]), sample.get("width", size[1])))
            for image, sample in zip(images, batched_inputs, strict=True)
            for size in (image.shape[-2:],)
        ]

    def normalise(self, image: Tensor) -> Tensor:
        """Pixel values of 0 to 255 as the network takes them, on its device."""
        return (image.to(self.pixel_mean.device) - self.pixel_mean) / self.pixel_std

    def encode(self, images: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) -> logits (N, K, H, W), float32."""
        height, width = images.shape[-2:]
        head: Any = self.sem_seg_head
        return head.logits(self.backbone(images), (height, width))

    def predict(self, image: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """What the model says about one image.

        Args:
            image: (3, H, W), normalised.
            size: height and width of the answer.
        """
        found = {"sem_seg": self.inference(self.encode, image, size)}
        if self.multi_scale is not None:
            found[MULTI_SCALE_KEY] = self.multi_scale(self.encode, image, size)
        return found

    def losses(self, images: list[Tensor], samples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """The losses of both heads.

        Smaller images of the batch are padded at the right and the bottom with zeros, and their
        labels with the value that is ignored.

        Args:
            images: normalised, (3, H, W) each.
            samples: what holds their labels.
        """
        head: Any = self.sem_seg_head
        ignored, device = head.ignore_value, self.pixel_mean.device
        labels = [_labels(x, head.predictor.out_channels, ignored).to(device) for x in samples]
        divisibility, constraints = self._padding()
        batch = ImageList.from_tensors(images, divisibility, 0.0, constraints).tensor
        targets = ImageList.from_tensors(labels, divisibility, ignored, constraints).tensor
        self._refuse_single_values(batch)
        features = self.backbone(batch)
        losses = dict(head(features, targets)[1])
        if self.auxiliary_head is not None:
            losses.update(self.auxiliary_head(features, targets)[1])
        return losses

    def _padding(self) -> tuple[int, Any]:
        backbone: Any = self.backbone
        return backbone.size_divisibility, backbone.padding_constraints

    def _refuse_single_values(self, images: Tensor) -> None:
        """Before torch does it, in words that tell less."""
        stride = max(shape.stride or 1 for shape in self.backbone.output_shape().values())
        size = [-(-length // stride) for length in images.shape[-2:]]
        refuse_single_values(self, len(images), size)


def _labels(sample: dict[str, Any], classes: int, ignored: int) -> Tensor:
    """A sample's labels, checked while they are where the loader put them: not on a GPU."""
    name = sample.get("file_name", "an image")
    if "sem_seg" not in sample:
        raise ValueError(
            f"{name} has no labels of its pixels: semantic segmentation trains on data sets with a "
            "sem_seg_file_name for each image"
        )
    labels, image = sample["sem_seg"], sample["image"]
    if labels.shape[-2:] != image.shape[-2:]:
        raise ValueError(
            f"{name} has {_text(image)} pixels as the network sees it, its labels have "
            f"{_text(labels)}: label every pixel of the image"
        )
    unknown = ((labels < 0) | (labels >= classes)) & (labels != ignored)
    if unknown.any():
        values = ", ".join(map(str, labels[unknown].unique().tolist()[:5]))
        raise ValueError(
            f"{name} has pixels labelled {values}, but the model has {classes} classes (0 to "
            f"{classes - 1}) and ignores {ignored}: correct the labels, or the model's num_classes"
        )
    return labels


def _text(x: Tensor) -> str:
    return f"{x.shape[-1]} x {x.shape[-2]}"
