"""Class tables of the built-in data sets."""

from __future__ import annotations

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

# The categories of stuff that COCO's panoptic task adds, with their ids.
_COCO_STUFF = """
92 banner, 93 blanket, 95 bridge, 100 cardboard, 107 counter, 109 curtain, 112 door-stuff,
118 floor-wood, 119 flower, 122 fruit, 125 gravel, 128 house, 130 light, 133 mirror-stuff, 138 net,
141 pillow, 144 platform, 145 playingfield, 147 railroad, 148 river, 149 road, 151 roof, 154 sand,
155 sea, 156 shelf, 159 snow, 161 stairs, 166 tent, 168 towel, 171 wall-brick, 175 wall-stone,
176 wall-tile, 177 wall-wood, 178 water-other, 180 window-blind, 181 window-other,
184 tree-merged, 185 fence-merged, 186 ceiling-merged, 187 sky-other-merged, 188 cabinet-merged,
189 table-merged, 190 floor-other-merged, 191 pavement-merged, 192 mountain-merged,
193 grass-merged, 194 dirt-merged, 195 paper-merged, 196 food-other-merged,
197 building-other-merged, 198 rock-merged, 199 wall-other-merged, 200 rug-merged
"""

# RRGGBB of all categories in the order of their ids, as published with COCO's panoptic task.
_COCO_COLORS = """
dc143c 770b20 00008e 0000e6 6a00e4 003c64 005064 000046 0000c0 faaa1e 64aa1e dcdc00 af74af fa001e
a52a2a ff4dff 00e2fc b6b6ff 005200 78a69d 6e4c00 ae39ff c76400 480076 ffb3f0 007d5c d10097 bcd0b6
00dcb0 ff63a4 5c0049 8581ff 4eb4ff 00e400 aefff3 2d59ff 868667 9194ae ffd0ba c5e2ff ab8601 6d3f36
cf8aff 97005f 09503d 546933 4a4169 a6c466 d0c3d2 ff6d41 008f95 b300c2 d1636a 057900 e3ffcd 93bad0
994501 035fa1 a3ff00 7700aa 00b6c7 00a578 b78258 5f2000 827287 6e8185 a64a76 db8eb9 4fd272 b25a3e
41460f 7fa773 3b696a 8e6c2d c4ac00 5f3650 804cff c93901 f6007a bfa2d0 ffff80 93d3cb 966464 a8abac
9270c6 d2aa64 5c8859 da58b8 f18100 d911ff 7c4ab5 464646 ffe4ff 9ad000 c1005c 4c5b71 ffb4c3 6a9ab0
e6968c 3c8fff 804080 5c5237 fed47c 494dae ffa062 ffffff 68546d a9a483 e1c7ff 89364a 879edf 07f6e7
6bffc8 3a2995 b7798e ff4961 6b8e23 be9999 928b8d 4682b4 86c79c d1e28c 60246c 606060 40aa40 98fb98
d0e5e4 cebaab 98a140 747000 00728f 66669c fa8dff
"""

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


# Pairs of keypoints that a line is drawn between, and its colour.
_PERSON_LINES = """
left_ear left_eye 66ccff, right_ear right_eye 3399ff, left_eye nose 6600cc, nose right_eye 3366ff,
left_shoulder right_shoulder ff8000, left_shoulder left_elbow 99ffcc,
right_shoulder right_elbow 80e5ff, left_elbow left_wrist 99ff99, right_elbow right_wrist 66ffe0,
left_hip right_hip ff6600, left_hip left_knee ffff4d, right_hip right_knee 99ffcc,
left_knee left_ankle bfff80, right_knee right_ankle ffc34d
"""


def _split(names: str, separator: str) -> list[str]:
    return [" ".join(name.split()) for name in names.split(separator)]


def _coco_categories() -> list[dict[str, Any]]:
    ids = [number for number in range(1, 91) if number not in _COCO_UNUSED_IDS]
    rows = [(number, name, 1) for number, name in zip(ids, _split(_COCO_THINGS, ","), strict=True)]
    for entry in _split(_COCO_STUFF, ","):
        number, name = entry.split()
        rows.append((int(number), name, 0))
    return [
        {"color": [*bytes.fromhex(color)], "isthing": thing, "id": number, "name": name}
        for (number, name, thing), color in zip(rows, _COCO_COLORS.split(), strict=True)
    ]


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
"""The 133 categories of COCO (`id`, `name`, `isthing`, `color`): 80 things, then 53 of stuff."""

CITYSCAPES_CATEGORIES = _cityscapes_categories()
"""The 19 evaluated categories of Cityscapes (`id`, `trainId`, `name`, `isthing`, `color`)."""

ADE20K_SEM_SEG_CATEGORIES = _split(_ADE20K, ";")
ADE20K_SEM_SEG_CATEGORIES[8] += " "  # upstream's "window ", so that metadata may be set again
"""Names of the 150 categories of the ADE20K scene parsing benchmark."""

_PERSON_PARTS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")

COCO_PERSON_KEYPOINT_FLIP_MAP = tuple((f"left_{part}", f"right_{part}") for part in _PERSON_PARTS)
"""Keypoints of COCO's persons that change places in a mirrored image."""

COCO_PERSON_KEYPOINT_NAMES = ("nose", *(n for pair in COCO_PERSON_KEYPOINT_FLIP_MAP for n in pair))
"""The 17 keypoints of COCO's persons, in the order of its annotations."""

KEYPOINT_CONNECTION_RULES = [
    (first, second, tuple(bytes.fromhex(color)))
    for first, second, color in (line.split() for line in _split(_PERSON_LINES, ","))
]
"""Which keypoints of a person are connected in drawings, and the line's colour (RGB)."""


def _columns(categories: list[dict[str, Any]], prefix: str) -> dict[str, Any]:
    """Names and colours, as ``thing_classes`` and ``thing_colors`` or those of stuff."""
    return {
        f"{prefix}_classes": [category["name"] for category in categories],
        f"{prefix}_colors": [category["color"] for category in categories],
    }


def _get_coco_instances_meta() -> dict[str, Any]:
    things = [category for category in COCO_CATEGORIES if category["isthing"]]
    contiguous = {category["id"]: index for index, category in enumerate(things)}
    return {"thing_dataset_id_to_contiguous_id": contiguous, **_columns(things, "thing")}


def _get_coco_panoptic_separated_meta() -> dict[str, Any]:
    """Things as in the instances task; in label maps 0 is all things, stuff begins at 1."""
    stuff = [category for category in COCO_CATEGORIES if not category["isthing"]]
    columns = _columns(stuff, "stuff")
    names = [re.sub("-other|-merged", "", name) for name in columns["stuff_classes"]]
    return {
        "stuff_dataset_id_to_contiguous_id": {x["id"]: i for i, x in enumerate(stuff, 1)} | {0: 0},
        "stuff_classes": ["things", *names],
        "stuff_colors": [[82, 18, 128], *columns["stuff_colors"]],
        **_get_coco_instances_meta(),
    }


def _panoptic_meta(categories: list[dict[str, Any]]) -> dict[str, Any]:
    """One numbering for things and stuff, and the names of all of them under both headings."""
    meta = {**_columns(categories, "thing"), **_columns(categories, "stuff")}
    for heading, thing in (("thing", 1), ("stuff", 0)):
        meta[f"{heading}_dataset_id_to_contiguous_id"] = {
            x["id"]: index for index, x in enumerate(categories) if x["isthing"] == thing
        }
    return meta


def _get_coco_panoptic_standard_meta() -> dict[str, Any]:
    return _panoptic_meta(COCO_CATEGORIES)


def _get_cityscapes_meta() -> dict[str, Any]:
    things = [category for category in CITYSCAPES_CATEGORIES if category["isthing"]]
    return {
        "thing_classes": [category["name"] for category in things],
        "stuff_classes": [category["name"] for category in CITYSCAPES_CATEGORIES],
    }


def _get_ade20k_meta() -> dict[str, Any]:
    return {"stuff_classes": [*ADE20K_SEM_SEG_CATEGORIES]}


def _get_coco_person_meta() -> dict[str, Any]:
    return {
        "thing_classes": ["person"],
        "keypoint_names": COCO_PERSON_KEYPOINT_NAMES,
        "keypoint_flip_map": COCO_PERSON_KEYPOINT_FLIP_MAP,
        "keypoint_connection_rules": KEYPOINT_CONNECTION_RULES,
    }


_BUILTIN = {
    "coco_person": _get_coco_person_meta,
    "coco": _get_coco_instances_meta,
    "coco_panoptic_separated": _get_coco_panoptic_separated_meta,
    "coco_panoptic_standard": _get_coco_panoptic_standard_meta,
    "cityscapes": _get_cityscapes_meta,
    "ade20k_sem_seg": _get_ade20k_meta,
}


def _get_builtin_metadata(dataset_name: str) -> dict[str, Any]:
    """The class names, ids and colours of a built-in data set, such as "coco"."""
    if dataset_name not in _BUILTIN:
        known = ", ".join(_BUILTIN)
        raise KeyError(f"No built-in metadata for '{dataset_name}'; there is {known}.")
    return _BUILTIN[dataset_name]()
