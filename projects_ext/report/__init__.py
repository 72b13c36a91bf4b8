"""Pages to look at: how good a run is, what differs between two, what a data set holds.

Each page is one HTML file that opens from disk and loads nothing from the network.
"""

from importlib.util import find_spec

from projects_ext.errors import UserError

LIBRARIES = ("jinja2", "matplotlib", "hotcoco")
"""What the pages are made with; they come with the project unless it was installed alone."""


def require_libraries() -> None:
    """Refuse to start without the libraries that reports are made with.

    Raises:
        UserError: with the command that installs them.
    """
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise UserError(
            f"a report needs {' and '.join(missing)}: run `pip install {' '.join(missing)}`"
        )
