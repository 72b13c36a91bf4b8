from typing import Any

import pytest
import torch
from torch.nn import functional as F

from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import SemanticSegmentor, build_model, build_sem_seg_head
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from tests.core.modeling.rcnn_models import sample, tiny_rcnn

SHAPES = {f"p{i}": ShapeSpec(channels=8, stride=2**i) for i in (5, 2, 3, 4)}


def make_head(**kwargs: Any) -> SemSegFPNHead:
    torch.manual_seed(0)
    settings = {"num_classes": 4, "conv_dims": 6, "common_stride": 4, "ignore_value": 255, **kwargs}
    return SemSegFPNHead(SHAPES, **settings)


def make_model() -> SemanticSegmentor:
    return SemanticSegmentor(
        backbone=tiny_rcnn().backbone, sem_seg_head=make_head(),
        pixel_mean=[0.0, 0.0, 0.0], pixel_std=[128.0, 128.0, 128.0],
    )  # fmt: skip


def features(count: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        f"p{i}": torch.randn(count, 8, 128 >> i, 192 >> i, generator=generator) for i in range(2, 6)
    }


class TestHead:
    def test_state_names(self):
        names = {name for name in make_head(norm="BN").state_dict() if name.endswith(".weight")}
        convolutions = {"p2.0", "p3.0", "p4.0", "p4.2", "p5.0", "p5.2", "p5.4"}
        expected = {f"{name}.weight" for name in convolutions}
        expected |= {f"{name}.norm.weight" for name in convolutions} | {"predictor.weight"}
        assert names == expected
        assert "p2.0.bias" not in make_head(norm="BN").state_dict()
        assert "p2.0.bias" in make_head().state_dict()

    def test_is_the_sum_of_its_levels(self):
        head, maps = make_head().eval(), features()
        parts = []
        for name in ("p2", "p3", "p4", "p5"):
            alone = {k: v if k == name else torch.zeros_like(v) for k, v in maps.items()}
            parts.append(head.layers(alone))
        nothing = head.layers({k: torch.zeros_like(v) for k, v in maps.items()})
        # The levels add up and the predictor is linear, so the rest is a constant.
        torch.testing.assert_close(
            head.layers(maps), sum(parts) - 3 * nothing, rtol=1e-4, atol=1e-4
        )

    def test_inference_is_at_image_size(self):
        head = make_head().eval()
        logits, losses = head(features())
        assert logits.shape == (2, 4, 128, 192)
        assert losses == {}
        expected = F.interpolate(
            head.layers(features()), size=(128, 192), mode="bilinear", align_corners=False
        )
        torch.testing.assert_close(logits, expected)

    def test_loss_is_the_mean_over_labelled_pixels(self):
        head = make_head(loss_weight=0.5)
        labels = torch.randint(0, 4, (2, 128, 192), generator=torch.Generator().manual_seed(1))
        labels[0, :100] = 255
        nothing, losses = head.train()(features(), labels)
        assert nothing is None
        logits = head.eval()(features())[0].log_softmax(1)
        picked = logits.gather(1, labels.clamp(max=3)[:, None])[:, 0]
        expected = -0.5 * picked[labels != 255].mean()
        torch.testing.assert_close(losses["loss_sem_seg"], expected)

    @pytest.mark.core_only(reason="upstream's loss is NaN here")
    def test_no_labelled_pixel(self):
        head = make_head().train()
        _, losses = head(features(), torch.full((2, 128, 192), 255))
        assert losses["loss_sem_seg"].item() == 0
        losses["loss_sem_seg"].backward()
        assert all(p.grad is not None for p in head.parameters())

    def test_yaml_route(self):
        cfg = get_cfg()
        cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 7
        cfg.MODEL.SEM_SEG_HEAD.LOSS_WEIGHT = 0.25
        shapes = {**SHAPES, "p6": ShapeSpec(channels=8, stride=64)}
        head = build_sem_seg_head(cfg, shapes)
        assert type(head) is SemSegFPNHead
        assert head.in_features == ["p2", "p3", "p4", "p5"]
        assert head.predictor.weight.shape == (7, 128, 1, 1)
        assert head.ignore_value == 255
        assert head.loss_weight == 0.25
        assert head.p2[0].norm.num_groups == 32


class TestSemanticSegmentor:
    @torch.no_grad()
    def test_logits_at_the_wanted_size(self):
        model = make_model().eval()
        plain, large = sample(0, 60, 90), {**sample(1, 64, 70), "height": 128, "width": 140}
        outputs = model([plain, large])
        assert [tuple(x["sem_seg"].shape) for x in outputs] == [(4, 60, 90), (4, 128, 140)]

    @torch.no_grad()
    def test_batch_gives_what_single_images_give(self):
        model = make_model().eval()
        requests = [sample(0, 64, 96), sample(1, 64, 96)]
        for request, output in zip(requests, model(requests), strict=True):
            torch.testing.assert_close(
                model([request])[0]["sem_seg"], output["sem_seg"], rtol=0, atol=1e-4
            )

    def test_padding_of_labels_does_not_train(self):
        model = make_model().train()
        request = sample(0, 60, 90)
        request["sem_seg"] = torch.zeros(60, 90, dtype=torch.int64)
        loss = model([request])["loss_sem_seg"]
        # The same with the padding made by hand, to a multiple of the stride.
        padded = {
            "image": F.pad(request["image"], (0, 6, 0, 4)),
            "sem_seg": F.pad(request["sem_seg"], (0, 6, 0, 4), value=255),
        }
        torch.testing.assert_close(model([padded])["loss_sem_seg"], loss)
        loss.backward()
        assert all(p.grad is not None for p in model.sem_seg_head.parameters())

    def test_pixel_statistics_are_no_weights(self):
        assert not [name for name in make_model().state_dict() if name.startswith("pixel_")]

    def test_yaml_route(self):
        cfg = get_cfg()
        cfg.MODEL.DEVICE = "cpu"
        cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
        cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
        cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 18, 64
        cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
        cfg.MODEL.FPN.IN_FEATURES, cfg.MODEL.FPN.OUT_CHANNELS = ["res2", "res3", "res4", "res5"], 8
        cfg.MODEL.SEM_SEG_HEAD.CONVS_DIM = 32
        model = build_model(cfg).eval()
        assert type(model) is SemanticSegmentor
        with torch.no_grad():
            assert model([sample(0, 33, 40)])[0]["sem_seg"].shape == (54, 33, 40)
