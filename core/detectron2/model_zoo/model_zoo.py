"""Answers to code that asks the model zoo for a config."""

from typing import Any, NoReturn


def _refuse(config_path: str) -> NoReturn:
    raise RuntimeError(
        f"detectron2-core has no model zoo and therefore no config '{config_path}': use a file in "
        "the project's configs folder, or give the path of a config file to LazyConfig.load or "
        "cfg.merge_from_file."
    )


def get_config_file(config_path: str) -> str:
    """In upstream, the path of a built-in config file.

    Raises:
        RuntimeError: always; the message says what to do instead.
    """
    _refuse(config_path)


def get_config(config_path: str, trained: bool = False) -> Any:
    """In upstream, a built-in config.

    Raises:
        RuntimeError: always; the message says what to do instead.
    """
    _refuse(config_path)


def get_checkpoint_url(config_path: str) -> str:
    """In upstream, the address of a built-in config's trained weights.

    Raises:
        RuntimeError: always; the message says what to do instead.
    """
    _refuse(config_path)


def get(config_path: str, trained: bool = False, device: str | None = None) -> Any:
    """In upstream, the model of a built-in config.

    Raises:
        RuntimeError: always; the message says what to do instead.
    """
    _refuse(config_path)
