"""The meta-architecture: training, prediction at any size, and what it refuses."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from detectron2.config import instantiate
from detectron2.modeling import SemanticSegmentor
from projects_ext.engine.parallel import plain_norms_where_alone
from tests.projects_ext.semantic.models import (
    CLASSES,
    IGNORED,
    record,
    small_config,
    small_model,
    with_procedural_weights,
)


def test_every_parameter_has_a_gradient() -> None:
    model = small_model().train()
    losses = model([record("a"), record("b")])
    assert set(losses) == {"loss_sem_seg_ce", "loss_aux_ce"}
    sum(losses.values()).backward()
    dead = [key for key, value in model.named_parameters() if not value.grad.any()]
    assert set(dead) <= {"sem_seg_head.context.mask.bias"}


def test_the_auxiliary_head_weighs_less_and_is_not_asked_at_test() -> None:
    config = small_config()
    model = with_procedural_weights(instantiate(config)).train()
    weighed = model([record()])["loss_aux_ce"]
    config.auxiliary_head.losses[0].weight = 1.0
    heavy = with_procedural_weights(instantiate(config)).train()([record()])["loss_aux_ce"]
    torch.testing.assert_close(weighed, 0.4 * heavy)
    model.eval()
    model.auxiliary_head = None
    assert model([record()])[0]["sem_seg"].shape == (CLASSES, 64, 96)
    assert set(model.train()([record()])) == {"loss_sem_seg_ce"}


def test_smaller_images_of_a_batch_are_padded_and_their_padding_is_ignored() -> None:
    model = small_model().train()
    large, small = record("a"), record("b", 40, 56)
    seen: dict[str, Any] = {}

    def keep(module: nn.Module, given: Any) -> None:
        seen.update(images=given[0])

    hook = model.backbone.register_forward_pre_hook(keep)
    found = model([large, small])
    hook.remove()
    assert seen["images"].shape == (2, 3, 64, 96)
    assert not seen["images"][1, :, 40:].any()
    by_hand = {**small, "image": small["image"].float(), "sem_seg": small["sem_seg"]}
    mean = model.pixel_mean.expand(3, 64, 96).clone()
    mean[:, :40, :56] = small["image"]
    by_hand["image"] = mean
    by_hand["sem_seg"] = F.pad(small["sem_seg"], (0, 40, 0, 24), value=IGNORED)
    again = small_model().train()([large, by_hand])
    for name, value in found.items():
        torch.testing.assert_close(value, again[name])


@pytest.mark.parametrize("size", [(64, 96), (65, 97), (33, 47), (9, 200)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    model = small_model()
    with torch.no_grad():
        found = model([{**record("odd", *size), "height": 50, "width": 70}, record("odd", *size)])
        images = model.normalise(record("odd", *size)["image"])[None]
        assert model.encode(images).shape == (1, CLASSES, *size)
    assert found[0]["sem_seg"].shape == (CLASSES, 50, 70)
    assert found[1]["sem_seg"].shape == (CLASSES, *size)
    losses = model.train()([record("a", *size), record("b", *size)])
    assert all(value.isfinite() for value in losses.values())


@pytest.mark.parametrize("align", [False, True])
def test_logits_are_resized_twice_and_in_the_model_s_way(align: bool) -> None:
    model = small_model(align_corners=align)
    seen: list[Tensor] = []
    hook = model.sem_seg_head.predictor.register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    with torch.no_grad():
        found = model([{**record("a", 66, 98), "height": 130, "width": 90}])[0]["sem_seg"]
    hook.remove()
    logits = F.interpolate(seen[0], size=(66, 98), mode="bilinear", align_corners=align)
    expected = F.interpolate(logits, size=(130, 90), mode="bilinear", align_corners=align)[0]
    torch.testing.assert_close(found, expected)
    direct = F.interpolate(seen[0], size=(130, 90), mode="bilinear", align_corners=align)[0]
    assert not torch.allclose(found, direct, atol=1e-3)


def test_images_do_not_depend_on_their_batch() -> None:
    model = small_model()
    batch = [record("a"), record("b", 40, 56), record("c", 72, 40)]
    with torch.no_grad():
        for one, found in zip(batch, model(batch), strict=True):
            torch.testing.assert_close(model([one])[0]["sem_seg"], found["sem_seg"])


def test_detectron2_s_segmentor_takes_the_head() -> None:
    ours = small_model()
    theirs = SemanticSegmentor(
        backbone=ours.backbone,
        sem_seg_head=ours.sem_seg_head,
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    ).eval()
    with torch.no_grad():
        expected = ours([record()])[0]["sem_seg"]
        torch.testing.assert_close(theirs([record()])[0]["sem_seg"], expected)
    assert set(theirs.train()([record()])) == {"loss_sem_seg_ce"}


def test_one_run_gives_both_columns() -> None:
    config = small_config()
    config.predict_multi_scale = True
    config.multi_scale.scales = (0.5, 1.0)
    model = with_procedural_weights(instantiate(config)).eval()
    with torch.no_grad():
        found = model([record()])[0]
    assert set(found) == {"sem_seg", "sem_seg_ms_flip"}
    assert found["sem_seg_ms_flip"].shape == found["sem_seg"].shape
    assert not torch.equal(found["sem_seg_ms_flip"].argmax(0), found["sem_seg"].argmax(0))
    config.multi_scale = None
    with pytest.raises(ValueError, match="there is no multi_scale to predict by"):
        instantiate(config)


def test_windows_by_a_key() -> None:
    config = small_config()
    config.inference.update(crop=(48, 48), stride=(32, 32))
    model = with_procedural_weights(instantiate(config)).eval()
    sizes: list[Any] = []
    model.backbone.register_forward_pre_hook(lambda module, x: sizes.append(x[0].shape[-2:]))
    with torch.no_grad():
        assert model([record()])[0]["sem_seg"].shape == (CLASSES, 64, 96)
    assert len(sizes) > 1
    assert set(sizes) == {(48, 48)}


def test_synchronised_norms_become_plain_in_one_process() -> None:
    config = small_config()
    config.backbone.stem.norm = "SyncBN"
    model = instantiate(config)
    synchronised = [part for part in model.modules() if isinstance(part, nn.SyncBatchNorm)]
    assert len(synchronised) == 3 + 4 * 4 + 3 + 1
    plain = plain_norms_where_alone(model, on_gpu=False).train()
    assert all(value.isfinite() for value in plain([record(), record("b")]).values())


def test_a_single_value_a_channel_is_refused() -> None:
    model = small_model().train()
    with pytest.raises(ValueError, match="one image whose smallest feature map is 1x1"):
        model([record("tiny", 8, 8)])
    # Two images, a second column, or no batch normalisation in training mode: all fine.
    model([record("tiny", 8, 8), record("tiny", 8, 8)])
    model([record("tiny", 8, 9)])
    with torch.no_grad():
        model.eval()([record("tiny", 8, 8)])
    features = {"res5": torch.rand(1, 512, 1, 1)}
    with pytest.raises(ValueError, match="train on larger crops, or on at least 2 images"):
        model.sem_seg_head.train()(features, torch.zeros(1, 8, 8, dtype=torch.long))


def test_group_norm_takes_a_single_value() -> None:
    config = small_config(norm="GN")
    config.backbone.stem.norm = config.auxiliary_head.norm = "GN"
    config.backbone.stem.out_channels = config.backbone.stages.stem_channels = 64
    config.backbone.stages.width = 32
    # Several channels a group: one value alone has no variance either.
    config.auxiliary_head.channels = 64
    config.sem_seg_head.input_shape.channels = 1024
    config.auxiliary_head.input_shape.channels = 512
    losses = instantiate(config).train()([record("tiny", 8, 8)])
    assert all(value.isfinite() for value in losses.values())


def test_wrong_labels_are_named() -> None:
    model = small_model().train()
    sample = record()
    with pytest.raises(ValueError, match=r"a\.jpg has no labels of its pixels"):
        model([{"image": sample["image"], "file_name": "a.jpg"}])
    with pytest.raises(ValueError, match=r"a\.jpg has 96 x 64 pixels .* labels have 96 x 63"):
        model([{**sample, "sem_seg": sample["sem_seg"][1:]}])
    wrong = sample["sem_seg"].clone()
    wrong[0, :3] = torch.tensor([7, 5, 254])
    with pytest.raises(ValueError, match=r"a\.jpg has pixels labelled 5, 7, 254, .* 5 classes"):
        model([{**sample, "sem_seg": wrong}])


def test_half_precision_trains_and_predicts() -> None:
    model = small_model().train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model([record("a"), record("b")])
        sum(losses.values()).backward()
        found = small_model()([record()])[0]["sem_seg"]
    assert all(value.isfinite() and value.dtype == torch.float32 for value in losses.values())
    assert found.dtype == torch.float32
    with torch.no_grad():
        expected = small_model()([record()])[0]["sem_seg"]
    assert (found - expected).abs().max() < 0.1 * expected.abs().max()


def test_it_learns_its_own_image() -> None:
    torch.manual_seed(0)
    config = small_config()
    model = instantiate(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    sample = record()
    for _ in range(60):
        losses = model([sample])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    with torch.no_grad():
        found = model.eval()([sample])[0]["sem_seg"].argmax(0)
    labelled = sample["sem_seg"] != IGNORED
    assert (found == sample["sem_seg"])[labelled].float().mean() > 0.8
