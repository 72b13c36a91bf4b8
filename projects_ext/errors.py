"""What went wrong in the user's input or surroundings, in one sentence with a remedy.

Everything else (a mistake in the code) keeps its own exception and its traceback.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

# How torch.utils.data passes on the exception of a loading process: the text of its traceback,
# which ends in the exception's own.
_FROM_WORKER = re.compile(r"^Caught \w+ in .*\nOriginal Traceback", re.DOTALL)


class UserError(ValueError):
    """One sentence that names the file or the key, what is wrong with it, and what to do.

    ``train_net.py`` ends with it on stderr and with exit code 1; the traceback is in ``log.txt``.
    """

    @property
    def sentence(self) -> str:
        """The sentence itself, also when a loading process has raised it."""
        text = str(self)
        if _FROM_WORKER.match(text):
            text = text.rpartition(f"{type(self).__module__}.{type(self).__qualname__}: ")[2]
        return " ".join(text.split())


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that is not there."""

    # OSError would show its arguments as a tuple or an errno.
    __str__ = Exception.__str__


class NonFiniteError(UserError, FloatingPointError):
    """A loss or a weight has become infinite or NaN."""


@contextmanager
def user_errors(
    kinds: tuple[type[Exception], ...] = (ValueError, OSError), where: str = ""
) -> Iterator[None]:
    """Within, exceptions of these kinds have messages that are fit for users: make them such.

    Args:
        kinds: the kinds of exceptions.
        where: stands before the message, e.g. a file's name.
    """
    try:
        yield
    except UserError:
        raise
    except kinds as error:
        text = str(error) or type(error).__name__
        kind = MissingFileError if isinstance(error, FileNotFoundError) else UserError
        raise kind(f"{where}: {text}" if where else text) from error
