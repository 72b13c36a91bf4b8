"""The common part of detectors that predict at every location of a feature pyramid.

Shapes: N images, L levels, A anchors a location, Hi x Wi locations on level i,
Ri = Hi * Wi * A anchors on level i, R = sum of Ri, K values an anchor.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from detectron2.data.detection_utils import convert_image_to_rgb
from detectron2.layers import batched_nms, move_device_like
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import get_event_storage

from ..backbone import Backbone
from ..postprocessing import detector_postprocess


def permute_to_N_HWA_K(tensor: Tensor, K: int) -> Tensor:
    """Bring a head's output to one row an anchor.

    Args:
        tensor: (N, A * K, H, W).
        K: values an anchor.

    Returns:
        (N, H * W * A, K).
    """
    if tensor.dim() != 4:
        raise ValueError(f"A dense prediction has shape {tuple(tensor.shape)}, not (N, A*K, H, W).")
    return tensor.permute(0, 2, 3, 1).reshape(tensor.shape[0], -1, K)


def focal_loss_targets(labels: Tensor, num_classes: int, like: Tensor) -> Tensor:
    """One-hot targets (..., K), of the type of ``like``; all zero for labels that are no class."""
    classes = torch.arange(num_classes, device=labels.device)
    return (labels[..., None] == classes).to(like.dtype)


class DenseDetector(nn.Module):
    """Normalises images, runs backbone and head, and leaves the rest to the subclass.

    A subclass implements :meth:`forward_training` and :meth:`forward_inference`.

    Args:
        backbone: the feature extractor.
        head: from a list of L feature maps to a tuple of predictions, each a list of L tensors.
        head_in_features: names of the feature maps; by default all, by rising stride.
        pixel_mean, pixel_std: of every channel, in the images' units; images are normalised
            with them.
    """

    vis_period: int = 0
    """Iterations between two pictures of predictions in training; 0 for none."""

    input_format: str = "BGR"
    """Order of the images' channels, for these pictures."""

    # What the inference methods here need; set by the subclass.
    box2box_transform: Any
    test_score_thresh: float
    test_topk_candidates: int
    test_nms_thresh: float
    max_detections_per_image: int

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self, backbone: Backbone, head: nn.Module, head_in_features: list[str] | None = None,
        *, pixel_mean: Sequence[float], pixel_std: Sequence[float],
    ) -> None:  # fmt: skip
        super().__init__()
        self.backbone = backbone
        self.head = head
        if head_in_features is None:
            strides = {name: shape.stride or 0 for name, shape in backbone.output_shape().items()}
            head_in_features = sorted(strides, key=strides.__getitem__)
        self.head_in_features = head_in_features
        for name, values in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
            tensor = torch.tensor(list(values), dtype=torch.float32).view(-1, 1, 1)
            self.register_buffer(name, tensor, persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the model is; inputs are moved there."""
        return self.pixel_mean.device

    def _move_to_current_device(self, x: Tensor) -> Tensor:
        return move_device_like(x, self.pixel_mean)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Losses in training, detections otherwise.

        Args:
            batched_inputs: one dictionary an image, as ``DatasetMapper`` makes them: ``image``
                (C, H, W); in training ``instances`` with ``gt_boxes`` and ``gt_classes``; at
                inference optionally ``height`` and ``width`` of the wanted output.

        Returns:
            in training, name -> scalar loss; otherwise one ``{"instances": Instances}`` an image,
            with ``pred_boxes``, ``scores`` and ``pred_classes``.

        Raises:
            ValueError: an image without ``instances`` in training.
        """
        images = self.preprocess_image(batched_inputs)
        feature_maps = self.backbone(images.tensor)
        features = [feature_maps[name] for name in self.head_in_features]
        predictions = self.head(features)
        if not self.training:
            return self._detections(batched_inputs, images, features, predictions)
        if any("instances" not in entry for entry in batched_inputs):
            raise ValueError("An input has no 'instances': training needs ground truth.")
        gt_instances = [entry["instances"].to(self.device) for entry in batched_inputs]
        if self._is_time_to_draw():
            with torch.no_grad():
                results = self.forward_inference(images, features, _detached(predictions))
            self.visualize_training(batched_inputs, results)
        return self.forward_training(images, features, predictions, gt_instances)

    def _detections(
        self, batched_inputs: list[dict[str, Any]], images: ImageList, features: list[Tensor],
        predictions: Any,
    ) -> list[dict[str, Instances]]:  # fmt: skip
        """Inference, and scaling to the size that every input asks for."""
        outputs = []
        all_results = self.forward_inference(images, features, predictions)
        for results, entry in zip(all_results, batched_inputs, strict=True):
            height, width = results.image_size
            size = entry.get("height", height), entry.get("width", width)
            outputs.append({"instances": detector_postprocess(results, *size)})
        return outputs

    def forward_training(
        self, images: ImageList, features: list[Tensor], predictions: Any,
        gt_instances: list[Instances],
    ) -> dict[str, Tensor]:  # fmt: skip
        """Compute the losses; for the subclass to implement."""
        raise NotImplementedError(f"{type(self).__name__} does not implement forward_training.")

    def forward_inference(
        self, images: ImageList, features: list[Tensor], predictions: Any
    ) -> list[Instances]:
        """Compute detections at the network's input size; for the subclass to implement."""
        raise NotImplementedError(f"{type(self).__name__} does not implement forward_inference.")

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """Normalise the images and pad them, as the backbone wants it, to one batch."""
        images = [self._move_to_current_device(entry["image"]) for entry in batched_inputs]
        return ImageList.from_tensors(
            [(image - self.pixel_mean) / self.pixel_std for image in images],
            self.backbone.size_divisibility,
            padding_constraints=self.backbone.padding_constraints,
        )

    def _transpose_dense_predictions(
        self, predictions: Sequence[list[Tensor]], dims_per_anchor: list[int]
    ) -> list[list[Tensor]]:
        """Bring every kind of prediction to (N, Ri, K) tensors, one a level.

        Args:
            predictions: one list of L tensors (N, A * K, Hi, Wi) a kind.
            dims_per_anchor: K of every kind.
        """
        pairs = zip(predictions, dims_per_anchor, strict=True)
        return [[permute_to_N_HWA_K(level, K) for level in kind] for kind, K in pairs]

    def _ema_update(
        self, name: str, value: float, initial_value: float, momentum: float = 0.9
    ) -> float:
        """Update, store as attribute ``name`` and return an exponential moving average."""
        previous = getattr(self, name, initial_value)
        average = momentum * previous + (1 - momentum) * value
        setattr(self, name, average)
        return average

    def _loss_normalizer(self, foreground: Tensor, initial: float) -> float:
        """Log the number of foreground anchors (N, R) and update its moving average."""
        count = int(foreground.sum())
        get_event_storage().put_scalar("num_pos_anchors", count / len(foreground))
        return self._ema_update("loss_normalizer", max(count, 1), initial)

    def _decode_per_level_predictions(
        self, anchors: Boxes, pred_scores: Tensor, pred_deltas: Tensor,
        score_thresh: float, topk_candidates: int, image_size: tuple[int, int],
    ) -> Instances:  # fmt: skip
        """Boxes of the best predictions of one image on one level.

        Args:
            anchors: Ri boxes.
            pred_scores: (Ri, number of classes).
            pred_deltas: (Ri, 4), for ``self.box2box_transform``.
            score_thresh: only scores over this count.
            topk_candidates: how many (anchor, class) pairs to keep at most.
            image_size: (height, width).

        Returns:
            ``pred_boxes``, ``scores`` and ``pred_classes``, by falling score.
        """
        candidates = (pred_scores > score_thresh).nonzero()
        scores = pred_scores[candidates[:, 0], candidates[:, 1]]
        scores, order = scores.sort(descending=True)
        anchor_index, classes = candidates[order[:topk_candidates]].unbind(dim=1)
        deltas, sources = pred_deltas[anchor_index], anchors.tensor[anchor_index]
        boxes = self.box2box_transform.apply_deltas(deltas, sources)
        return Instances(
            image_size, pred_boxes=Boxes(boxes), scores=scores[:topk_candidates],
            pred_classes=classes,
        )  # fmt: skip

    def _decode_multi_level_predictions(
        self, anchors: list[Boxes], pred_scores: list[Tensor], pred_deltas: list[Tensor],
        score_thresh: float, topk_candidates: int, image_size: tuple[int, int],
    ) -> Instances:  # fmt: skip
        """:meth:`_decode_per_level_predictions` of every level, concatenated."""
        levels = zip(anchors, pred_scores, pred_deltas, strict=True)
        settings = (score_thresh, topk_candidates, image_size)
        return Instances.cat(
            [self._decode_per_level_predictions(*level, *settings) for level in levels]
        )

    def _detect_per_image(
        self, images: ImageList, anchors: list[Boxes], scores: list[Tensor], deltas: list[Tensor]
    ) -> list[Instances]:
        """:meth:`inference_single_image` of every image; scores and deltas are (N, Ri, K)."""
        return [
            self.inference_single_image(
                anchors, [level[i] for level in scores], [level[i] for level in deltas], image_size
            )
            for i, image_size in enumerate(images.image_sizes)
        ]

    def inference_single_image(
        self, anchors: list[Boxes], box_cls: list[Tensor], box_delta: list[Tensor],
        image_size: tuple[int, int],
    ) -> Instances:  # fmt: skip
        """The detections of one image after NMS within every class.

        Args:
            anchors: one entry a level.
            box_cls: scores (Ri, number of classes) a level.
            box_delta: (Ri, 4) a level.
            image_size: (height, width) of the network's input without padding.

        Returns:
            ``pred_boxes``, ``scores`` and ``pred_classes``, by falling score.
        """
        found = self._decode_multi_level_predictions(
            anchors, box_cls, box_delta,
            self.test_score_thresh, self.test_topk_candidates, image_size,
        )  # fmt: skip
        keep = batched_nms(
            found.pred_boxes.tensor, found.scores, found.pred_classes, self.test_nms_thresh
        )
        return found[keep[: self.max_detections_per_image]]

    def _is_time_to_draw(self) -> bool:
        return self.vis_period > 0 and get_event_storage().iter % self.vis_period == 0

    def visualize_training(
        self, batched_inputs: list[dict[str, Any]], results: list[Instances]
    ) -> None:
        """Put a picture of ground truth beside predictions into the event storage.

        Args:
            batched_inputs: the inputs of :meth:`forward`; only the first is drawn.
            results: the detections of :meth:`forward_inference` on them.
        """
        # Drawing code is loaded by those who draw.
        from detectron2.utils.visualizer import Visualizer

        limit = 20
        entry, found = batched_inputs[0], results[0]
        image = convert_image_to_rgb(entry["image"].permute(1, 2, 0), self.input_format)
        truth = entry["instances"].gt_boxes.to(torch.device("cpu"))
        predicted = found.pred_boxes[:limit].tensor.detach().cpu().numpy()
        panels = [
            Visualizer(image, None).overlay_instances(boxes=boxes).get_image()
            for boxes in (truth, predicted)
        ]
        picture = np.concatenate(panels, axis=1).transpose(2, 0, 1)
        title = f"Left: ground truth; right: the {limit} most confident predictions"
        get_event_storage().put_image(title, picture)


def _detached(predictions: Any) -> Any:
    """The predictions, cut off the graph and copied: inference may work in place."""
    if isinstance(predictions, Tensor):
        return predictions.detach().clone()
    return [_detached(entry) for entry in predictions]
