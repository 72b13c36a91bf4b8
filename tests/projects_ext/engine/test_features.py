"""What a model's parts expect of each other."""

import pytest
import torch
from torch import nn

from projects_ext.engine.features import require_input_channels
from projects_ext.errors import UserError


class Model(nn.Module):
    def __init__(self, channels: int, values: int) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.zeros(values, 1, 1))
        self.backbone = nn.Sequential()
        # As in a feature pyramid, whose own convolutions come before those of its lower part.
        self.backbone.lateral = nn.Conv2d(64, 8, 1)
        self.backbone.bottom_up = nn.Sequential(nn.Conv2d(channels, 64, 3), nn.Conv2d(64, 64, 3))


def test_the_first_layer_takes_as_many_channels_as_there_are_means() -> None:
    require_input_channels(Model(3, 3))
    require_input_channels(Model(4, 4))
    require_input_channels(Model(3, 1))  # one mean for all channels
    require_input_channels(nn.Linear(2, 2))
    with pytest.raises(UserError, match=r"pixel_mean has 4 values, but .* takes 3 channels"):
        require_input_channels(Model(3, 4))
