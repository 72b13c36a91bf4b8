"""Threads that read ahead and write behind: order, bounds, errors, ends. Nothing may hang."""

import threading
from collections.abc import Iterable, Iterator

import pytest

from projects_ext.prediction.pipeline import Ahead, Behind, groups


def put_all(behind: Behind[int], items: Iterable[int]) -> None:
    for item in items:
        behind.put(item)


def stop(kind: type[BaseException]) -> int:
    raise kind


def test_items_keep_their_order() -> None:
    written: list[int] = []
    with Behind(written.append, 2) as behind, Ahead(range(100), 3) as ahead:
        for item in ahead:
            behind.put(item)
    assert written == list(range(100))


def test_reading_stays_so_many_items_ahead() -> None:
    read: list[int] = []

    def source() -> Iterator[int]:
        for index in range(50):
            read.append(index)
            yield index

    with Ahead(source(), 3) as ahead:
        for item in ahead:
            assert len(read) <= item + 1 + 3 + 1
    assert len(read) == 50


def test_an_error_in_reading_comes_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("damaged")

    found: list[int] = []
    with pytest.raises(OSError, match="damaged"), Ahead(source(), 2) as ahead:
        found.extend(ahead)
    assert found == [1, 2]


def test_an_error_in_writing_ends_the_program_and_does_not_hang() -> None:
    def write(item: int) -> None:
        if item == 3:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Behind(write, 1) as behind:
        put_all(behind, range(100))


def test_an_error_in_the_last_item_is_raised_too() -> None:
    def write(item: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Behind(write, 5) as behind:
        behind.put(0)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_leaving_in_the_middle_ends_the_threads(kind: type[BaseException]) -> None:
    closed, written = [], []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    before = threading.active_count()
    with pytest.raises(kind), Behind(written.append, 2) as behind, Ahead(endless(), 2) as ahead:
        put_all(behind, (item if index < 7 else stop(kind) for index, item in enumerate(ahead)))
    assert closed == [True]
    assert len(written) == 7  # what was begun is finished
    assert threading.active_count() == before


def test_groups() -> None:
    assert list(groups(range(5), 2)) == [[0, 1], [2, 3], [4]]
