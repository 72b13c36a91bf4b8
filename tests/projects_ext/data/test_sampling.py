"""Rare classes are drawn more often."""

from collections import Counter
from itertools import islice
from typing import Any

import pytest

from projects_ext.data import build_train_loader
from projects_ext.data.sampling import ClassBalancedSampler, named_sampler
from projects_ext.errors import UserError


def records(*classes: tuple[int, ...]) -> list[dict[str, Any]]:
    return [
        {"file_name": str(place), "annotations": [{"category_id": one} for one in found]}
        for place, found in enumerate(classes)
    ]


# Nine images of class 0, three of class 1, one of class 2.
SKEWED = records(*[(0,)] * 9, *[(1,)] * 3, (2,))


def drawn(name: str, count: int, seed: int = 0, **options: Any) -> Counter[int]:
    sampler = named_sampler(name, SKEWED, **options)(seed)
    classes = [record["annotations"][0]["category_id"] for record in SKEWED]
    return Counter(classes[index] for index in islice(sampler, count))


def test_class_balanced_draws_each_class_as_often() -> None:
    assert drawn("class_balanced", 300) == {0: 100, 1: 100, 2: 100}
    first = list(islice(named_sampler("class_balanced", SKEWED)(0), 27))
    assert {index for index in first if index < 9} == set(range(9))
    assert first == list(islice(named_sampler("class_balanced", SKEWED)(0), 27))
    assert first != list(islice(named_sampler("class_balanced", SKEWED)(1), 27))


def test_images_without_objects_are_drawn_too() -> None:
    sampler = ClassBalancedSampler([[0], [], [0, 1]], seed=0)
    assert Counter(islice(sampler, 300))[1] == 100


def test_repeat_factor_repeats_what_is_rarer_than_the_median() -> None:
    counts = drawn("repeat_factor", 13 * 200)
    # Factors 1, 1 and sqrt(3).
    whole = 9 + 3 + 3**0.5
    assert counts[2] / counts.total() == pytest.approx(3**0.5 / whole, abs=0.01)
    assert counts[0] / counts[1] == pytest.approx(3, abs=0.1)
    plain = drawn("repeat_factor", 13 * 200, threshold=0.001)
    assert plain[2] / plain.total() == pytest.approx(1 / 13, abs=0.01)


def test_by_name_in_the_loader() -> None:
    loader = build_train_loader(
        SKEWED, mapper=None, sampler="class_balanced", total_batch_size=3, seed=0
    )
    for batch in islice(loader, 5):
        assert sorted(one["annotations"][0]["category_id"] for one in batch) == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("balanced", SKEWED, "is 'balanced': it is repeat_factor or class_balanced"),
        ("class_balanced", records((), ()), "needs data sets whose records list objects"),
    ],
)
def test_mistakes(name: str, data: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        named_sampler(name, data)
