"""A trained model, ready for images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from detectron2.data.catalog import Metadata
from detectron2.structures import Instances
from projects_ext.engine.base import RunTrainer
from projects_ext.engine.config_files import Config
from projects_ext.engine.devices import require_device
from projects_ext.engine.evaluated_model import say_not_augmented
from projects_ext.engine.evaluated_weights import load_for_evaluation
from projects_ext.engine.idle_keys import say_idle_in_prediction
from projects_ext.engine.main import trainer_for
from projects_ext.engine.settings import Settings
from projects_ext.errors import UserError
from projects_ext.evaluation import require_finite, watch_channels
from projects_ext.semantic.segmentor import MULTI_SCALE_KEY

from .classes import builtin, describe, numbered, require_count
from .configs import counts_classes_in_data, device_for, find_config, on_device, with_class_count
from .kinds import kind_of_class
from .preparation import ArrayFormat, ImageLike, Preparation, evaluation_mapper
from .thresholds import ScoreThreshold, require_threshold
from .weights import classes_in, find_weights

Prediction = Instances | torch.Tensor

AT_ONCE = 8
"""How many images of a list are in memory at a time."""


class Predictor:
    """A trained model that takes images and returns what it finds in them.

    Images are read and resized exactly as in an evaluation with the same config, so that results
    are the same, too. No data set is needed.

    >>> predictor = Predictor("output/shapes/config.yaml")
    >>> instances = predictor("image.jpg")

    Attributes:
        kind: "instances", or "semantic" for models of label maps.
        class_names: in order; their numbers where nobody knows the names.
        metadata: names and colours of the classes, as Detectron2's ``Visualizer`` takes them:
            ``thing_classes`` and ``thing_colors``, or ``stuff_classes`` and ``stuff_colors``.
        model: in inference mode.
        device: of the model.
        weights: the path or address of the file that they are from.
    """

    def __init__(
        self,
        config: Any,
        weights: str | Path | None = None,
        device: str | torch.device | None = None,
        *,
        opts: Sequence[str] = (),
        confidence_threshold: float | None = None,
        array_format: ArrayFormat = "BGR",
    ) -> None:
        """
        Args:
            config: the path of a LazyConfig (``.py``), of a YAML config of Detectron2 or of a
                run's ``config.yaml`` or folder; the name of a config in the zoo; or a loaded
                config, which is not changed.
            weights: the path or address of a file of any family that ``train.init_checkpoint``
                takes, the folder of a run, or the name of a published experiment. None: for a
                config of the zoo its published weights, for a run's ``config.yaml`` the newest
                checkpoint in its folder, else what the config names.
            device: of the model; None: the GPU if there is one.
            opts: overrides of the config, as ``train_net.py`` takes them.
            confidence_threshold: detections of lower scores are left out. The model's own score
                threshold is lowered to it. None: all that the model detects.
            array_format: the order of the channels in arrays, "BGR" or "RGB".

        Raises:
            UserError: a config, weights or a device that cannot be used, or weights that do not
                give a value to each parameter of the model.
        """
        source = find_config(config, opts)
        source.require_effect(weights, device)
        name = device_for(source, device)
        require_device(name)
        cfg = on_device(source.cfg, name)
        settings = Settings.of(cfg)
        say_not_augmented(cfg)
        self.weights = find_weights(source, settings, weights)
        if counts_classes_in_data(cfg):
            trust = settings.trust_checkpoint
            cfg = with_class_count(cfg, len(settings.classes or classes_in(self.weights, trust)))
        trainer = trainer_for(cfg)
        self.model = trainer.build_model(cfg).eval()
        self.device = torch.device(name)
        self.kind = kind_of_class(type(self.model))
        self.class_names, self.metadata = self._load(cfg, settings, trainer)
        watch_channels(self.model)
        self._threshold = ScoreThreshold(self.model)
        self.confidence_threshold = confidence_threshold
        self._preparation = Preparation(evaluation_mapper(cfg), array_format)
        say_idle_in_prediction(source.cfg, source.given)

    def _load(
        self, cfg: Config, settings: Settings, trainer: type[RunTrainer]
    ) -> tuple[list[str], Metadata]:
        """Load the weights; the names of the classes, and what is known of them."""
        known = builtin(cfg, self.model, self.kind)
        names = list(settings.classes)
        require_count(names, self.model, self.kind)
        if not names and known is not None:
            names = list(known.get("stuff_classes" if self.kind == "semantic" else "thing_classes"))
        report = load_for_evaluation(
            trainer, self.model, self.weights, settings, names or None, prefix=""
        )
        names = names or list(report.classes) or numbered(self.model, self.kind)
        return names, describe(names, self.kind, known)

    @property
    def mapper(self) -> Any:
        """What reads and resizes images: the one of an evaluation."""
        return self._preparation.mapper

    @property
    def confidence_threshold(self) -> float | None:
        """Detections of lower scores are left out; None: the model's own threshold alone."""
        return self._confidence

    @confidence_threshold.setter
    def confidence_threshold(self, value: float | None) -> None:
        if value is not None:
            require_threshold(value, self.kind)
        self._threshold.lower_to(value)
        self._confidence = value

    def __call__(self, images: ImageLike | Sequence[ImageLike]) -> Any:
        """Predict on one image or on several.

        Args:
            images: a path (of animations the first frame is read), a PIL image, or an array of
                uint8 (H, W, 3) in ``array_format`` or (H, W) in grey; or a list of these, of any
                sizes.

        Returns:
            for an image, Detectron2's ``Instances`` on the CPU with ``pred_boxes``, ``scores``,
            ``pred_classes`` and, if the model has masks, ``pred_masks``, at the image's size; or
            an (H, W) label map, an int64 tensor (with ``model.predict_multi_scale=True`` that of
            several scales). For a list, a list of these.

        Raises:
            UserError: something that is no image, or cannot be read.
        """
        if not isinstance(images, list | tuple):
            return self.predict([self.prepare(images)])[0]  # type: ignore[arg-type]
        found: list[Prediction] = []
        for start in range(0, len(images), AT_ONCE):
            found += self.predict([self.prepare(x) for x in images[start : start + AT_ONCE]])
        return found

    def prepare(self, image: ImageLike) -> dict[str, Any]:
        """Decode and resize an image, for :meth:`predict`; may be called from several threads.

        Args:
            image: as for :meth:`__call__`.

        Returns:
            the model's input, on the CPU: ``image`` (C, h, w), and the ``height`` and ``width`` of
            the original image.
        """
        return self._preparation(image)

    @torch.no_grad()
    def predict(self, inputs: Sequence[dict[str, Any]]) -> list[Prediction]:
        """Run the network on what :meth:`prepare` returned.

        On a GPU, images that the network pads to the same size are one batch: padding them to a
        common larger size would change the results. On the CPU they go one by one, which is as
        fast and gives the same numbers, bit by bit, for any list.

        Returns:
            as :meth:`__call__`, one result for each input.
        """
        # The scores of label maps need much memory, and their models go image by image anyhow.
        alone = self.device.type == "cpu" or self.kind == "semantic"
        step = 0 if alone else max(getattr(self.model.backbone, "size_divisibility", 0), 1)
        found: dict[int, Prediction] = {}
        for group in batches([given["image"].shape[-2:] for given in inputs], step):
            batch = [inputs[index] for index in group]
            for index, given, output in zip(group, batch, self.model(batch), strict=True):
                require_finite(given, output)
                found[index] = self._result(output)
        return [found[index] for index in range(len(inputs))]

    def _result(self, output: dict[str, Any]) -> Prediction:
        if self.kind == "semantic":
            return output.get(MULTI_SCALE_KEY, output["sem_seg"]).argmax(dim=0).cpu()
        if "instances" not in output:
            raise UserError(
                f"{type(self.model).__name__} predicts {', '.join(output)}, but no instances: give "
                "a detector or a model of label maps"
            )
        instances = output["instances"]
        if self._confidence is not None:
            instances = instances[instances.scores >= self._confidence]
        return instances.to("cpu")


def batches(sizes: Sequence[Sequence[int]], step: int) -> list[list[int]]:
    """Which images go through a network together, so that they are padded as if alone.

    Args:
        sizes: (height, width) of each.
        step: the network pads both to a multiple of it; 0: each image alone.

    Returns:
        their indices.
    """
    if not step:
        return [[index] for index in range(len(sizes))]
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, size in enumerate(sizes):
        groups.setdefault(tuple(-(-edge // step) for edge in size), []).append(index)
    return list(groups.values())
