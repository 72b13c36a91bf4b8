"""What looks odd is found, and nothing else."""

import pytest

from projects_ext.data.statistics import Limits, Oddity, count_objects, find_oddities

from .test_objects import annotation

SANE = [annotation([10, 10, 40, 40], i % 2) for i in range(10)]


def found(annotations: list[dict], **limits: float) -> dict[str, Oddity]:
    record = {"file_name": "a.jpg", "height": 100, "width": 200, "annotations": annotations}
    # Of objects far apart, so that none of them overlap.
    spread = [
        {"file_name": f"{i}.jpg", "height": 100, "width": 200, "annotations": [one]}
        for i, one in enumerate(SANE)
    ]
    data = count_objects([record, *spread], ["cat", "dog"])
    oddities = find_oddities(data, Limits(**{"few": 1, **limits}))
    return {oddity.kind: oddity for oddity in oddities}


def test_nothing_odd() -> None:
    assert found([annotation([10, 10, 40, 40])]) == {}


@pytest.mark.parametrize(
    ("kind", "box"),
    [
        ("tiny", [10, 10, 13.9, 40]),
        ("aspect", [10, 10, 115, 20]),
        ("whole", [1, 1, 199, 99]),
        ("outside", [150, 50, 202, 80]),
        ("outside", [-2, 50, 40, 80]),
    ],
)
def test_odd_boxes(kind: str, box: list[float]) -> None:
    oddities = found([annotation(box), annotation([60, 60, 90, 90])])
    assert list(oddities) == [kind]
    assert oddities[kind].count == 1
    assert (oddities[kind].images, oddities[kind].objects) == ((0,), (0,))


@pytest.mark.parametrize(
    "box", [[10, 10, 14, 40], [10, 10, 110, 20], [10, 10, 195, 99], [149, 50, 201, 80]]
)
def test_boxes_at_the_limits_are_not_odd(box: list[float]) -> None:
    assert found([annotation(box)]) == {}


def test_pairs() -> None:
    same = [annotation([10, 10, 50, 50], 0), annotation([10, 10, 50, 51], 0)]
    other = [annotation([90, 10, 130, 50], 0), annotation([90, 10, 130, 50], 1)]
    oddities = found([*same, *other])
    assert list(oddities) == ["duplicates", "conflicts"]
    assert set(oddities["duplicates"].objects) == {0, 1}
    assert set(oddities["conflicts"].objects) == {2, 3}
    assert oddities["conflicts"].title.startswith("pair of boxes of different classes")


def test_classes_and_images() -> None:
    data = count_objects(
        [
            {"file_name": "a.jpg", "annotations": [annotation([0, 0, 9, 9])] * 3},
            {"file_name": "b.jpg", "annotations": [annotation([0, 0, 9, 9], 1)]},
            {"file_name": "c.jpg"},
        ],
        ["cat", "dog", "cow"],
    )
    limits = Limits(few=3, many=2, imbalance=3, iou=1.1)
    oddities = {oddity.kind: oddity for oddity in find_oddities(data, limits)}
    assert list(oddities) == ["absent", "rare", "imbalance", "empty", "crowded"]
    assert oddities["absent"].classes == (2,)
    assert oddities["rare"].classes == (1,)
    assert oddities["imbalance"].title == "imbalance: cat has 3 times as many objects as dog"
    assert oddities["empty"].images == (2,)
    assert oddities["crowded"].images == (0,)
