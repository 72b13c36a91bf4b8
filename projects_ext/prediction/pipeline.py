"""Work that overlaps: an iterator that runs ahead in a thread, and a worker that follows behind.

The main thread keeps the network. Queues are short, so that memory is bounded. An exception in a
thread arrives in the main thread, where it ends the program as any other does.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class _Queue(Generic[T]):
    """A short queue that either side can end, also while the other one waits.

    Args:
        size: how many items it holds.
    """

    def __init__(self, size: int) -> None:
        self._items: deque[T] = deque()
        self._size = size
        self._changed = threading.Condition()
        self._complete = self._stopped = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Wait for room and add an item; False, without it, if the other side has stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._items) < self._size)
            if self._stopped:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self) -> list[T]:
        """The next item, after waiting for it; nothing at the end.

        Raises:
            BaseException: what the other side has failed with, after all of its items.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._complete or self._items)
            if self._items and not self._stopped:
                item = self._items.popleft()
                self._changed.notify_all()
                return [item]
            if self._error is not None:
                raise self._error
            return []

    def complete(self, error: BaseException | None = None) -> None:
        """No items follow; those that are there remain."""
        with self._changed:
            self._complete, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """No items are wanted any more."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()


class Ahead(Generic[T]):
    """Iterates in a thread of its own, some items ahead of whoever takes them.

    Use it in a ``with`` statement: leaving it ends the thread, also in the middle.

    Args:
        source: if it is a generator, it is closed at the end, in the thread.
        size: how many items wait.
    """

    def __init__(self, source: Iterable[T], size: int) -> None:
        self._queue: _Queue[T] = _Queue(size)
        self._source = source
        self._thread = threading.Thread(target=self._run, name="reading", daemon=True)

    def __enter__(self) -> "Ahead[T]":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._queue.stop()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while item := self._queue.get():
            yield item[0]

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._source:
                if not self._queue.put(item):
                    break
            close = getattr(self._source, "close", None)
            if close is not None:
                close()
        except BaseException as raised:
            error = raised
        self._queue.complete(error)


class Behind(Generic[T]):
    """Calls a function on items in a thread of its own, one after the other, in their order.

    Use it in a ``with`` statement: leaving it waits for what is still to do. After an error of the
    function the remaining items are dropped, and the next call or leaving raises it.

    Args:
        work: the function.
        size: how many items wait; 0: the work is done at once, by the caller.
    """

    def __init__(self, work: Callable[[T], None], size: int) -> None:
        self._queue: _Queue[T] = _Queue(size)
        self._work, self._at_once = work, size == 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="writing", daemon=True)

    def __enter__(self) -> "Behind[T]":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._queue.complete()
        self._thread.join()
        if self._error is not None and kind is None:
            raise self._error

    def put(self, item: T) -> None:
        """Have an item worked on, after waiting while many are ahead of it.

        Raises:
            BaseException: what the function has failed with before.
        """
        if self._at_once:
            self._work(item)
        elif not self._queue.put(item) and self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while item := self._queue.get():
                self._work(item[0])
        except BaseException as raised:
            self._error = raised
            self._queue.stop()


def groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` consecutive items, the last one maybe shorter."""
    group: list[T] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
