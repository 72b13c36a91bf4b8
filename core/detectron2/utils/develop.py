"""Stand-ins for classes and functions whose dependency is missing."""

from typing import Any, NoReturn

__all__ = ["create_dummy_class", "create_dummy_func"]


def _missing(name: str, dependency: str, message: str) -> str:
    return f"Cannot import '{dependency}', therefore '{name}' is not available. {message}".rstrip()


def create_dummy_class(klass: str, dependency: str, message: str = "") -> Any:
    """A class that raises ImportError when it is instantiated or asked for an attribute.

    Args:
        klass: its name, for the message.
        dependency: what cannot be imported.
        message: a further sentence.
    """
    text = _missing(klass, dependency, message)

    class Refusing(type):
        def __getattr__(cls, name: str) -> NoReturn:
            raise ImportError(text)

    def refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise ImportError(text)

    return Refusing("_Dummy", (), {"__init__": refuse})


def create_dummy_func(func: str, dependency: str | list[str], message: str = "") -> Any:
    """A function that raises ImportError when it is called; arguments as of the class's."""
    names = dependency if isinstance(dependency, str) else ",".join(dependency)
    text = _missing(func, names, message)

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise ImportError(text)

    return refuse
