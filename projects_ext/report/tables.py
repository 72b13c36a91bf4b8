"""Tables that sort; ``table`` in ``macros.html.j2`` draws them."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

Cell = str | int | float | Markup | None
"""Text, a number, or None where there is no value."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: its heading.
        digits: decimals of its numbers; None for a column of text.
        note: explains the heading, in a line below the table.
        full: the number whose bar fills the cell; 0 for no bars.
        signed: whether numbers carry their sign, and are coloured by it.
    """

    title: str
    digits: int | None = None
    note: str = ""
    full: float = 0.0
    signed: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        identifier: unique on the page, for links.
        caption: what it shows.
        columns: from left to right; the first one names the row.
        rows: as many cells each as there are columns.
    """

    identifier: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    def __post_init__(self) -> None:
        wrong = [row for row in self.rows if len(row) != len(self.columns)]
        if wrong:
            raise ValueError(f"{self.identifier}: a row has not {len(self.columns)} cells: {wrong}")
