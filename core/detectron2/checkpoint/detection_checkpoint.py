"""The checkpointer of training and inference."""

import os
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import numpy as np
import torch
from fvcore.common.checkpoint import Checkpointer
from torch import nn

from ..utils import comm
from ..utils.file_io import PathManager
from .matching import align_and_update_state_dicts
from .safe_files import load_arrays, load_tensors, replace_file

_CAFFE2_SUFFIXES = ("_w", "_b", "_s", "_bn_beta", "_bn_gamma")


def _is_caffe2(names: list[str]) -> bool:
    """Whether these are Caffe2 blobs, such as ``res2_0_branch2a_w``: names without dots."""
    if "blobs" in names:
        return True
    return (
        bool(names)
        and not any("." in name for name in names)
        and any(name.endswith(_CAFFE2_SUFFIXES) for name in names)
    )


def _split_query(path: str) -> tuple[str, bool]:
    """Path and request of ``path?matching_heuristics=True``."""
    parts = urlsplit(path)
    if not parts.query or os.path.exists(path):  # a local file may have a "?" in its name
        return path, False
    query = parse_qs(parts.query, keep_blank_values=True)
    wanted = query.pop("matching_heuristics", ["False"])
    if query or wanted not in (["True"], ["False"]):
        raise ValueError(
            f"Checkpoint path '{path}': after '?' only matching_heuristics=True is understood."
        )
    return urlunsplit(parts._replace(query="")), wanted == ["True"]


def _plain(value: Any) -> Any:
    """``value`` with Python numbers in place of NumPy's, which loaders refuse by default."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) is dict:
        return {key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    return value


class DetectionCheckpointer(Checkpointer):
    """fvcore's checkpointer with Detectron2's file formats, without running code from files.

    * ``.pth``: what it saves itself; loaded with ``weights_only=True``.
    * ``.pkl``: Detectron2's model zoo; loaded as arrays and plain values.
    * With ``"matching_heuristics": True`` in the file, or ``?matching_heuristics=True`` after its
      path, a name in the file stands for the name in the model that ends with it: so backbone
      weights load into a detector.

    Checkpoints are written beside their place and renamed: a full disk or a kill during a save
    leaves the last one whole. Only the main process writes. A DistributedDataParallel model is
    saved and loaded without the wrapper; every process has to see the file that it loads.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        save_to_disk: bool | None = None,
        **checkpointables: Any,
    ) -> None:
        """Track a model and other objects with a state.

        Args:
            model: the model, wrapped in DistributedDataParallel or not.
            save_dir: where checkpoints are saved and looked for.
            save_to_disk: whether this process writes; by default the main process does.
            checkpointables: objects with ``state_dict`` and ``load_state_dict``, by name.
        """
        if save_to_disk is None:
            save_to_disk = comm.is_main_process()
        super().__init__(model, save_dir, save_to_disk=save_to_disk, **checkpointables)
        self.path_manager = PathManager
        self._match_by_suffix = False

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load the model and, where the file has them, the other objects' states.

        Args:
            path: file, address or ``detectron2://`` name; "" loads nothing.
            args, kwargs: ``checkpointables``, as in fvcore: the names to load, None for all.

        Returns:
            what else the file holds, e.g. ``{"iteration": 99}``.

        Raises:
            FileNotFoundError: no such file.
            ValueError: its content is damaged, unsafe or of an unknown format.
        """
        if not path:
            return super().load(path, *args, **kwargs)
        path, self._match_by_suffix = _split_query(os.fspath(path))
        if path.startswith("catalog://"):
            raise ValueError(
                f"Checkpoint {path} has Caffe2's weight names, which detectron2-core does not "
                "convert: set MODEL.WEIGHTS to another file, or to '' for random weights."
            )
        local = self.path_manager.get_local_path(path)
        if not os.path.isfile(local):
            where = f" (seen from process {comm.get_rank()})" if comm.get_world_size() > 1 else ""
            raise FileNotFoundError(f"Checkpoint {path} does not exist{where}.")
        return super().load(local, *args, **kwargs)

    def save(self, name: str, **kwargs: Any) -> None:
        """Write ``name.pth`` into ``save_dir`` and make it the last checkpoint.

        Args:
            name: file name without ``.pth``.
            kwargs: values to store besides the states, e.g. ``iteration=99``.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        if "://" in self.save_dir:  # renaming is a matter of the local disk
            super().save(name, **kwargs)
            return
        states = {key: tracked.state_dict() for key, tracked in self.checkpointables.items()}
        content = {"model": self.model.state_dict(), **_plain(states | kwargs)}
        self.path_manager.mkdirs(self.save_dir)
        filename = os.path.join(self.save_dir, f"{name}.pth")
        self.logger.info("Saving checkpoint to %s", filename)
        replace_file(filename, lambda file: torch.save(content, file))
        self.tag_last_checkpoint(f"{name}.pth")

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Write the name of the last checkpoint into the file ``last_checkpoint``."""
        if "://" in self.save_dir:
            super().tag_last_checkpoint(last_filename_basename)
            return
        content = last_filename_basename.encode()
        tag = os.path.join(self.save_dir, "last_checkpoint")
        replace_file(tag, lambda file: file.write(content))

    def _load_file(self, filename: str) -> dict[str, Any]:
        """The file's dict, with the weights under "model"."""
        loaded = load_arrays(filename) if filename.endswith(".pkl") else load_tensors(filename)
        if not isinstance(loaded, dict):
            raise ValueError(f"{filename} holds a {type(loaded).__name__}, not a dict of weights.")
        if filename.endswith(".pkl") and _is_caffe2(list(loaded.get("model", loaded))):
            raise ValueError(
                f"{filename} has Caffe2's weight names, which detectron2-core does not convert: "
                "take detectron2://ImageNetPretrained/torchvision/R-50.pkl, say, or convert it."
            )
        if "__author__" in loaded:
            self.logger.info("Weights by %s", loaded["__author__"])
        if "model" not in loaded:
            if "model_state" in loaded and filename.endswith(".pyth"):  # pycls
                loaded = {"model": loaded["model_state"], "matching_heuristics": True}
            else:
                loaded = {"model": loaded}
        if self._match_by_suffix:
            loaded["matching_heuristics"] = True
        return loaded

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        """Load the weights; the answer names what did not fit."""
        if checkpoint.get("matching_heuristics", False):
            self._convert_ndarray_to_tensor(checkpoint["model"])
            checkpoint["model"] = align_and_update_state_dicts(
                self.model.state_dict(), checkpoint["model"]
            )
        incompatible = super()._load_model(checkpoint)
        # Older files lack the normalisation, which the config gives too, and have the anchors,
        # which are computed.
        buffers = dict(self.model.named_buffers(recurse=False))
        computed = {name for name in ("pixel_mean", "pixel_std") if name in buffers}
        missing, unexpected = incompatible.missing_keys, incompatible.unexpected_keys
        missing[:] = [name for name in missing if name not in computed]
        unexpected[:] = [name for name in unexpected if "anchor_generator.cell_anchors" not in name]
        return incompatible
