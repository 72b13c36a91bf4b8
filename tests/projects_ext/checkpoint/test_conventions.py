"""Weights for other images: adapted where that is exact, refused where it is not."""

import pytest
import torch

from projects_ext.checkpoint import load_weights
from projects_ext.checkpoint.conventions import (
    FACEBOOK_RESNEXT,
    INPUT_KEY,
    MSRA,
    PYTORCH,
    InputConvention,
    caffe2_convention,
    convention_of_config,
    describe_input,
)
from tests.projects_ext.checkpoint.small_models import (
    FIRST,
    RGB_STD,
    assert_has_weights,
    caffe2_weights,
    openmmlab_weights,
    small_mask_rcnn,
    torchvision_weights,
    weights,
)

ONES = [1.0, 1.0, 1.0]
CAFFE_STYLE = """
model = dict(backbone=dict(type='ResNet', style='caffe'))
img_norm_cfg = dict(
    mean=[103.530, 116.280, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False)
"""


def picture() -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (3, 70, 90), generator=generator, dtype=torch.uint8)


@torch.no_grad()
def features(model, rgb: torch.Tensor) -> dict[str, torch.Tensor]:
    image = rgb.flip(0) if model.input_format == "BGR" else rgb
    # Not of a size that needs no padding.
    return model.backbone(model.preprocess_image([{"image": image}]).tensor)


@pytest.mark.parametrize(("bgr", "std"), [(True, None), (False, ONES), (True, ONES)])
def test_the_same_outputs_for_other_images(bgr: bool, std: list[float] | None) -> None:
    source = small_mask_rcnn(seed=1)
    model = small_mask_rcnn(seed=2, bgr=bgr, std=std)
    report = load_weights(model, openmmlab_weights(source), strict=True)
    assert report.notes[0].startswith(f"{FIRST} changed from RGB less (123.675, 116.28, 103.53)")
    assert not torch.equal(model.state_dict()[FIRST], source.state_dict()[FIRST])
    rest = {name: value for name, value in weights(source).items() if name != FIRST}
    assert_has_weights(model, rest)
    expected, found = features(source, picture()), features(model, picture())
    for level in expected:
        torch.testing.assert_close(found[level], expected[level], rtol=1e-4, atol=1e-5)


def test_nothing_changes_where_they_agree() -> None:
    source, model = small_mask_rcnn(seed=1), small_mask_rcnn(seed=2)
    report = load_weights(model, openmmlab_weights(source))
    assert report.notes == [
        "RGB less (123.675, 116.28, 103.53) over (58.395, 57.12, 57.375), as the model's"
    ]
    assert_has_weights(model, weights(source))


def test_the_files_own_config_counts() -> None:
    source = small_mask_rcnn(seed=1)
    content = {"meta": {"config": CAFFE_STYLE}, "state_dict": openmmlab_weights(source)}
    as_the_file = small_mask_rcnn(seed=2, bgr=True, std=ONES, stride_in_1x1=True)
    report = load_weights(as_the_file, content)
    assert report.notes[0].endswith("as the model's")
    assert_has_weights(as_the_file, weights(source))
    with pytest.raises(ValueError, match="stride_in_1x1=True"):
        load_weights(small_mask_rcnn(seed=2), content)


def test_configs_are_read() -> None:
    assert convention_of_config(CAFFE_STYLE, PYTORCH) == MSRA
    assert convention_of_config("lr = 0.02", PYTORCH) == PYTORCH
    new = "data_preprocessor=dict(mean=[\n 1.0,\n 2.0,\n 3.0,\n ],\n std=[4, 5, 6],"
    expected = InputConvention("RGB", (1, 2, 3), (4, 5, 6), None)
    assert convention_of_config(new + " bgr_to_rgb=True)", MSRA) == InputConvention(
        expected.order, expected.mean, expected.std, stride_in_1x1=True
    )


def test_another_place_of_the_stride_is_refused() -> None:
    source, model = small_mask_rcnn(seed=1), small_mask_rcnn(stride_in_1x1=True)
    before = weights(model)
    with pytest.raises(
        ValueError, match="in its 3x3 convolution, the model in the first 1x1 one: set stride_in_1"
    ):
        load_weights(model, torchvision_weights(source))
    assert_has_weights(model, before)


def test_another_mean_is_refused() -> None:
    source, model = small_mask_rcnn(seed=1), small_mask_rcnn(seed=2, bgr=True)
    model.pixel_mean -= 10
    with pytest.raises(ValueError, match=r"set model.pixel_mean=\[103.53, 116.28, 123.675\]"):
        load_weights(model, openmmlab_weights(source))


def test_the_order_of_channels_follows_from_the_mean() -> None:
    source = small_mask_rcnn(seed=1)
    for bgr in (False, True):
        model = small_mask_rcnn(seed=2, bgr=bgr)
        model.input_format = None
        load_weights(model, openmmlab_weights(source))
        first = source.state_dict()[FIRST]
        assert torch.equal(model.state_dict()[FIRST], first.flip(1) if bgr else first)


def test_original_resnets_for_other_images() -> None:
    source = small_mask_rcnn(seed=1)
    model = small_mask_rcnn(seed=2, stride_in_1x1=True)
    load_weights(model, caffe2_weights(source))
    first = source.state_dict()[FIRST].flip(1) * torch.tensor(RGB_STD).view(1, 3, 1, 1)
    torch.testing.assert_close(model.state_dict()[FIRST], first)


def test_original_resnext_is_told_from_its_groups() -> None:
    grouped = {"num_groups": 2}
    source = small_mask_rcnn(seed=1, **grouped)
    model = small_mask_rcnn(seed=2, bgr=True, **grouped)
    report = load_weights(model, caffe2_weights(source))
    assert report.notes[0].endswith("as the model's")
    with pytest.raises(ValueError, match="stride_in_1x1=False"):
        load_weights(small_mask_rcnn(stride_in_1x1=True, **grouped), caffe2_weights(source))


def test_detectron2_says_which_weights_are_torchvisions() -> None:
    source, model = small_mask_rcnn(seed=1), small_mask_rcnn(seed=2, bgr=True)
    backbone = source.backbone.bottom_up.state_dict()
    load_weights(model, {"model": backbone, "__author__": "torchvision"})
    assert torch.equal(model.state_dict()[FIRST], source.state_dict()[FIRST].flip(1))
    # Nothing is known about others, so nothing is changed.
    assert load_weights(model, {"model": backbone}).notes == []
    assert torch.equal(model.state_dict()[FIRST], source.state_dict()[FIRST])


def merged(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights as if they had begun with Caffe2's: statistics merged into scale and bias."""
    state = weights(model)
    for name, value in state.items():
        if "running" in name:
            value.fill_(name.endswith("var"))
    return state


class TestDetectron2Zoo:
    """Whole models that say by their norms that they began with Detectron2's ImageNet weights."""

    author = {"__author__": "Detectron2 Model Zoo"}  # noqa: RUF012

    def test_refused_where_the_stride_differs(self) -> None:
        content = {"model": merged(small_mask_rcnn(stride_in_1x1=True)), **self.author}
        with pytest.raises(
            ValueError, match="in its first 1x1 convolution, the model in the 3x3 one: set"
        ):
            load_weights(small_mask_rcnn(seed=2), content)

    def test_adapted_where_the_channels_differ(self) -> None:
        source = small_mask_rcnn(seed=1, bgr=True, std=ONES, stride_in_1x1=True)
        source.load_state_dict(merged(source), strict=False)
        model = small_mask_rcnn(seed=2, stride_in_1x1=True)
        report = load_weights(model, {"model": weights(source), **self.author}, strict=True)
        assert report.notes[0].startswith(f"{FIRST} changed from BGR less")
        expected, found = features(source, picture()), features(model, picture())
        for level in expected:
            torch.testing.assert_close(found[level], expected[level], rtol=1e-4, atol=1e-4)

    def test_two_kinds(self) -> None:
        plain, grouped = small_mask_rcnn(), small_mask_rcnn(num_groups=2)
        assert caffe2_convention(merged(plain)) == MSRA
        assert caffe2_convention(merged(grouped)) == FACEBOOK_RESNEXT
        backbone = plain.backbone.bottom_up
        assert caffe2_convention(merged(backbone)) == MSRA

    def test_models_that_began_elsewhere(self, source: torch.nn.Module) -> None:
        assert caffe2_convention(weights(source)) is None
        assert caffe2_convention({"a": torch.ones(2)}) is None
        assert (
            load_weights(small_mask_rcnn(), {"model": weights(source), **self.author}).notes == []
        )


class TestStored:
    """A file of this project says what its backbone was trained on."""

    def test_it_travels(self) -> None:
        source = small_mask_rcnn(seed=1, bgr=True, std=ONES)
        content = {"model": weights(source), INPUT_KEY: describe_input(source)}
        same = small_mask_rcnn(seed=2, bgr=True, std=ONES)
        assert load_weights(same, content).notes[0].endswith("as the model's")
        assert_has_weights(same, weights(source))
        model = small_mask_rcnn(seed=2)
        assert load_weights(model, content).notes[0].startswith(f"{FIRST} changed from BGR")
        expected, found = features(source, picture()), features(model, picture())
        for level in expected:
            torch.testing.assert_close(found[level], expected[level], rtol=1e-4, atol=1e-4)
        with pytest.raises(ValueError, match="in its 3x3 convolution, the model in the first 1x1"):
            load_weights(small_mask_rcnn(stride_in_1x1=True), content)

    def test_plain_values(self) -> None:
        described = describe_input(small_mask_rcnn(bgr=True, stride_in_1x1=True))
        assert described == {
            "order": "BGR",
            "mean": pytest.approx([103.53, 116.28, 123.675]),
            "std": pytest.approx(RGB_STD[::-1]),
            "stride_in_1x1": True,
        }
        assert describe_input(torch.nn.Linear(2, 2)) is None

    def test_what_makes_no_sense_is_refused(self) -> None:
        source = small_mask_rcnn()
        with pytest.raises(ValueError, match="'input' beside the weights is .* should have order"):
            load_weights(source, {"model": weights(source), INPUT_KEY: {"order": "RGB"}})


def test_a_part_that_sees_no_images() -> None:
    source, model = small_mask_rcnn(seed=1), small_mask_rcnn(seed=2)
    report = load_weights(model.backbone, torchvision_weights(source))
    assert report.notes[0].endswith("the model does not say what it sees")
