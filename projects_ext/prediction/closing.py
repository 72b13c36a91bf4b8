"""What is finished at the end of a ``with`` statement."""

from typing import TypeVar

Self = TypeVar("Self", bound="Closing")


class Closing:
    """Its ``with`` statement ends in :meth:`close`, whatever happens in it."""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish it; by default there is nothing to finish."""
