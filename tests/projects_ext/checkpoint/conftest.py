"""Two models with different weights."""

import pytest
import torch
from torch import nn

from tests.projects_ext.checkpoint.small_models import small_mask_rcnn


@pytest.fixture(scope="module")
def source() -> nn.Module:
    """A model with weights of its own; tests only read it."""
    model = small_mask_rcnn(seed=1)
    for index, (name, value) in enumerate(model.state_dict().items()):
        if "running" in name:
            value.copy_(torch.rand(value.shape, generator=torch.Generator().manual_seed(index)))
    return model


@pytest.fixture
def model() -> nn.Module:
    return small_mask_rcnn(seed=2)
