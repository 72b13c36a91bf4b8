"""What messages about data tell users to write is accepted as it is written."""

import ast
import re
from collections.abc import Iterator

import pytest

from projects_ext.engine import load_config
from tests.projects_ext.faults.runs import CONFIG, ROOT

YAML = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.yaml")
LAZY_REMEDY = re.compile(
    r"\b(?:data|dataloader|model|train)(?:\.\w+)+=(?:True|False|null|[a-z\d.]+)(?![\w.…{])"
)
YAML_REMEDY = re.compile(r"\b([A-Z_]+(?:\.[A-Z_]+)+) (True|False|\d+)\b")


def texts() -> Iterator[str]:
    """Every string in the code that reads data; what is put into it later is ``{}``."""
    for path in sorted((ROOT / "projects_ext" / "data").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
                yield "".join(map(str, parts))


LAZY = sorted({remedy for text in texts() for remedy in LAZY_REMEDY.findall(text)})
OF_YAML = sorted({remedy for text in texts() for remedy in YAML_REMEDY.findall(text)})


def test_remedies_are_found() -> None:
    assert {"data.masks=False", "data.skip_invalid=True"} <= set(LAZY)
    assert "dataloader.train.dataset.filter_empty=False" in LAZY
    assert ("MODEL.MASK_ON", "False") in OF_YAML
    assert ("DATASETS.COCO_FORMAT.SKIP_INVALID", "True") in OF_YAML


@pytest.mark.parametrize("remedy", LAZY)
def test_a_remedy_is_a_key_of_the_config(remedy: str) -> None:
    load_config(CONFIG, [remedy])


@pytest.mark.parametrize("pair", OF_YAML)
def test_a_remedy_is_a_key_of_yaml_configs(pair: tuple[str, str], shapes_keys: list[str]) -> None:
    load_config(YAML, [*shapes_keys, *pair])
