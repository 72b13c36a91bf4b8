"""Splitting off a validation part so that nothing of it has been trained on.

Images that show the same thing stay together:

- files with the same bytes;
- copies of one image that a tool has augmented, ``NAME.rf.HASH``;
- frames of one video, whose names end in ``frame`` or ``f`` and a number, or have the ending of a
  video in them (``clip.mp4_12``);
- tiles of one image, whose names end in four numbers, or in two or more that are marked as places
  (``x512_y0``, ``row2_col3``, ``tile_2_3``).

The folder counts as part of the name. For other names the user gives an expression, whose first
group (or all that it matches) is what images of one group have in common.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from projects_ext.errors import UserError

_COPY = re.compile(r"\.rf\.[0-9a-f]{6,}$", re.IGNORECASE)
_VIDEO = re.compile(r"(?<=\.(?:mp4|avi|mov|mkv|mpg))[_-].*$", re.IGNORECASE)
_FRAME = re.compile(r"(?:^|[_.-])(?:frames?|frm|f)[_.-]?\d+$", re.IGNORECASE)
_PLACES = re.compile(
    r"(?:[_-](?:tile|x|y|row|col|r|c)[_-]?\d+){2,}$|[_-]tile(?:[_-]\d+)+$|(?:[_-]\d{1,6}){4}$",
    re.IGNORECASE,
)


def group_names(files: Sequence[str], expression: str = "") -> list[str]:
    """For each image what those of its group have in common, by name alone.

    Args:
        files: paths.
        expression: a regular expression that is searched for in each path.

    Raises:
        UserError: the expression is none.
    """
    if not expression:
        return [_named(Path(file)) for file in files]
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise UserError(
            f"data.group={expression} is no regular expression ({error}): write one such as "
            "'([^/]*)_[0-9]+'"
        ) from error
    found = [pattern.search(file) for file in files]
    return [
        file if match is None else match[1] if match.groups() else match[0]
        for file, match in zip(files, found, strict=True)
    ]


def _named(file: Path) -> str:
    stem = _COPY.sub("", file.stem)
    for pattern in (_PLACES, _VIDEO, _FRAME):
        stem = pattern.sub("", stem)
    return str(file.parent / (stem or "frames"))


def joined_groups(files: Sequence[str], names: Sequence[str]) -> list[int]:
    """The number of each image's group: groups with an equal file are one.

    Only files of equal size are read.
    """
    groups = {name: number for number, name in enumerate(dict.fromkeys(names))}
    root = list(range(len(groups)))

    def find(number: int) -> int:
        while root[number] != number:
            number = root[number]
        return number

    for places in _same_content(files):
        first = find(groups[names[places[0]]])
        for place in places[1:]:
            root[find(groups[names[place]])] = first
    return [find(groups[name]) for name in names]


def shared_files(train: Sequence[str], val: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of files with the same bytes in both parts."""
    files = [*dict.fromkeys(train), *dict.fromkeys(val)]
    count = len(dict.fromkeys(train))
    pairs = []
    for places in _same_content(files):
        trained = [files[place] for place in places if place < count]
        validated = [files[place] for place in places if place >= count]
        pairs += [(trained[0], file) for file in validated if trained]
    return pairs


def _same_content(files: Sequence[str]) -> list[list[int]]:
    sizes, contents = defaultdict(list), defaultdict(list)
    for place, file in enumerate(files):
        sizes[Path(file).stat().st_size].append(place)
    for places in sizes.values():
        for place in places if len(places) > 1 else []:
            digest = hashlib.sha256(Path(files[place]).read_bytes()).digest()
            contents[digest].append(place)
    return [places for places in contents.values() if len(places) > 1]


def split_off(files: Sequence[str], fraction: float, seed: int, group: str = "") -> list[bool]:
    """Which images are for validation: whole groups, in an order that depends on the seed.

    An image keeps its place when others are added to the data set, but for those at the border.

    Args:
        files: the images.
        fraction: of the images, at most, but at least one group.
        seed: another one gives another split.
        group: see :func:`group_names`.

    Raises:
        UserError: the fraction is none, or all images belong together.
    """
    if not 0 < fraction < 1:
        raise UserError(
            f"data.val_fraction is {fraction}: it is the share of images for validation, such as "
            "0.2; to train on all, give those to validate on by data.val=FOLDER"
        )
    numbers = joined_groups(files, group_names(files, group))
    members = defaultdict(list)
    for place, number in enumerate(numbers):
        members[number].append(place)
    if len(members) < 2:
        raise UserError(
            f"none of the {len(files)} images can be split off for validation, because all belong "
            f"together (the first is {files[0]}): give those to validate on by data.val=FOLDER, or "
            "say by data.group=EXPRESSION what names of one group have in common"
        )

    def order(places: Sequence[int]) -> bytes:
        name = min(Path(files[place]).name for place in places)
        return hashlib.sha256(f"{seed}:{name}".encode()).digest()

    wanted, taken = fraction * len(files), list[int]()
    for places in sorted(members.values(), key=order):
        if not taken or len(taken) + len(places) <= wanted:
            if len(taken) + len(places) < len(files):
                taken += places
        elif len(taken) >= wanted:
            break
    if not taken:  # two groups, of which the first is nearly everything
        taken = min(members.values(), key=len)
    chosen = set(taken)
    return [place in chosen for place in range(len(files))]
