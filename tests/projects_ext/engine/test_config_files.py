"""Both kinds of config files, told apart by their content."""

import json
from pathlib import Path

import pytest
from omegaconf import DictConfig

import projects_ext
from detectron2.config import CfgNode, LazyConfig, get_cfg
from detectron2.data import DatasetCatalog
from projects_ext.engine.config_files import is_lazy, key_value_list, load_config
from projects_ext.errors import UserError

ROOT = Path(__file__).parents[3]
QUICKSTART = ROOT / "configs" / "quickstart"


def test_a_lazy_config_stays_one_when_it_is_saved_as_yaml(tmp_path: Path) -> None:
    cfg = load_config(str(QUICKSTART / "mask_rcnn_shapes.py"), ["train.max_iter=7"])
    assert isinstance(cfg, DictConfig)
    saved = tmp_path / "config.yaml"
    LazyConfig.save(cfg, str(saved))
    again = load_config(str(saved), ["optimizer.lr=0.5"])
    assert isinstance(again, DictConfig)
    assert again.train.max_iter == 7
    assert again.optimizer.lr == 0.5


def test_a_yaml_config_of_detectron2_with_our_keys(tmp_path: Path) -> None:
    base, leaf = tmp_path / "base.yaml", tmp_path / "leaf.yaml"
    base.write_text("MODEL: {META_ARCHITECTURE: RetinaNet}\nSOLVER: {MAX_ITER: 7}\n")
    leaf.write_text("_BASE_: base.yaml\nSOLVER: {EMA: {ENABLED: True}}\n")
    cfg = load_config(str(leaf), ["SOLVER.BASE_LR", "0.5", "TEST.PICTURES=3"])
    assert isinstance(cfg, CfgNode)
    assert cfg.is_frozen()
    assert (cfg.MODEL.META_ARCHITECTURE, cfg.SOLVER.MAX_ITER) == ("RetinaNet", 7)
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.EMA.ENABLED, cfg.TEST.PICTURES) == (0.5, True, 3)
    assert not is_lazy(str(leaf))


def changed(plain: CfgNode, ours: CfgNode, place: str = "") -> list[str]:
    """Keys of ``plain`` that ``ours`` lacks or has another value for."""
    found = []
    for key, value in plain.items():
        name = f"{place}{key}"
        if isinstance(value, CfgNode) and key in ours:
            found += changed(value, ours[key], f"{name}.")
        elif key not in ours or ours[key] != value:
            found.append(name)
    return found


def test_our_keys_change_nothing_of_detectron2() -> None:
    plain, ours = get_cfg(), get_cfg()
    projects_ext.add_config(ours)
    assert changed(plain, ours) == []
    assert set(changed(ours, plain)) >= {"MODEL.TRUST_WEIGHTS", "SOLVER.EMA", "MODEL.GROIE"}


def test_default_device_of_yaml_is_the_one_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    path = tmp_path / "x.yaml"
    path.write_text("OUTPUT_DIR: there\n")
    assert load_config(str(path), []).MODEL.DEVICE == "cpu"


def test_a_list_of_files_needs_no_quotes_in_yaml(shapes: Path) -> None:
    files = [f"{shapes / 'annotations'}/instances_{part}.json" for part in ("train", "val")]
    section = "DATASETS.COCO_FORMAT"
    keys = [f"{section}.TRAIN_JSON=[{', '.join(files)}]", f"{section}.VAL_JSON=[{files[1]}]"]
    keys += [f"{section}.TRAIN_IMAGES=[{shapes / 'train'},{shapes / 'val'}]"]
    keys += [f"{section}.VAL_IMAGES={shapes / 'val'}"]
    cfg = load_config(str(QUICKSTART / "mask_rcnn_shapes.yaml"), keys)
    assert files == cfg.DATASETS.COCO_FORMAT.TRAIN_JSON
    assert len(DatasetCatalog.get(cfg.DATASETS.TRAIN[0])) == sum(
        len(json.loads(Path(file).read_text())["images"]) for file in files
    )


def test_numbers_for_names_are_told_to_be_quoted() -> None:
    config = str(ROOT / "configs" / "gcnet" / "semantic" / "gcnet_label_folders.py")
    with pytest.raises(UserError) as caught:
        load_config(config, ["data.classes=[0,1,2]"])
    remedy = """quote a text that looks like something else: data.classes="['0', '1', '2']\""""
    assert remedy in caught.value.sentence
    assert load_config(config, ["data.classes=['0', '1', '2']"]).data.classes == ["0", "1", "2"]


def test_pairs_and_equations() -> None:
    assert key_value_list(["A.B", "1", "C=x=y", "D", "e=f"]) == ["A.B", "1", "C", "x=y", "D", "e=f"]
    with pytest.raises(ValueError, match=r"the config key C has no value"):
        key_value_list(["A=1", "C"])


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("x.txt", "", r"x\.txt is no config file: give a \.py or \.yaml file"),
        ("x.yaml", "- a\n- b\n", r"x\.yaml holds no config: it must be a mapping"),
        ("x.yaml", "a: [1\n", r"x\.yaml is no valid YAML: .*line 2"),
    ],
)
def test_files_that_are_no_configs(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=sentence):
        load_config(str(path), [])


def test_missing_file() -> None:
    with pytest.raises(FileNotFoundError, match=r"no config file at not_there\.py: correct"):
        load_config("not_there.py", [])


def test_what_the_tags_in_a_yaml_file_stand_for_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"OUTPUT_DIR: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']\n")
    assert not is_lazy(str(path))
    assert not (tmp_path / "made").exists()
