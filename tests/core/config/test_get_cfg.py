import hashlib
import json

import pytest
import yaml

from detectron2.config import CfgNode, get_cfg, global_cfg, set_global_cfg


def leaves(node, prefix=""):
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_keys_values_and_types_are_those_of_detectron2():
    defaults = dict(leaves(get_cfg()))
    assert len(defaults) == 192
    described = sorted((key, type(value).__name__, value) for key, value in defaults.items())
    digest = hashlib.sha256(json.dumps(described).encode()).hexdigest()
    assert digest == "d73daa1f537b57528f4d638a575abb47df5064314c9de7cccb4f46f6505cf18e"


def test_every_call_gives_its_own_copy():
    first, second = get_cfg(), get_cfg()
    first.MODEL.RPN.IOU_THRESHOLDS.append(9)
    first.MODEL.RESNETS.DEPTH = 101
    assert second.MODEL.RPN.IOU_THRESHOLDS == [0.3, 0.7]
    assert get_cfg().MODEL.RESNETS.DEPTH == 50


def test_merge_from_file_follows_base_and_keeps_types(tmp_path):
    (tmp_path / "base.yaml").write_text("MODEL:\n  RESNETS:\n    DEPTH: 101\n  MASK_ON: True\n")
    leaf = tmp_path / "leaf.yaml"
    leaf.write_text(
        "_BASE_: base.yaml\nMODEL:\n  RESNETS:\n    DEPTH: 18\nINPUT:\n  MIN_SIZE_TRAIN: [3, 4]\n"
        "DATASETS:\n  TRAIN: ('a', 'b')\nVERSION: 2\n"
    )
    cfg = get_cfg()
    cfg.merge_from_file(str(leaf))
    assert cfg.MODEL.MASK_ON is True
    assert cfg.MODEL.RESNETS.DEPTH == 18
    assert cfg.INPUT.MIN_SIZE_TRAIN == (3, 4)
    assert cfg.DATASETS.TRAIN == ("a", "b")


def test_merge_from_list_and_dump_and_reload(tmp_path):
    cfg = get_cfg()
    cfg.merge_from_list(["SOLVER.BASE_LR", "0.5", "SOLVER.STEPS", "(1, 2)"])
    file = tmp_path / "dumped.yaml"
    file.write_text(cfg.dump())
    again = get_cfg()
    again.merge_from_file(str(file))
    assert yaml.safe_load(again.dump()) == yaml.safe_load(cfg.dump())
    assert again.SOLVER.STEPS == (1, 2)


def test_unknown_key_is_refused(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("MODEL:\n  RESNETZ: 3\nVERSION: 2\n")
    with pytest.raises(KeyError, match=r"MODEL\.RESNETZ"):
        get_cfg().merge_from_file(str(file))


@pytest.mark.core_only(reason="messages name the file")
@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("MODEL:\n  RESNETZ: 3\n", KeyError, "RESNETZ"),
        ("MODEL:\n  RESNETS: 3\n", ValueError, "x.yaml"),
        ("VERSION: 3\n", ValueError, "VERSION 3"),
    ],
)
def test_messages_name_the_file(tmp_path, text, error, words):
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(error, match=words) as caught:
        get_cfg().merge_from_file(str(file))
    assert "x.yaml" in str(caught.value)


@pytest.mark.core_only(reason="upstream asserts")
def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nope\.yaml"):
        get_cfg().merge_from_file(str(tmp_path / "nope.yaml"))


def test_frozen_node_and_computed_keys():
    cfg = CfgNode({"A": 1})
    cfg.freeze()
    with pytest.raises(AttributeError):
        cfg.A = 2
    cfg.COMPUTED_B = 3
    assert cfg.COMPUTED_B == 3


def test_set_global_cfg_replaces_all_values():
    set_global_cfg(CfgNode({"A": 1, "B": 2}))
    set_global_cfg(CfgNode({"A": 3}))
    assert dict(global_cfg) == {"A": 3}
    set_global_cfg(CfgNode())


@pytest.mark.core_only(reason="upstream makes what the tags of a YAML file stand for")
def test_tags_that_make_objects_are_refused(tmp_path):
    base, leaf = tmp_path / "base.yaml", tmp_path / "leaf.yaml"
    base.write_text("SOLVER:\n  STEPS: !!python/object/apply:builtins.list []\n")
    leaf.write_text("_BASE_: base.yaml\n")
    for path in (base, leaf):
        with pytest.raises(ValueError, match=r"line 2: .*!!python/object/apply:builtins\.list"):
            get_cfg().merge_from_file(str(path))
    cfg = get_cfg()
    cfg.merge_from_file(str(base), allow_unsafe=True)
    assert cfg.SOLVER.STEPS == ()
