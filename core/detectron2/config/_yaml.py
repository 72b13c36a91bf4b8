"""Reading saved lazy configurations without running code that a YAML tag could stand for."""

from typing import Any

import yaml

from ..utils.registry import locate

_PYTHON = "tag:yaml.org,2002:python/"


class SavedConfigLoader(yaml.SafeLoader):
    """YAML with the two tags that saved configurations need besides YAML's own.

    ``!!python/tuple`` is a tuple. ``!!python/name:`` is the function or class of that name, which
    is imported as a ``_target_`` is; it is not called. Every other tag is an error.
    """

    def construct_tuple(self, node: yaml.Node) -> tuple[Any, ...]:
        """The items of a sequence, which are made before the tuple is."""
        if not isinstance(node, yaml.SequenceNode):
            raise yaml.constructor.ConstructorError(
                None, None, "a tuple has to be a sequence", node.start_mark
            )
        return tuple(self.construct_sequence(node, deep=True))

    def construct_named(self, name: str, node: yaml.Node) -> Any:
        """The function or class that a tag names."""
        try:
            found = locate(name)
        except (ImportError, AttributeError) as error:
            raise yaml.constructor.ConstructorError(
                None, None, f"there is no {name}: {error}", node.start_mark
            ) from error
        if not callable(found):
            raise yaml.constructor.ConstructorError(
                None, None, f"{name} is no function or class", node.start_mark
            )
        return found

    def refuse(self, node: yaml.Node) -> Any:
        """What any other tag leads to."""
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        problem = f"the tag {tag} could run code and is not read: write the value itself"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


SavedConfigLoader.add_constructor(f"{_PYTHON}tuple", SavedConfigLoader.construct_tuple)
SavedConfigLoader.add_multi_constructor(f"{_PYTHON}name:", SavedConfigLoader.construct_named)
SavedConfigLoader.add_constructor(None, SavedConfigLoader.refuse)


def load_saved(text: Any) -> Any:
    """The content of a YAML text or open file.

    Raises:
        yaml.YAMLError: it is no YAML, or has a tag that could run code.
    """
    return yaml.load(text, Loader=SavedConfigLoader)


def with_line(error: yaml.YAMLError) -> str:
    """What the error says, in one line that begins with its place."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}: {problem}".replace("tag:yaml.org,2002:", "!!")
