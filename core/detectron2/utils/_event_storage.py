"""The storage that training code reports numbers to; see ``events``."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import torch
from fvcore.common.history_buffer import HistoryBuffer

_CURRENT_STORAGE_STACK: list["EventStorage"] = []


def has_event_storage() -> bool:
    """Whether the caller runs inside a ``with EventStorage()`` block."""
    return bool(_CURRENT_STORAGE_STACK)


def get_event_storage() -> "EventStorage":
    """The storage of the innermost ``with EventStorage()`` block.

    Raises:
        AssertionError: outside of such a block.
    """
    if not _CURRENT_STORAGE_STACK:
        raise AssertionError(
            "get_event_storage() needs an active storage: call it inside 'with EventStorage():'."
        )
    return _CURRENT_STORAGE_STACK[-1]


class EventStorage:
    """What happened at which iteration: scalars with their history, images, histograms.

    Inside ``with EventStorage(start) as storage:`` any code may report through
    ``get_event_storage()``; the training loop sets ``storage.iter`` or calls ``step()``.
    """

    def __init__(self, start_iter: int = 0) -> None:
        self._iter = start_iter
        self._current_prefix = ""
        self._history: defaultdict[str, HistoryBuffer] = defaultdict(HistoryBuffer)
        self._smoothing_hints: dict[str, bool] = {}
        self._latest_scalars: dict[str, tuple[float, int]] = {}
        self._vis_data: list[tuple[str, Any, int]] = []
        self._histograms: list[dict[str, Any]] = []

    def __enter__(self) -> "EventStorage":
        _CURRENT_STORAGE_STACK.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        left = _CURRENT_STORAGE_STACK.pop()
        assert left is self, "EventStorage blocks have to be left in the reverse order of entry."

    @property
    def iter(self) -> int:
        """The iteration that is under way; the training loop sets it."""
        return self._iter

    @iter.setter
    def iter(self, value: int) -> None:
        self._iter = int(value)

    @property
    def iteration(self) -> int:
        """Another name of ``iter``."""
        return self._iter

    def step(self) -> None:
        """Go on to the next iteration (instead of setting ``iter``)."""
        self._iter += 1

    @contextmanager
    def name_scope(self, name: str) -> Iterator[None]:
        """Put ``name/`` before the names of what is reported inside the block."""
        outer = self._current_prefix
        self._current_prefix = f"{name.rstrip('/')}/"
        try:
            yield
        finally:
            self._current_prefix = outer

    def put_scalar(
        self,
        name: str,
        value: float | torch.Tensor,
        smoothing_hint: bool = True,
        cur_iter: int | None = None,
    ) -> None:
        """Report one number.

        Args:
            name: its name, below the current name scope.
            value: a number or a tensor with one element.
            smoothing_hint: whether writers show the median over a window (noisy values) or the
                value itself; always the same for one name.
            cur_iter: the iteration it belongs to, by default the current one.
        """
        name = self._current_prefix + name
        if self._smoothing_hints.setdefault(name, smoothing_hint) != smoothing_hint:
            raise AssertionError(
                f"'{name}' was reported with smoothing_hint={not smoothing_hint} before: a name "
                "keeps its hint."
            )
        iteration = self._iter if cur_iter is None else cur_iter
        number = float(value)
        self._history[name].update(number, iteration)
        self._latest_scalars[name] = (number, iteration)

    def put_scalars(
        self,
        *,
        smoothing_hint: bool = True,
        cur_iter: int | None = None,
        **kwargs: float | torch.Tensor,
    ) -> None:
        """Report several numbers, one for each keyword; see ``put_scalar``."""
        for name, value in kwargs.items():
            self.put_scalar(name, value, smoothing_hint=smoothing_hint, cur_iter=cur_iter)

    def put_image(self, img_name: str, img_tensor: Any) -> None:
        """Keep an image for the next writer that shows images.

        Args:
            img_name: its title.
            img_tensor: array or tensor (C, H, W), uint8 in 0 to 255 or float in 0 to 1, RGB.
        """
        self._vis_data.append((img_name, img_tensor, self._iter))

    def put_histogram(self, hist_name: str, hist_tensor: torch.Tensor, bins: int = 1000) -> None:
        """Keep the distribution of a tensor's values for the next writer that shows histograms.

        Args:
            hist_name: its title.
            hist_tensor: values of any shape.
            bins: number of equal bins between the smallest and the largest value.
        """
        values = hist_tensor.detach().float().reshape(-1)
        low, high = float(values.min()), float(values.max())
        self._histograms.append(
            {
                "tag": hist_name,
                "global_step": self._iter,
                "num": values.numel(),
                "min": low,
                "max": high,
                "sum": float(values.sum()),
                "sum_squares": float(values.square().sum()),
                "bucket_counts": torch.histc(values, bins=bins).tolist(),
                "bucket_limits": torch.linspace(low, high, steps=bins + 1)[1:].tolist(),
            }
        )

    def clear_images(self) -> None:
        """Forget the images: a writer has shown them."""
        self._vis_data = []

    def clear_histograms(self) -> None:
        """Forget the histograms: a writer has shown them."""
        self._histograms = []

    def history(self, name: str) -> HistoryBuffer:
        """All values of one scalar.

        Raises:
            KeyError: nothing of that name has been reported.
        """
        if name not in self._history:
            raise KeyError(f"No scalar named '{name}' has been reported to the event storage.")
        return self._history[name]

    def histories(self) -> Mapping[str, HistoryBuffer]:
        """All values of all scalars, by name."""
        return dict(self._history)

    def smoothing_hints(self) -> Mapping[str, bool]:
        """The smoothing hint of every scalar."""
        return self._smoothing_hints

    def latest(self) -> Mapping[str, tuple[float, int]]:
        """Every scalar's last value, with its iteration."""
        return self._latest_scalars

    def latest_with_smoothing_hint(self, window_size: int = 20) -> dict[str, tuple[float, int]]:
        """``latest`` with the median over ``window_size`` iterations where that was hinted."""

        def shown(name: str, value: float) -> float:
            if not self._smoothing_hints[name]:
                return value
            return float(self._history[name].median(self.count_samples(name, window_size)))

        return {
            name: (shown(name, value), iteration)
            # A copy: the thread that gathers metrics may add one meanwhile.
            for name, (value, iteration) in dict(self._latest_scalars).items()
        }

    def count_samples(self, name: str, window_size: int = 20) -> int:
        """How many values of a scalar its last ``window_size`` iterations have brought."""
        samples = self._history[name].values()
        newest = samples[-1][1]
        count = 0
        for _, iteration in reversed(samples):
            if iteration <= newest - window_size:
                break
            count += 1
        return count
