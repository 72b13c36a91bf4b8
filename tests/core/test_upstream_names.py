"""Every name of upstream Detectron2 can be imported; what is left out says so when it is used."""

import abc
import importlib
import pickle
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import detectron2
from detectron2.config import LazyCall as L
from detectron2.config import get_cfg, instantiate

core_only = pytest.mark.core_only(reason="about what core leaves out")


def _names() -> dict[str, list[str]]:
    text = Path(__file__).with_name("upstream_names.txt").read_text()
    entries = re.sub(r"\n +", " ", re.sub(r"^#.*\n", "", text, flags=re.M)).splitlines()
    return {module: names.split() for module, _, names in (x.partition(":") for x in entries)}


NAMES = _names()


def test_the_list_is_whole():
    assert len(NAMES) == 149
    assert sum(map(len, NAMES.values())) > 1200


@pytest.mark.parametrize("module", NAMES)
def test_every_name_imports(module):
    imported = importlib.import_module(module)
    missing = [name for name in NAMES[module] if not hasattr(imported, name)]
    assert missing == []


@core_only
@pytest.mark.parametrize("module", ["structures", "utils.testing"])
def test_modules_import_in_any_order(module):
    command = [sys.executable, "-W", "ignore", "-c", f"import detectron2.{module}"]
    subprocess.run(command, check=True, timeout=120)


def _left_out():
    from detectron2.evaluation import COCOPanopticEvaluator
    from detectron2.modeling import MViT, PanopticFPN, SwinTransformer
    from detectron2.modeling.roi_heads import BaseKeypointRCNNHead, Res5ROIHeads
    from detectron2.structures import Keypoints, RotatedBoxes
    from detectron2.tracking import BBoxIOUTracker

    backbones = [MViT, SwinTransformer]
    heads = [BaseKeypointRCNNHead, Res5ROIHeads]
    return [COCOPanopticEvaluator, PanopticFPN, *backbones, *heads, Keypoints, RotatedBoxes,
            BBoxIOUTracker]  # fmt: skip


@core_only
def test_use_is_refused_in_one_sentence():
    from detectron2.structures import pairwise_iou_rotated

    for refusing in (*_left_out(), pairwise_iou_rotated):
        with pytest.raises(NotImplementedError, match=r"needs .*, which .* use upstream") as error:
            refusing(1, key=2)
        assert refusing.__name__ in str(error.value)
        assert "\n" not in str(error.value)


@core_only
def test_everything_but_use_goes():
    from detectron2.structures import Boxes, Keypoints, RotatedBoxes, pairwise_iou_rotated

    for stand_in in (RotatedBoxes, Keypoints, pairwise_iou_rotated):
        assert pickle.loads(pickle.dumps(stand_in)) is stand_in
        assert stand_in.__module__.startswith("detectron2.")
        assert stand_in.__doc__
        assert repr(stand_in)
    assert not isinstance(Boxes([[0, 0, 1, 1]]), RotatedBoxes)
    assert not isinstance(3, (RotatedBoxes, Keypoints))
    assert not issubclass(Boxes, RotatedBoxes)
    assert not hasattr(RotatedBoxes, "cat")
    assert getattr(RotatedBoxes, "cat", None) is None
    assert typing.get_args(RotatedBoxes | Boxes | None) == (RotatedBoxes, Boxes, type(None))
    assert "Keypoints" in dir(detectron2.structures)

    def annotated(boxes: RotatedBoxes, other: "Keypoints | None" = None) -> None: ...

    assert typing.get_type_hints(annotated, localns=locals())["boxes"] is RotatedBoxes


@core_only
def test_a_class_attribute_is_refused():
    from detectron2.structures import RotatedBoxes

    with pytest.raises(NotImplementedError, match=r"'RotatedBoxes.cat' needs rotated boxes"):
        RotatedBoxes.cat([])


@core_only
def test_subclasses_are_refused_when_they_are_made():
    from detectron2.modeling.roi_heads import ROI_KEYPOINT_HEAD_REGISTRY, BaseKeypointRCNNHead

    @ROI_KEYPOINT_HEAD_REGISTRY.register()
    class Head(BaseKeypointRCNNHead, abc.ABC):
        def __init__(self, cfg):
            super().__init__()

        @classmethod
        def from_config(cls, cfg):
            return {}

    assert Head.from_config(None) == {}
    with pytest.raises(NotImplementedError, match="'Head' needs keypoints"):
        ROI_KEYPOINT_HEAD_REGISTRY.get("Head")(None)


@core_only
def test_a_config_may_name_what_is_left_out():
    from detectron2.modeling import PanopticFPN, build_model

    lazy = L(PanopticFPN)(sem_seg_head=None)
    with pytest.raises(NotImplementedError, match="panoptic segmentation"):
        instantiate(lazy)
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.DEVICE = "PanopticFPN", "cpu"
    with pytest.raises(NotImplementedError, match="panoptic segmentation"):
        build_model(cfg)


@core_only
def test_every_feature_names_a_way_out():
    from detectron2.utils.unavailable import REMEDIES

    assert all(remedy.endswith("or use upstream Detectron2") for remedy in REMEDIES.values())


@core_only
def test_projects_say_where_they_are_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("DETECTRON2_PROJECTS", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"PointRend .*DETECTRON2_PROJECTS"):
        importlib.import_module("detectron2.projects.point_rend")
    package = tmp_path / "projects" / "DeepLab" / "deeplab"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from .config import answer\n")
    (package / "config.py").write_text("answer = 42\n")
    for root in (tmp_path, tmp_path / "projects", tmp_path / "projects" / "DeepLab"):
        monkeypatch.setenv("DETECTRON2_PROJECTS", str(root))
        assert importlib.import_module("detectron2.projects.deeplab").answer == 42
        for name in [x for x in sys.modules if x.startswith("detectron2.projects.deeplab")]:
            del sys.modules[name]
