"""YAML files with keys of older versions."""

import logging

import pytest

from detectron2.config import CfgNode, downgrade_config, get_cfg, upgrade_config
from detectron2.config.compat import guess_version

OLD = """
MODEL:
  META_ARCHITECTURE: {0}
  WEIGHT: weights.pkl
  RPN: {{ANCHOR_SIZES: [[8], [16]]}}
  RETINANET: {{ANCHOR_SIZES: [[4, 5]], INFERENCE_SCORE_THRESHOLD: 0.25}}
  ROI_HEADS: {{NMS: 0.3}}
  PANOPTIC_FPN: {{COMBINE_ON: False}}
TEST: {{AUG_ON: True, DETECTIONS_PER_IMG: 7}}
{1}
"""


@pytest.mark.parametrize("version", ["", "VERSION: 1"])
@pytest.mark.parametrize(
    ("architecture", "sizes"), [("GeneralizedRCNN", [[8], [16]]), ("RetinaNet", [[4, 5]])]
)
def test_old_keys_are_understood(tmp_path, caplog, architecture, sizes, version):
    path = tmp_path / "old.yaml"
    path.write_text(OLD.format(architecture, version))
    cfg = get_cfg()
    with caplog.at_level(logging.WARNING):
        cfg.merge_from_file(str(path))
    assert "old.yaml" in caplog.text
    assert cfg.MODEL.WEIGHTS == "weights.pkl"
    assert sizes == cfg.MODEL.ANCHOR_GENERATOR.SIZES
    assert cfg.MODEL.RETINANET.SCORE_THRESH_TEST == 0.25
    assert cfg.MODEL.ROI_HEADS.NMS_THRESH_TEST == 0.3
    assert cfg.MODEL.PANOPTIC_FPN.COMBINE.ENABLED is False
    assert cfg.TEST.AUG.ENABLED
    assert cfg.TEST.DETECTIONS_PER_IMAGE == 7
    assert cfg.VERSION == 2
    other = get_cfg()
    assert cfg.keys() == other.keys()
    assert cfg.MODEL.RPN.keys() == other.MODEL.RPN.keys()


def test_version_0(tmp_path):
    path = tmp_path / "old.yaml"
    path.write_text("MODEL: {RPN_HEAD: {NAME: MyHead}}\nVERSION: 0\n")
    cfg = get_cfg()
    cfg.merge_from_file(str(path))
    assert cfg.MODEL.RPN.HEAD_NAME == "MyHead"
    assert "RPN_HEAD" not in cfg.MODEL


def test_there_and_back():
    cfg = get_cfg()
    cfg.USER = CfgNode({"KEY": 3})
    old = downgrade_config(cfg, 0)
    assert old.VERSION == 0
    assert old.MODEL.RPN_HEAD.NAME == cfg.MODEL.RPN.HEAD_NAME
    assert old.MODEL.RETINANET.ANCHOR_SIZES == cfg.MODEL.ANCHOR_GENERATOR.SIZES
    assert "WEIGHTS" not in old.MODEL
    assert upgrade_config(old) == cfg
    assert upgrade_config(old, 1).VERSION == 1
    with pytest.raises(AssertionError):
        downgrade_config(old, 1)
    with pytest.raises(AssertionError):
        upgrade_config(cfg, 1)


def test_guesses():
    assert guess_version(CfgNode({"TEST": {"AUG_ON": True}}), "a.yaml") == 1
    assert guess_version(CfgNode({"MODEL": {"WEIGHTS": "x"}}), "a.yaml") == 2


@pytest.mark.core_only(reason="upstream raises from inside")
def test_a_file_with_something_else_in_place_of_a_section(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("MODEL: 3\n")
    with pytest.raises(ValueError, match="bad.yaml"):
        get_cfg().merge_from_file(str(path))
