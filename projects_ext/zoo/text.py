"""The zoo's tables for the terminal and for MODEL_ZOO.md."""

from collections.abc import Callable, Sequence

from tabulate import tabulate

from .configs import config_file
from .experiments import Experiment, Table, tables

UNPUBLISHED = "–"
BEGIN, END = "<!-- zoo -->", "<!-- /zoo -->"
"""What stands before and after the tables in MODEL_ZOO.md."""

Column = Callable[[Experiment], str]


def listing(words: Sequence[str] = ()) -> str:
    """The tables with the rows in which every word occurs, for the terminal.

    Args:
        words: parts of a row's name, table, data or source, in any case.

    Returns:
        the text; empty if there is no such row.
    """
    wanted = [word.lower() for word in words]
    parts = []
    for table in tables():
        rows = [row for row in table.rows if _has(wanted, row, table)]
        if rows:
            columns = {"": _name, **_metric_columns(table), "weights": _weights}
            parts.append(f"{table.name} ({table.data})\n{_grid(columns, rows, 'simple')}")
    return "\n\n".join(parts)


def details(experiment: Experiment) -> str:
    """All that is known about one experiment."""
    metrics = [
        (name, metric_text(name, value, "not published"))
        for name, value in experiment.metrics.items()
    ]
    facts = [
        ("data", experiment.data),
        *metrics,
        ("schedule", experiment.schedule),
        ("training memory", _number(experiment.memory_gb, "{:g} GB", "not published")),
        ("speed", _speed(experiment)),
        ("source", experiment.source),
        ("weights", experiment.address or "no longer published"),
        ("SHA-256", f"{experiment.hash_prefix}…" if experiment.address else ""),
        ("config", config_file(experiment.name)),
        ("note", experiment.note),
    ]
    shown = [fact for fact in facts if fact[1]]
    return f"{experiment.name}\n{tabulate(shown, tablefmt='plain', disable_numparse=True)}"


def markdown() -> str:
    """The tables of MODEL_ZOO.md, with the marks around them."""
    parts = [BEGIN, f"{UNPUBLISHED}: never published. Memory (of training) in GB, images/s:"]
    parts[1] += " as published, on the hardware of the time."
    for table in tables():
        columns = {
            f"{table.name}, {table.data}": _linked_name,
            **_metric_columns(table),
            "schedule": _schedule,
            "memory": _memory,
            "images/s": _images_per_second,
            "weights": _linked_weights,
        }
        parts.append(_pipes(columns, table.rows))
    return "\n\n".join([*parts, END])


def _has(words: Sequence[str], row: Experiment, table: Table) -> bool:
    text = " ".join((row.name, table.name, row.data, row.source)).lower()
    return all(word in text for word in words)


def _cells(columns: dict[str, Column], rows: Sequence[Experiment]) -> list[list[str]]:
    return [[column(row) for column in columns.values()] for row in rows]


def _grid(columns: dict[str, Column], rows: Sequence[Experiment], style: str) -> str:
    cells = _cells(columns, rows)
    return tabulate(cells, headers=list(columns), tablefmt=style, disable_numparse=True)


def _pipes(columns: dict[str, Column], rows: Sequence[Experiment]) -> str:
    """A Markdown table without padding, so that one changed row is one changed line."""
    lines = [list(columns), ["---"] * len(columns), *_cells(columns, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _metric_columns(table: Table) -> dict[str, Column]:
    def column(metric: str) -> Column:
        def cell(row: Experiment) -> str:
            return metric_text(metric, row.metrics[metric]) if metric in row.metrics else ""

        return cell

    return {metric: column(metric) for metric in table.metrics}


def metric_text(metric: str, value: float | None, otherwise: str = UNPUBLISHED) -> str:
    """A metric with as many decimals as are published: APs with one, IoUs with two."""
    return _number(value, "{:.2f}" if "IoU" in metric else "{:.1f}", otherwise)


def _number(value: float | None, form: str = "{:g}", otherwise: str = UNPUBLISHED) -> str:
    return otherwise if value is None else form.format(value)


def _speed(row: Experiment) -> str:
    speed = _number(row.images_per_second, "{:.1f} images/s", "not published")
    return speed if row.images_per_second is None else f"{speed} ({row.hardware})"


def _name(row: Experiment) -> str:
    return row.name


def _weights(row: Experiment) -> str:
    return row.hash_prefix or "none"


def _schedule(row: Experiment) -> str:
    return row.schedule


def _memory(row: Experiment) -> str:
    return _number(row.memory_gb)


def _images_per_second(row: Experiment) -> str:
    return _number(row.images_per_second, "{:.1f}")


def _linked_name(row: Experiment) -> str:
    return f"[{row.name.rpartition('/')[2]}](configs/{row.name}.py)"


def _linked_weights(row: Experiment) -> str:
    return f"[{row.hash_prefix}]({row.address})" if row.address else "no longer published"
