"""YAML config files whose tags could run code are refused before anything in them is made."""

from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from detectron2.config import LazyConfig
from projects_ext.engine.config_files import load_config
from projects_ext.engine.yaml_tags import refuse_tags
from projects_ext.errors import UserError

# All harmless: they would make an empty list, the number 2, a module, or a folder in tmp_path.
TAGS = [
    "!!python/object/apply:builtins.list []",
    "!!python/object/apply:eval ['1 + 1']",
    "!!python/object/new:builtins.list []",
    "!!python/object:builtins.object {}",
    "!!python/module:string ''",
    "!!python/object/apply:os.mkdir ['MADE']",
    "!own [1, 2]",
]


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("kind", ["yaml", "lazy", "base", "base of a base", "list of bases"])
def test_tags_that_make_objects_are_refused(kind: str, tag: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    path, text = tmp_path / "x.yaml", tag.replace("MADE", str(made))
    bad = path if kind in ("yaml", "lazy") else tmp_path / "bad.yaml"
    if kind == "lazy":
        path.write_text(f"train:\n  max_iter: 3\n  seed: [{text}]\n")
    else:
        path.write_text("_BASE_: bad.yaml\n")
        bad.write_text(f"SOLVER:\n  MAX_ITER: 3\n  STEPS: [{text}]\n")
    if kind == "base of a base":
        path.write_text("_BASE_: middle.yaml\n")
        (tmp_path / "middle.yaml").write_text("_BASE_: bad.yaml\n")
    if kind == "list of bases":
        path.write_text("_BASE_: [good.yaml, bad.yaml]\n")
        (tmp_path / "good.yaml").write_text("SOLVER: {MAX_ITER: 4}\n")
    name = text.split()[0].replace("/", r"\/")
    reason = "is not known and is" if text.startswith("!own") else "makes a Python object.*"
    with pytest.raises(UserError, match=rf"{bad}:3: the tag {name} {reason} refused"):
        load_config(str(path), [])
    assert not made.exists()


def test_a_tag_in_a_key_or_behind_an_alias_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    for text in (
        "? !!python/module:string ''\n: 3\n",
        "A: &a [!!python/module:string '']\nB: *a\n",
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=r"x\.yaml:1: the tag !!python/module:string"):
            refuse_tags(str(path), saved_lazy=True)


def test_names_are_for_saved_lazy_configs_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    tag = "!!python/name:builtins.len ''"
    path.write_text(f"train: {{seed: {tag}}}\nmodel: {{}}\n")
    assert load_config(str(path), []).train.seed is not None
    path.write_text(f"SOLVER: {{STEPS: {tag}}}\n")
    with pytest.raises(UserError, match="makes a Python object"):
        load_config(str(path), [])


def test_tuples_of_old_files_are_read(tmp_path: Path) -> None:
    base, path = tmp_path / "base.yaml", tmp_path / "x.yaml"
    base.write_text(
        "SOLVER:\n  STEPS: !!python/tuple [3, 5]\n"
        "MODEL:\n  ANCHOR_GENERATOR:\n    SIZES: [!!python/tuple [8], !!python/tuple [16]]\n"
    )
    path.write_text("_BASE_: base.yaml\nINPUT: {MIN_SIZE_TRAIN: !!python/tuple [64, 96]}\n")
    for _ in range(2):
        cfg = load_config(str(path), [])
        assert (cfg.SOLVER.STEPS, cfg.INPUT.MIN_SIZE_TRAIN) == ((3, 5), (64, 96))
        assert [list(sizes) for sizes in cfg.MODEL.ANCHOR_GENERATOR.SIZES] == [[8], [16]]
    with pytest.raises(yaml.constructor.ConstructorError):  # elsewhere the loader is as it was
        yaml.safe_load("!!python/tuple [3]")
    path.write_text("SOLVER:\n  STEPS: !!python/tuple 3\n")
    with pytest.raises(UserError, match=r"x\.yaml:2: the tag !!python/tuple is for a list of val"):
        load_config(str(path), [])
    path.write_text("SOLVER: {STEPS: !!python/tuple [!!python/module:string '']}\n")
    with pytest.raises(UserError, match="makes a Python object"):
        load_config(str(path), [])


def test_what_a_run_saves_is_loaded_again(tmp_path: Path) -> None:
    path = str(tmp_path / "config.yaml")
    # A class and a tuple among the arguments.
    cfg = OmegaConf.create({"train": {"shape": (1, 2)}, "model": {}}, flags={"allow_objects": True})
    cfg.model.block_class = Path
    LazyConfig.save(cfg, path)
    again = load_config(path, [])
    assert again.model.block_class is Path
    assert tuple(again.train.shape) == (1, 2)


def test_bases_that_are_missing_or_in_a_circle(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("_BASE_: second.yaml\n")
    with pytest.raises(FileNotFoundError, match=r"its _BASE_ .*second\.yaml is not there"):
        load_config(str(first), [])
    second.write_text("_BASE_: first.yaml\n")
    with pytest.raises(UserError, match=r"its _BASE_ .*first\.yaml is based on it in turn"):
        load_config(str(first), [])


def test_nested_too_deeply(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("A: " + "[" * 2000 + "]" * 2000)
    with pytest.raises(UserError, match="nested too deeply"):
        load_config(str(path), [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SOLVER:\n  BASE_LR: 0.1\n  BASE_LR: 0.5\n", ":3: the key BASE_LR is already in line 2"),
        ("MODEL:\nSEED: 1\n", ":1: MODEL is empty: it is a section"),
        ("MODEL:\n  RPN: null\n", ":2: MODEL.RPN is 'null': it is a section"),
        ("SOLVER: 5\n", ":1: SOLVER is '5': it is a section"),
    ],
)
def test_repeated_keys_and_sections_that_are_none(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_config(str(path), [])
    assert message in caught.value.sentence
