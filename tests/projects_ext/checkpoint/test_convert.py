"""``tools/convert_checkpoint.py`` and the function behind it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from detectron2.checkpoint import DetectionCheckpointer
from projects_ext.checkpoint import COUNTER, load_weights
from projects_ext.checkpoint import convert as module
from projects_ext.checkpoint.convert import assert_same_outputs, convert
from projects_ext.checkpoint.files import read_file
from tests.conftest import ROOT, load_script
from tests.projects_ext.checkpoint.small_models import (
    assert_has_weights,
    openmmlab_weights,
    prefixed,
    saved,
    small_mask_rcnn,
    torchvision_weights,
    weights,
)


def small() -> nn.Module:
    """As a config builds it: other random weights at every call, were it not for the seed."""
    return small_mask_rcnn(seed=int(torch.randint(1000, ())))


@pytest.fixture
def openmmlab_file(source: Any, tmp_path: Path) -> str:
    meta = {"mmdet_version": "2.1.0", "CLASSES": ("a", "b", "c")}
    content = {"meta": meta, "state_dict": openmmlab_weights(source)}
    return saved(content, tmp_path / "theirs.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_both_kinds_of_files(
    suffix: str, source: Any, model: Any, openmmlab_file: str, tmp_path: Path
) -> None:
    output = tmp_path / "new" / f"ours{suffix}"
    report, said = convert(small, openmmlab_file, output, verify=True)
    assert report.format == "OpenMMLab, mmdet 2.1.0"
    assert said.startswith(f"{len(source.state_dict())} entries written to {output}; read back, ")
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    content = read_file(str(output))
    assert {key: content[key] for key in ("__author__", "source", "classes")} == {
        "__author__": "projects_ext", "source": "theirs.pth", "classes": ["a", "b", "c"]
    }  # fmt: skip
    assert content["input"]["order"] == "RGB"
    report = load_weights(model, output, strict=True)
    assert (report.format, report.renamed) == ("Detectron2", {})
    assert report.classes == ["a", "b", "c"]
    assert_has_weights(model, weights(source))


def test_detectron2_reads_it(source: Any, model: Any, openmmlab_file: str, tmp_path: Path) -> None:
    convert(small, openmmlab_file, tmp_path / "ours.pth")
    DetectionCheckpointer(model).load(str(tmp_path / "ours.pth"))
    assert_has_weights(model, weights(source))


def test_only_what_the_source_has_is_written(source: Any, model: Any, tmp_path: Path) -> None:
    """A backbone stays a backbone: no random weights of the rest come along."""
    path = saved(torchvision_weights(source), tmp_path / "resnet.pth")
    convert(small, path, tmp_path / "ours.pth", verify=True)
    backbone = weights(source.backbone.bottom_up)
    written = read_file(str(tmp_path / "ours.pth"))["model"]
    counters = {name for name in written if name.endswith(COUNTER)}
    assert set(written) - counters == set(prefixed(backbone, "backbone.bottom_up."))
    assert all(name.startswith("backbone.bottom_up.") for name in counters)
    load_weights(model, tmp_path / "ours.pth")
    assert_has_weights(model.backbone.bottom_up, backbone)


def test_layers_that_start_fresh_are_not_written(openmmlab_file: str, tmp_path: Path) -> None:
    report, _ = convert(lambda: small_mask_rcnn(classes=5), openmmlab_file, tmp_path / "x.pth")
    assert len(report.reinitialised) == 6
    content = read_file(str(tmp_path / "x.pth"))
    assert not set(report.reinitialised) & set(content["model"])
    assert "classes" not in content


@pytest.mark.parametrize(
    ("options", "output", "message"),
    [
        ({}, "x.onnx", "x.onnx cannot be written: give a name that ends with .pth or"),
        ({"names": "AdelaiDet"}, "x.pth", "no names of AdelaiDet: known are none but this"),
    ],
)
def test_refusals(
    options: Any, output: str, message: str, openmmlab_file: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        convert(small, openmmlab_file, tmp_path / output, **options)
    assert not (tmp_path / output).exists()


def test_a_difference_is_found(
    openmmlab_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write: Callable[..., None] = module.write_weights

    def spoil(path: Path, entries: Any, about: Any) -> None:
        name = "backbone.fpn_output3.bias"
        write(path, {**entries, name: entries[name] + 1e-3}, about)

    monkeypatch.setattr(module, "write_weights", spoil)
    with pytest.raises(ValueError, match=r"does not give the outputs of its source: backbone.p3 d"):
        convert(small, openmmlab_file, tmp_path / "x.pth", verify=True)


def test_every_part_of_the_outputs_is_compared(source: Any, tmp_path: Path) -> None:
    source.roi_heads.box_predictor.test_score_thresh = 0.0
    other = small_mask_rcnn(seed=5)
    other.roi_heads.box_predictor.test_score_thresh = 0.0
    load_weights(other, weights(source))
    assert "its 9 outputs" in assert_same_outputs(source, other, tmp_path)
    with torch.no_grad():
        other.roi_heads.mask_head.predictor.bias.add_(5)
    with pytest.raises(ValueError, match=r"instances.pred_masks differs"):
        assert_same_outputs(source, other, tmp_path)


def test_a_write_that_fails_leaves_nothing(openmmlab_file: str, tmp_path: Path) -> None:
    (tmp_path / "x.pth").mkdir()
    with pytest.raises(OSError, match="x.pth"):
        convert(small, openmmlab_file, tmp_path / "x.pth")
    assert not list(tmp_path.glob("*.part"))


class TestProgram:
    CONFIG = str(ROOT / "configs/quickstart/mask_rcnn_shapes.py")

    @pytest.fixture
    def program(self) -> Any:
        return load_script(ROOT / "tools" / "convert_checkpoint.py")

    def test_converts_and_says_so(
        self, program: Any, shapes_overrides: list[str], tmp_path: Path, capsys: Any
    ) -> None:
        from detectron2.config import LazyConfig, instantiate

        cfg = LazyConfig.apply_overrides(LazyConfig.load(self.CONFIG), shapes_overrides)
        model = instantiate(cfg.model)
        path = saved({"model": model.state_dict(), "trainer": {}}, tmp_path / "run.pth")
        output = tmp_path / "ours.pth"
        words = [path, str(output), "--verify", "--config-file", self.CONFIG, *shapes_overrides]
        program.main(words)
        said = capsys.readouterr().out
        assert said.startswith(f"Weights from {path} (Detectron2): ")
        assert said.rstrip().endswith("are those of the source, bit for bit")
        assert set(read_file(str(output))["model"]) == set(model.state_dict())

    def test_an_error_is_one_sentence(
        self, program: Any, shapes_overrides: list[str], tmp_path: Path, capsys: Any
    ) -> None:
        words = [str(tmp_path / "no.pth"), str(tmp_path / "x.pth"), "--config-file", self.CONFIG]
        with pytest.raises(SystemExit) as caught:
            program.main([*words, *shapes_overrides])
        assert caught.value.code == 1
        said = capsys.readouterr().err.strip()
        assert said.startswith(f"error: there is no weight file {tmp_path / 'no.pth'}")
        assert "\n" not in said
