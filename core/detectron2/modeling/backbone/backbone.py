"""The interface every feature extractor fulfils."""

import copy
from abc import ABCMeta, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from detectron2.layers import ShapeSpec

__all__ = ["Backbone"]


class Backbone(nn.Module, metaclass=ABCMeta):
    """A network from an image batch to named feature maps.

    A subclass implements :meth:`forward` and fills three attributes: ``_out_features`` (list of
    names), ``_out_feature_channels`` and ``_out_feature_strides`` (name -> int); or overrides
    :meth:`output_shape`.
    """

    _out_features: list[str]
    _out_feature_channels: dict[str, int]
    _out_feature_strides: dict[str, int]

    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map images (N, C, H, W) to ``{name: (N, channels, H / stride, W / stride)}``."""

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of every feature map, in the order of the outputs."""
        channels, strides = self._out_feature_channels, self._out_feature_strides
        return {
            name: ShapeSpec(channels=channels[name], stride=strides[name])
            for name in self._out_features
        }

    @property
    def size_divisibility(self) -> int:
        """Height and width of the input must be multiples of this; 0 where any size will do."""
        return 0

    @property
    def padding_constraints(self) -> dict[str, int]:
        """Further wishes about padding, as ``ImageList.from_tensors`` takes them.

        Known keys: ``size_divisibility`` and ``square_size`` (pad to a square of that side).
        """
        return {}


def with_module_lists(module: nn.Module, lists: Mapping[str, Sequence[str]]) -> nn.Module:
    """A shallow copy whose plain lists of submodules are module lists, which TorchScript can loop.

    Args:
        module: has the lists as attributes, and their modules by name as well.
        lists: attribute -> names of the submodules, which the copy has in the list alone.
    """
    copied = copy.copy(module)
    copied._modules = dict(module._modules)
    for attribute, names in lists.items():
        modules = copied.__dict__.pop(attribute)
        for name in names:
            del copied._modules[name]
        copied.add_module(attribute, nn.ModuleList(modules))
    return copied
