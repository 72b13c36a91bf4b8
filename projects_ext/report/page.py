"""From a template and what it shows to one self-contained HTML page."""

import base64
import hashlib
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from projects_ext import __version__
from projects_ext.checkpoint.writing import write_whole

TEMPLATES = Path(__file__).parent / "templates"

MISSING = "–"
"""Stands for a value that does not exist, such as the AP of a class without objects."""


def render(template: str, **context: Any) -> str:
    """Fill in a template. Everything is escaped that is not ``markupsafe.Markup``.

    Args:
        template: its name in the folder ``templates``; it extends ``base.html.j2``, which needs a
            ``title``.
        context: what the template names; a name that is not given is an error.
    """
    return _environment().get_template(template).render(**context)


def write(path: str | Path, text: str) -> Path:
    """Write a page as a whole or not at all; return its path."""
    write_whole(Path(path), lambda file: file.write(text.encode("utf-8")))
    return Path(path)


def number(value: float | None, digits: int = 1) -> str:
    """A number with fixed decimals and thousands separated; a dash for None and NaN.

    A minus is a true one, and there is none before what rounds to zero.
    """
    if value is None or value != value:
        return MISSING
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if _is_zero(text) else text.replace("-", "−")


def signed(value: float | None, digits: int = 1) -> str:
    """As :func:`number`, with its sign: a true minus, and none for what rounds to zero."""
    if value is None or value != value:
        return MISSING
    text = f"{value:+,.{digits}f}"
    return text[1:] if _is_zero(text) else text.replace("-", "−")


def _is_zero(text: str) -> bool:
    return float(text.replace(",", "")) == 0


def plural(count: int, one: str, many: str = "") -> str:
    """ "1 image", "2 images"; ``many`` where an "s" does not make the plural."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _asset(name: str) -> Markup:
    """A file of the templates' folder as it is, to stand inside <style> or <script>."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _script_hash() -> str:
    """What the page's content security policy allows to run: its own script, and nothing else."""
    digest = hashlib.sha256(_asset("page.js").encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, signed=signed)
    environment.globals.update(
        asset=_asset,
        script_hash=_script_hash(),
        version=__version__,
        now=lambda: datetime.now().astimezone(),
        plural=plural,
    )
    return environment
