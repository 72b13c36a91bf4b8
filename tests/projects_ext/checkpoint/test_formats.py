"""Every family of weight files finds its way into a model."""

import pickle
import re
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

import projects_ext.checkpoint.sources as sources
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling.backbone.resnet import DeformBottleneckBlock, ResNet
from projects_ext.checkpoint import load_weights
from projects_ext.semantic import DeepStem, make_dilated_stages
from tests.projects_ext.checkpoint.small_models import (
    assert_has_weights,
    caffe2_weights,
    openmmlab_weights,
    part,
    prefixed,
    saved,
    small_mask_rcnn,
    torchvision_weights,
    weights,
)
from tests.two_stage_parity import build

BOTTOM_UP = "backbone.bottom_up."


class TestFormats:
    def test_a_checkpoint_of_ones_own(self, source, model, tmp_path):
        DetectionCheckpointer(source, str(tmp_path)).save("own", iteration=7)
        report = load_weights(model, tmp_path / "own.pth", strict=True)
        assert (report.format, report.renamed, report.notes) == ("Detectron2", {}, [])
        assert set(report.loaded) == set(weights(model))
        assert_has_weights(model, weights(source))

    def test_the_same_as_detectron2_loads(self, source, model, tmp_path):
        arrays = {name: value.numpy() for name, value in weights(source).items()}
        path = tmp_path / "model_final.pkl"
        path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
        report = load_weights(model, path, strict=True)
        assert report.format == "Detectron2"
        reference = small_mask_rcnn(seed=3)
        DetectionCheckpointer(reference).load(str(path))
        assert_has_weights(model, weights(reference))
        assert_has_weights(model, weights(source))

    @pytest.mark.parametrize("suffix", ["", "?matching_heuristics=True"])
    def test_a_backbone_under_detectron2_names(self, source, model, tmp_path, suffix):
        backbone = part(weights(source), BOTTOM_UP)
        content = {"model": {**backbone, "stem.fc.weight": torch.zeros(1)}, "__author__": "x"}
        path = saved(content, tmp_path / "backbone.pth")
        report = load_weights(model, path + suffix)
        assert report.format == "Detectron2"
        assert report.renamed["stem.conv1.weight"] == f"{BOTTOM_UP}stem.conv1.weight"
        assert report.left_over == ["stem.fc.weight"]
        assert not [name for name in report.missing if name.startswith(BOTTOM_UP)]
        assert "roi_heads.mask_head.predictor.weight" in report.missing
        assert_has_weights(model.backbone.bottom_up, backbone)

    def test_openmmlab_with_wrappers_and_prefixes(self, source, model, tmp_path):
        meta = {"mmdet_version": "2.3.0", "CLASSES": ("a", "b", "c"), "hook_msgs": {}}
        state = prefixed(openmmlab_weights(source), "module.")
        counter = {"module.backbone.bn1.num_batches_tracked": torch.tensor(5)}
        path = saved({"meta": meta, "state_dict": {**state, **counter}}, tmp_path / "w.pth")
        report = load_weights(model, path, strict=True)
        assert report.format == "OpenMMLab, mmdet 2.3.0"
        assert report.renamed["rpn_head.rpn_cls.bias"].endswith("rpn_head.objectness_logits.bias")
        assert len(report.renamed) == len(report.loaded) == len(weights(source))
        assert_has_weights(model, weights(source))

    def test_openmmlab_backbone_only(self, source, model, tmp_path):
        state = part(openmmlab_weights(source), "backbone.")
        path = saved({"state_dict": state, "meta": {"epoch": 1}}, tmp_path / "resnet.pth")
        report = load_weights(model, path)
        assert report.format == "OpenMMLab"
        assert not [name for name in report.missing if name.startswith(BOTTOM_UP)]
        assert report.left_over == []
        assert_has_weights(model, prefixed(part(weights(source), BOTTOM_UP), BOTTOM_UP))

    def test_torchvision_file(self, source, model, tmp_path):
        path = saved(torchvision_weights(source), tmp_path / "resnet50-0676ba61.pth")
        report = load_weights(model, path)
        assert report.format == "torchvision ResNet"
        assert report.left_over == ["fc.weight", "fc.bias"]
        assert_has_weights(model, prefixed(part(weights(source), BOTTOM_UP), BOTTOM_UP))

    @torch.no_grad()
    def test_torchvisions_own_network_gives_the_same_features(self):
        reference = torchvision.models.resnet50().eval()
        for index, (name, value) in enumerate(reference.state_dict().items()):
            if "running" in name:
                generator = torch.Generator().manual_seed(index)
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        model = build("common/models/faster_rcnn_r50_fpn_openmmlab.py")
        load_weights(model, reference.state_dict())
        images = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
        found = model.backbone.bottom_up(images)
        x = reference.maxpool(reference.relu(reference.bn1(reference.conv1(images))))
        for level in range(1, 5):
            x = getattr(reference, f"layer{level}")(x)
            expected = found[f"res{level + 1}"]
            torch.testing.assert_close(x, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))

    @pytest.mark.parametrize("wrapper", ["", "blobs", "model"])
    def test_detectron2_imagenet_file(self, source, tmp_path, wrapper):
        arrays = caffe2_weights(source)
        path = tmp_path / "R-50.pkl"
        path.write_bytes(pickle.dumps({wrapper: arrays} if wrapper else arrays, 2))
        model = small_mask_rcnn(seed=2, bgr=True, std=[1.0, 1.0, 1.0], stride_in_1x1=True)
        report = load_weights(model, path)
        assert report.format.startswith("Detectron2 ImageNet")
        assert report.left_over == ["fc1000_w"]
        expected = prefixed(part(weights(source), BOTTOM_UP), BOTTOM_UP)
        kept = {name: value for name, value in expected.items() if "running" not in name}
        assert_has_weights(model, kept)
        norm = model.backbone.bottom_up.res3[0].conv1.norm
        assert norm.running_mean.unique().tolist() == [0]
        assert norm.running_var.unique().tolist() == [1]

    def test_a_model_in_data_parallel(self, source, model, tmp_path):
        if not torch.distributed.is_available():
            pytest.skip("no torch.distributed")
        store = f"file://{tmp_path}/store"
        torch.distributed.init_process_group("gloo", store, rank=0, world_size=1)
        try:
            wrapped = nn.parallel.DistributedDataParallel(model)
            load_weights(wrapped, openmmlab_weights(source), strict=True)
        finally:
            torch.distributed.destroy_process_group()
        assert_has_weights(model, weights(source))

    def test_half_precision_files(self, source, model):
        halved = {name: value.half() for name, value in openmmlab_weights(source).items()}
        load_weights(model, halved, strict=True)
        expected = {name: value.half().float() for name, value in weights(source).items()}
        assert_has_weights(model, expected)


MMENGINE_CONFIG = """
default_scope = 'mmdet'
model = dict(
    backbone=dict(depth=50, style='caffe', type='ResNet'),
    data_preprocessor=dict(
        bgr_to_rgb=False,
        mean=[
            103.53,
            116.28,
            123.675,
        ],
        pad_size_divisor=32,
        std=[
            1.0,
            1.0,
            1.0,
        ],
        type='DetDataPreprocessor'))
"""


class TestOpenMMLab:
    def test_mmengine_checkpoint(self, source, tmp_path):
        """Of mmdet 3 and mmseg 1: a config with sorted keys, the data set's classes, averages."""
        state = openmmlab_weights(source)
        content = {
            "meta": {
                "cfg": MMENGINE_CONFIG, "mmengine_version": "0.10.7", "epoch": 12,
                "dataset_meta": {"classes": ("a", "b", "c"), "palette": [(1, 2, 3)]},
            },
            "state_dict": {**state, "data_preprocessor.mean": torch.ones(3, 1, 1)},
            "ema_state_dict": {"steps": torch.tensor(5), **prefixed(state, "module.")},
            "message_hub": {"log_scalars": {}},
            "param_schedulers": [{"last_step": 3}],
        }  # fmt: skip
        path = saved(content, tmp_path / "epoch_12.pth")
        caffe = small_mask_rcnn(seed=2, bgr=True, std=[1.0, 1.0, 1.0], stride_in_1x1=True)
        report = load_weights(caffe, path, strict=True)
        assert report.format == "OpenMMLab, mmengine 0.10.7"
        assert report.classes == ["a", "b", "c"]
        assert report.notes[0].startswith("weights are the moving average, as they were evaluated")
        assert (
            report.notes[1] == "BGR less (103.53, 116.28, 123.675) over (1, 1, 1), as the model's"
        )
        assert_has_weights(caffe, weights(source))

    @pytest.mark.parametrize("key", ["classes", "CLASSES"])
    def test_names_of_the_classes(self, source, model, key):
        state = openmmlab_weights(source)
        meta = {"dataset_meta": {key: ["a", "b", "c"]}, "mmseg_version": "1.2"}
        assert load_weights(model, {"meta": meta, "state_dict": state}).classes == ["a", "b", "c"]
        one = small_mask_rcnn(classes=1)
        meta = {"CLASSES": "balloon", "mmdet_version": "2.25.0"}
        report = load_weights(one, {"meta": meta, "state_dict": openmmlab_weights(one)})
        assert (report.classes, report.format) == (["balloon"], "OpenMMLab, mmdet 2.25.0")
        # Layers that start fresh know no class.
        meta = {"CLASSES": ("a", "b", "c")}
        report = load_weights(one, {"meta": meta, "state_dict": state})
        assert (report.classes, len(report.reinitialised)) == ([], 6)

    def test_copies_of_mmcvs_averages(self, source, model):
        """The evaluated copy has the plain names, the other one stands under ``ema_``."""
        state = openmmlab_weights(source)
        other = {f"ema_{name.replace('.', '_')}": value + 1 for name, value in state.items()}
        report = load_weights(model, {"meta": {"epoch": 1}, "state_dict": {**state, **other}})
        assert report.left_over == []
        assert report.notes[0].startswith("weights are the moving average")
        assert_has_weights(model, weights(source))

    @pytest.mark.parametrize("prefix", ["backbone.", "module.backbone."])
    def test_classifier_of_mmpretrain(self, source, model, prefix):
        """A backbone below ``backbone.``, beside a head that no detector has."""
        backbone = part(openmmlab_weights(source), "backbone.")
        head = {prefix.replace("backbone", "head") + "fc.weight": torch.zeros(1000, 40)}
        report = load_weights(model, {"state_dict": {**prefixed(backbone, prefix), **head}})
        assert report.format == "OpenMMLab"
        assert report.left_over == ["head.fc.weight"]
        assert_has_weights(model, prefixed(part(weights(source), BOTTOM_UP), BOTTOM_UP))

    @pytest.mark.parametrize("name", ["conv2.conv_offset", "conv2_offset"])
    def test_deformable_convolutions(self, name):
        """Named as MMCV does since 1.0, and as before."""
        block = {"block_class": DeformBottleneckBlock, "num_groups": 2}
        first, second = small_mask_rcnn(seed=1, **block), small_mask_rcnn(seed=2, **block)
        state = {
            key.replace("conv2_offset", name): value
            for key, value in openmmlab_weights(first).items()
        }
        for value in state.values():
            value.add_(torch.rand(value.shape, generator=torch.Generator().manual_seed(3)))
        assert f"backbone.layer1.0.{name}.weight" in state
        load_weights(second, state, strict=True)
        offset = second.backbone.bottom_up.res2[0].conv2_offset
        assert torch.equal(offset.weight, state[f"backbone.layer1.0.{name}.weight"])


class TestTimm:
    def test_plain_resnet(self, source, model, tmp_path):
        """A checkpoint of timm's training; the average is what timm evaluates."""
        state = torchvision_weights(source)
        last = {name: value + 1 for name, value in state.items()}
        content = {"arch": "resnet50", "epoch": 3, "state_dict": last, "state_dict_ema": state}
        report = load_weights(model, saved(content, tmp_path / "model_best.pth.tar"))
        assert report.format == "timm ResNet"
        assert report.left_over == ["fc.weight", "fc.bias"]
        assert report.notes[0] == "the average of the weights is read, not their last values"
        assert report.notes[1].endswith("as the model's")
        assert_has_weights(model, prefixed(part(weights(source), BOTTOM_UP), BOTTOM_UP))

    def test_published_file_without_anything_around_it(self, source, model, tmp_path):
        """Named as torchvision names: the two cannot be told apart, and need not."""
        path = tmp_path / "model.safetensors"
        save_file(torchvision_weights(source), path, metadata={"format": "pt"})
        report = load_weights(model, path)
        assert report.format == "torchvision ResNet"
        assert_has_weights(model, prefixed(part(weights(source), BOTTOM_UP), BOTTOM_UP))

    def test_deep_stem(self):
        """``resnet50c``: three convolutions in a sequence, the norm of the last one outside."""
        first, second = deep_resnet(1), deep_resnet(2)
        state = {}
        for name, value in weights(first).items():
            name = name.replace("stem.conv1_3.norm", "bn1")
            for number in (1, 2, 3):
                name = name.replace(f"stem.conv1_{number}.norm", f"conv1.{3 * number - 2}")
                name = name.replace(f"stem.conv1_{number}", f"conv1.{3 * number - 3}")
            name = name.replace("shortcut.norm", "downsample.1").replace("shortcut", "downsample.0")
            name = re.sub(r"conv(\d)\.norm", r"bn\1", name)
            name = re.sub(r"^res(\d)", lambda match: f"layer{int(match[1]) - 1}", name)
            state[name] = value
        assert {"conv1.0.weight", "conv1.4.bias", "bn1.weight", "layer4.0.bn3.bias"} <= set(state)
        report = load_weights(second, state, strict=True)
        assert report.format == "timm ResNet"
        assert_has_weights(second, weights(first))

    def test_pooled_shortcuts_are_refused(self, source, model):
        state = torchvision_weights(source)
        state["layer2.0.downsample.2.weight"] = torch.ones(24)
        with pytest.raises(ValueError, match="holds a ResNet-D, whose shortcuts are pooled, and"):
            load_weights(model, state)


def deep_resnet(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    stages = make_dilated_stages(
        blocks=(1, 1, 1, 1), width=4, stem_channels=8, norm="BN", dilations=(1, 1, 2, 4)
    )
    network = ResNet(DeepStem(3, 8, norm="BN"), stages, out_features=["res5"])
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape))
    return network


class TestTorchvisionAddress:
    @pytest.fixture
    def downloads(self, source, monkeypatch):
        """Addresses asked for; there is no network."""
        asked: list[str] = []

        def download(address: str, **options: Any) -> dict[str, Tensor]:
            asked.append(address)
            assert options["weights_only"] is True
            return torchvision_weights(source)

        monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", download)
        return asked

    def test_the_weights_that_detectors_start_from(self, source, model, downloads):
        report = load_weights(model, "torchvision://resnet50")
        assert downloads == [torchvision.models.ResNet50_Weights.IMAGENET1K_V1.url]
        assert report.source == "torchvision://resnet50"
        assert_has_weights(model, prefixed(part(weights(source), BOTTOM_UP), BOTTOM_UP))

    def test_other_weights_of_the_model(self, model, downloads):
        load_weights(model, "torchvision://resnet50.IMAGENET1K_V2")
        assert downloads == [torchvision.models.ResNet50_Weights.IMAGENET1K_V2.url]

    @pytest.mark.parametrize(
        ("address", "remedy"),
        [
            ("torchvision://resnt50", "did you mean resnet50"),
            ("torchvision://resnet50.V9", "choose IMAGENET1K_V1 or IMAGENET1K_V2"),
        ],
    )
    def test_unknown_names(self, model, downloads, address, remedy):
        with pytest.raises(ValueError, match=remedy):
            load_weights(model, address)
        assert downloads == []

    def test_no_network(self, model, monkeypatch):
        def fail(address: str, **options: Any) -> None:
            raise OSError("no route to host")

        monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", fail)
        with pytest.raises(ValueError, match="cannot be downloaded .no route to host.: check the"):
            load_weights(model, "torchvision://resnet50")

    def test_other_addresses_go_through_path_manager(self, source, model, tmp_path, monkeypatch):
        path = saved(openmmlab_weights(source), tmp_path / "w.pth")
        monkeypatch.setattr(sources.PathManager, "get_local_path", {"x://w.pth": path}.get)
        assert load_weights(model, "x://w.pth", strict=True).source == "x://w.pth"
