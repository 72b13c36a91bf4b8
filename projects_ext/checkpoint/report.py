"""What became of the weights in a file."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tabulate import tabulate


@dataclass
class LoadReport:
    """What was loaded, from where, and what was not.

    Attributes:
        source: path or address; ``state dict`` for one.
        format: the family of the file, with its version where that is known.
        loaded: the model's entries that now have the file's values.
        renamed: the file's name -> the model's, where they differ.
        left_over: the file's names that the model has no place for.
        missing: the model's entries that the file has no value for; they keep theirs.
        reinitialised: entries that keep the model's values because of another class count.
        notes: one line each on what was adapted or starts fresh.
        doubts: those of the notes that make an evaluation questionable.
        other_classes: what the file's classes are called, where they are as many as the model's and
            have no name in common with them; empty otherwise.
        classes: the names of the classes that the model now has weights for, in its order; empty if
            nobody knows.
    """

    source: str
    format: str
    loaded: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    left_over: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    reinitialised: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    other_classes: str = ""
    classes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every entry of the file and of the model found its counterpart."""
        return not self.left_over and not self.missing

    @property
    def unloaded(self) -> list[str]:
        """The model's entries that did not get a value from the file, for whatever reason."""
        return [*self.missing, *self.reinitialised]

    @property
    def summary(self) -> str:
        """One line."""
        counts = f"{len(self.loaded)} entries loaded, {len(self.renamed)} of them renamed"
        rest = [
            f"{len(names)} {what}"
            for what, names in (
                ("left over", self.left_over),
                ("missing", self.missing),
                ("starting fresh", self.reinitialised),
            )
            if names
        ]
        return f"Weights from {self.source} ({self.format}): {', '.join([counts, *rest])}"

    def __str__(self) -> str:
        """The summary, and below it the names in question and the notes."""
        rows = [
            (what, _by_module(names))
            for what, names in (("left over", self.left_over), ("missing", self.missing))
            if names
        ]
        rows += [("note", note) for note in self.notes]
        table = tabulate(rows, tablefmt="plain")
        return "\n".join([self.summary, *(f"  {line}" for line in table.splitlines())])


def _by_module(names: Sequence[str], most: int = 6) -> str:
    """``backbone.res2 (60), fc (2)``: names counted by the part of the model they belong to."""
    if len(names) <= 4:
        return ", ".join(names)
    groups = Counter(".".join(name.split(".")[:2]) for name in names)
    shown = [f"{group} ({count})" for group, count in groups.most_common(most)]
    if len(groups) > most:
        shown.append(f"and {len(groups) - most} more parts")
    return ", ".join(shown)
