"""Write the zoo's tables into MODEL_ZOO.md, between the marks that stand there.

python tools/update_zoo_table.py            write
python tools/update_zoo_table.py --check    only say whether they are up to date
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from projects_ext.zoo.text import BEGIN, END, markdown  # noqa: E402  # from this checkout


def updated(text: str) -> str:
    """The text of MODEL_ZOO.md with the tables as the data has them.

    Raises:
        ValueError: the marks are not there, or not in this order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(
            f"MODEL_ZOO.md has no place for the tables: add the lines {BEGIN} and {END}"
        )
    return before + markdown() + after


def main() -> None:
    """Write, or check, and say so."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail on differences")
    check = parser.parse_args().check
    page = ROOT / "MODEL_ZOO.md"
    text = page.read_text(encoding="utf-8")
    try:
        new = updated(text)
    except ValueError as error:
        sys.exit(f"error: {error}")
    if check:
        if new != text:
            sys.exit("error: MODEL_ZOO.md is out of date: run python tools/update_zoo_table.py")
    else:
        page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
