"""Which parts of an OpenVINO model may run in bfloat16.

OpenVINO takes bfloat16 by itself wherever a processor has it, for boxes, too: of 8 bits of a
coordinate's digits, a box at 1,000 pixels is 4 off. Hence each layer of a file says whether it
keeps float32. In bfloat16 are convolutions, matrix products and what lies between them; what
resizes the image, decodes, ranks and pools boxes is to stay in float32. It mostly does: not every
mark is followed, perhaps because OpenVINO merges layers.
"""

from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

FLOAT32, BFLOAT16 = "float32", "bfloat16"

CONVOLUTIONS = frozenset(
    ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData")
)
HEAVY = CONVOLUTIONS | {"MatMul"}
"""Layers that are worth it."""

ALL_INPUTS = frozenset(
    (*HEAVY, "Add", "Subtract", "Multiply", "Divide", "Maximum", "Minimum", "Concat", "Power")
)
"""Layers whose inputs are all features. Of others, the first one is: further ones are sizes, places
and boxes."""

INERT = frozenset(("Const", "Parameter", "Result"))
"""Layers that compute nothing."""

KEPT = INERT | {"ROIAlign"}
"""What is no part of the network even between its layers: boxes come in beside the features."""

ATTRIBUTE = "precise"
"""OpenVINO's name, in a file, for a layer that keeps its precision."""


NOTE = "projects_ext_precision"
"""Under which name a file says its precision."""


def keep_float32(path: Path, precision: str) -> None:
    """Mark the layers of a model's file that keep float32, and note its precision.

    Where all are to be in float32, programs that run the file have to ask for it, too, since not
    every mark is followed.

    Args:
        path: of the ``.xml`` file, which is written anew.
        precision: FLOAT32: all of them; BFLOAT16: those outside the network.
    """
    tree = ElementTree.parse(path)
    root = tree.getroot()
    network = network_layers(root) if precision == BFLOAT16 else frozenset()
    for layer in root.iterfind("layers/layer"):
        if layer.get("type") in INERT or layer.get("id") in network:
            continue
        info = layer.find("rt_info")
        if info is None:
            info = ElementTree.Element("rt_info")
            layer.insert(0 if layer.find("data") is None else 1, info)
        if info.find(f"attribute[@name='{ATTRIBUTE}']") is None:
            ElementTree.SubElement(info, "attribute", name=ATTRIBUTE, version="0")
    notes = root.find("rt_info")
    notes = ElementTree.SubElement(root, "rt_info") if notes is None else notes
    note = notes.find(NOTE)
    note = ElementTree.SubElement(notes, NOTE) if note is None else note
    note.set("value", precision)
    tree.write(path, encoding="utf-8", xml_declaration=True)


def precision_of(path: Path) -> str:
    """The precision that a file of :func:`keep_float32` notes; FLOAT32 of others."""
    note = ElementTree.parse(path).getroot().find(f"rt_info/{NOTE}")
    return FLOAT32 if note is None else note.get("value", FLOAT32)


def network_layers(root: ElementTree.Element) -> frozenset[str]:
    """The layers that come after a convolution and before another heavy layer, with both.

    Args:
        root: of a model's XML.

    Returns:
        their ids.
    """
    kinds = {layer.get("id", ""): layer.get("type", "") for layer in root.iterfind("layers/layer")}
    before, after = _feature_edges(root, kinds)
    heavy = [layer for layer, kind in kinds.items() if kind in HEAVY]
    first = [layer for layer, kind in kinds.items() if kind in CONVOLUTIONS]
    network = _reached(heavy, before) & _reached(first, after)
    return frozenset(layer for layer in network if kinds[layer] not in KEPT)


def _feature_edges(
    root: ElementTree.Element, kinds: dict[str, str]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Of each layer, those that give it features and those that take its."""
    before: dict[str, list[str]] = defaultdict(list)
    after: dict[str, list[str]] = defaultdict(list)
    for edge in root.iterfind("edges/edge"):
        giver, taker = edge.get("from-layer", ""), edge.get("to-layer", "")
        if edge.get("to-port") == "0" or kinds[taker] in ALL_INPUTS:
            before[taker].append(giver)
            after[giver].append(taker)
    return before, after


def _reached(start: list[str], edges: dict[str, list[str]]) -> set[str]:
    seen, left = set(start), list(start)
    while left:
        for layer in edges[left.pop()]:
            if layer not in seen:
                seen.add(layer)
                left.append(layer)
    return seen
