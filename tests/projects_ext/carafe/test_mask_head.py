"""The CARAFE mask head against its literal form."""

from typing import Any

import pytest
import torch
from torch import nn

from detectron2.layers import ShapeSpec
from detectron2.structures import Instances
from projects_ext.carafe import CARAFEMaskHead
from projects_ext.layers import CARAFEUpsample
from tests.procedural import procedural_noise, procedural_state
from tests.references import carafe_pyramid

REGION = ShapeSpec(channels=6, height=14, width=14)


def head(**options: Any) -> CARAFEMaskHead:
    return CARAFEMaskHead(REGION, **{"num_classes": 3, "conv_dims": [8, 8, 8, 8], **options})


def test_literal_form() -> None:
    module = head()
    shapes = {name: value.shape for name, value in module.state_dict().items()}
    state = procedural_state(shapes, [("encoder", 2.0)])
    module.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    regions = procedural_noise("regions", (2, 6, 7, 5))
    with torch.no_grad():
        found, expected = module.layers(regions), carafe_pyramid.mask_logits(module, regions)
    assert found.shape == (2, 3, 14, 10)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_names_and_initial_values() -> None:
    torch.manual_seed(0)
    module = head(num_classes=200, conv_dims=[64, 64])
    parts = {name.rpartition(".")[0] for name in module.state_dict()}
    assert parts == {"mask_fcn1", "upsampler.compressor", "upsampler.encoder", "predictor"}
    # Kaiming normal over the outputs of the 1x1 convolution.
    assert module.predictor.weight.std().item() == pytest.approx((2 / 200) ** 0.5, rel=0.05)
    assert not module.predictor.bias.any()


def test_no_relu_behind_the_upsampler() -> None:
    module = head(upsampler=nn.Upsample(scale_factor=2))
    regions = procedural_noise("regions", (1, 6, 4, 4))
    seen = []
    module.upsampler.register_forward_hook(lambda part, inputs, output: -output)
    module.predictor.register_forward_hook(lambda part, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        module.layers(regions)
    assert seen[0].shape == (1, 8, 8, 8)
    assert (seen[0] < 0).any()


def test_injected_upsampler_may_change_channels() -> None:
    module = head(conv_dims=[8, 4], upsampler=nn.ConvTranspose2d(8, 4, 2, stride=2))
    assert module.layers(torch.zeros(1, 6, 14, 14)).shape == (1, 3, 28, 28)


def test_carafe_keeps_channels() -> None:
    with pytest.raises(ValueError, match="end in 8 and 4 channels: CARAFE keeps their number"):
        head(conv_dims=[8, 4])
    assert isinstance(head(conv_dims=[6]).upsampler, CARAFEUpsample)


def test_no_regions() -> None:
    module = head()
    nothing = Instances((64, 64), gt_classes=torch.zeros(0, dtype=torch.long))
    loss = module(torch.zeros(0, 6, 14, 14), [nothing])["loss_mask"]
    assert loss == 0
    loss.backward()
    assert all(x.grad is not None and not x.grad.any() for x in module.parameters())
    found = Instances((64, 64), pred_classes=torch.zeros(0, dtype=torch.long))
    assert module.eval()(torch.zeros(0, 6, 14, 14), [found])[0].pred_masks.shape == (0, 1, 28, 28)
