"""Which layers of an OpenVINO file keep float32, and that its boxes are right in bfloat16."""

from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from projects_ext.deploy.formats import export, runner
from projects_ext.deploy.precision import (
    BFLOAT16,
    FLOAT32,
    keep_float32,
    network_layers,
    precision_of,
)
from projects_ext.deploy.program import program_of
from projects_ext.deploy.verify import compare
from projects_ext.errors import UserError
from tests.procedural import procedural_image

from .region_systems import predictor

# image -> resize (a product) -> convolution -> relu -> convolution -> exp; the relu's sum, too.
LAYERS = ("Parameter", "MatMul", "Convolution", "ReLU", "Convolution", "Exp", "ReduceSum", "Const")
EDGES = ((0, 1, 0), (7, 1, 1), (1, 2, 0), (2, 3, 0), (3, 4, 0), (4, 5, 0), (3, 6, 0))


def small_graph() -> ElementTree.Element:
    root = ElementTree.Element("net")
    layers, edges = ElementTree.SubElement(root, "layers"), ElementTree.SubElement(root, "edges")
    for index, kind in enumerate(LAYERS):
        layer = ElementTree.SubElement(layers, "layer", id=str(index), type=kind)
        ElementTree.SubElement(layer, "data")
    for giver, taker, port in EDGES:
        ends = {"from-layer": str(giver), "to-layer": str(taker), "to-port": str(port)}
        ElementTree.SubElement(edges, "edge", ends)
    return root


def test_the_network_lies_between_convolutions() -> None:
    assert network_layers(small_graph()) == {"2", "3", "4"}


@pytest.mark.parametrize(
    ("precision", "expected"), [(FLOAT32, list("123456")), (BFLOAT16, list("156"))]
)
def test_layers_are_marked(tmp_path: Path, precision: str, expected: list[str]) -> None:
    path = tmp_path / "model.xml"
    ElementTree.ElementTree(small_graph()).write(path)
    for _ in range(2):  # once is enough, and OpenVINO refuses a file that says it twice
        keep_float32(path, precision)
    assert precision_of(path) == precision
    layers = ElementTree.parse(path).getroot().iterfind("layers/layer")
    found = [x.get("id") for x in layers if len(x.findall("rt_info/attribute")) == 1]
    assert found == expected


def test_other_formats_have_no_bfloat16(tmp_path: Path) -> None:
    program, metadata = program_of(predictor("carafe faster", tmp_path))
    with pytest.raises(UserError, match="take --format openvino for bfloat16"):
        export(program, metadata, "onnx", tmp_path / "model.onnx", BFLOAT16)


def test_openvino_runs_both_and_keeps_the_boxes(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    chosen = predictor("carafe faster", tmp_path, threshold=0.05)
    program, metadata = program_of(chosen)
    image, path = procedural_image("precision", 96, 128), tmp_path / "model.xml"
    export(program, metadata, "openvino", path, BFLOAT16)
    core = openvino.Core()
    if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        layers = core.compile_model(path, "CPU").get_runtime_model().get_ops()
        types = Counter(layer.rt_info["runtimePrecision"].astype(str) for layer in layers)
        assert types["bf16"] > 10, types
        assert types["f32"] > 20, types
    keep_float32(path, FLOAT32)
    outputs: Any = runner(path, "openvino", program.OUTPUTS)(image)
    found = compare("image", image, outputs, chosen, metadata)
    assert found.small, found
    assert found.scores < 1e-4
    assert found.found > 3
