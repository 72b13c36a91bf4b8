"""Every family of weight files finds its way into a model."""

import pickle
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import projects_ext.checkpoint.sources as sources
from detectron2.checkpoint import DetectionCheckpointer
from projects_ext.checkpoint import load_weights
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
