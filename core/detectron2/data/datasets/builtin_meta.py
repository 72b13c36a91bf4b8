"""Class tables of the built-in data sets."""

from __future__ import annotations

import colorsys
import re
from typing import Any

_COCO_THINGS = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light,
fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow,
elephant, bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee,
skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard,
tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple,
sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch,
potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone,
microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear,
hair drier, toothbrush
"""

# The ids run from 1 to 90; eleven categories were taken out before COCO was published.
_COCO_UNUSED_IDS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}

_ADE20K = """
wall; building; sky; floor; tree; ceiling; road, route; bed; window; grass; cabinet;
sidewalk, pavement; person; earth, ground; door; table; mountain, mount; plant; curtain;
chair; car; water; painting, picture; sofa; shelf; house; sea; mirror; rug; field;
armchair; seat; fence; desk; rock, stone; wardrobe, closet, press; lamp; tub; rail;
cushion; base, pedestal, stand; box; column, pillar; signboard, sign;
chest of drawers, chest, bureau, dresser; counter; sand; sink; skyscraper; fireplace;
refrigerator, icebox; grandstand, covered stand; path; stairs; runway;
case, display case, showcase, vitrine; pool table, billiard table, snooker table; pillow;
screen door, screen; stairway, staircase; river; bridge, span; bookcase; blind, screen;
coffee table; toilet, can, commode, crapper, pot, potty, stool, throne; flower; book;
hill; bench; countertop; stove; palm, palm tree; kitchen island; computer; swivel chair;
boat; bar; arcade machine; hovel, hut, hutch, shack, shanty; bus; towel; light; truck;
tower; chandelier; awning, sunshade, sunblind; street lamp; booth; tv; plane; dirt track;
clothes; pole; land, ground, soil; bannister, banister, balustrade, balusters, handrail;
escalator, moving staircase, moving stairway; ottoman, pouf, pouffe, puff, hassock;
bottle; buffet, counter, sideboard; poster, posting, placard, notice, bill, card; stage;
van; ship; fountain; conveyer belt, conveyor belt, conveyer, conveyor, transporter;
canopy; washer, automatic washer, washing machine; plaything, toy; pool; stool;
barrel, cask; basket, handbasket; falls; tent; bag; minibike, motorbike; cradle; oven;
ball; food, solid food; step, stair; tank, storage tank; trade name; microwave; pot;
animal; bicycle; lake; dishwasher; screen; blanket, cover; sculpture; hood, exhaust hood;
sconce; vase; traffic light; tray; trash can; fan; pier; crt screen; plate; monitor;
bulletin board; shower; radiator; glass, drinking glass; clock; flag
"""

# Train id = line number; label id of cityscapesscripts, name, colour. Things from "person" on.
_CITYSCAPES = """
 7 road           128  64 128
 8 sidewalk       244  35 232
11 building        70  70  70
12 wall           102 102 156
13 fence          190 153 153
17 pole           153 153 153
19 traffic light  250 170  30
20 traffic sign   220 220   0
21 vegetation     107 142  35
22 terrain        152 251 152
23 sky             70 130 180
24 person         220  20  60
25 rider          255   0   0
26 car              0   0 142
27 truck            0   0  70
28 bus              0  60 100
31 train            0  80 100
32 motorcycle       0   0 230
33 bicycle        119  11  32
"""


def _split(names: str, separator: str) -> list[str]:
    return [" ".join(name.split()) for name in names.split(separator)]


def _palette(size: int) -> list[tuple[int, int, int]]:
    """RGB colours far apart from each other: steps of the golden ratio around the hue circle."""
    colors = []
    for index in range(size):
        shade = (index * 0.618034 % 1.0, 0.55 + 0.15 * (index % 4), 1.0 - 0.12 * (index % 3))
        red, green, blue = (round(255 * value) for value in colorsys.hsv_to_rgb(*shade))
        colors.append((red, green, blue))
    return colors


def _coco_categories() -> list[dict[str, Any]]:
    names = _split(_COCO_THINGS, ",")
    ids = [number for number in range(1, 91) if number not in _COCO_UNUSED_IDS]
    rows = zip(ids, names, _palette(len(names)), strict=True)
    return [{"id": i, "name": name, "isthing": 1, "color": color} for i, name, color in rows]


def _cityscapes_categories() -> list[dict[str, Any]]:
    table = []
    for train_id, line in enumerate(_CITYSCAPES.strip().splitlines()):
        match = re.fullmatch(r"\s*(\d+) (\D+?)\s+(\d+)\s+(\d+)\s+(\d+)", line)
        assert match is not None, line
        label_id, name, *color = match.groups()
        row = {"id": int(label_id), "trainId": train_id, "name": name}
        row |= {"isthing": int(train_id >= 11), "color": tuple(map(int, color))}
        table.append(row)
    return table


COCO_CATEGORIES = _coco_categories()
"""The 80 object categories of COCO (`id`, `name`, `isthing`, `color`); the colours are ours."""

CITYSCAPES_CATEGORIES = _cityscapes_categories()
"""The 19 evaluated categories of Cityscapes (`id`, `trainId`, `name`, `isthing`, `color`)."""

ADE20K_SEM_SEG_CATEGORIES = _split(_ADE20K, ";")
"""Names of the 150 categories of the ADE20K scene parsing benchmark."""


def _get_coco_instances_meta() -> dict[str, Any]:
    contiguous = {category["id"]: index for index, category in enumerate(COCO_CATEGORIES)}
    return {
        "thing_dataset_id_to_contiguous_id": contiguous,
        "thing_classes": [category["name"] for category in COCO_CATEGORIES],
        "thing_colors": [category["color"] for category in COCO_CATEGORIES],
    }


def _get_cityscapes_meta() -> dict[str, Any]:
    things = [category for category in CITYSCAPES_CATEGORIES if category["isthing"]]
    return {
        "thing_classes": [category["name"] for category in things],
        "thing_colors": [category["color"] for category in things],
        "stuff_classes": [category["name"] for category in CITYSCAPES_CATEGORIES],
        "stuff_colors": [category["color"] for category in CITYSCAPES_CATEGORIES],
    }


def _get_ade20k_meta() -> dict[str, Any]:
    names = [*ADE20K_SEM_SEG_CATEGORIES]
    return {"stuff_classes": names, "stuff_colors": _palette(len(names))}


_BUILTIN = {
    "coco": _get_coco_instances_meta,
    "cityscapes": _get_cityscapes_meta,
    "ade20k_sem_seg": _get_ade20k_meta,
}


def _get_builtin_metadata(dataset_name: str) -> dict[str, Any]:
    """The class names, ids and colours of "coco", "cityscapes" or "ade20k_sem_seg"."""
    if dataset_name not in _BUILTIN:
        known = ", ".join(_BUILTIN)
        raise KeyError(f"No built-in metadata for '{dataset_name}'; there is {known}.")
    return _BUILTIN[dataset_name]()
