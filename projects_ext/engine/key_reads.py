"""Which keys of a YAML config are read: what is set and never read has no effect."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from detectron2.config import CfgNode

_READS, _PREFIX = "_reads", "_prefix"


@dataclass
class KeyReads:
    """What is known about the use of a config's keys, shared by all copies of the config.

    Attributes:
        keys: what has been read; only keys with values, not sections.
        changed: what the user set to another value than the default.
        command_line: what the user set on the command line.
        inherited: what neither the command line nor the config file itself sets, but what it is
            based on.
    """

    keys: set[str] = field(default_factory=set)
    changed: frozenset[str] = frozenset()
    command_line: frozenset[str] = frozenset()
    inherited: frozenset[str] = frozenset()
    paused: bool = False

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Within, reading a key does not count: copying a config, say, uses none of its values."""
        before, self.paused = self.paused, True
        try:
            yield
        finally:
            self.paused = before

    def unread(self) -> list[str]:
        """The changed keys that nothing has read so far, sorted."""
        return sorted(self.changed - self.keys)


class RecordingCfgNode(CfgNode):
    """A ``CfgNode`` that notes which of its keys are read; see :func:`record_reads`."""

    def _note(self, key: Any) -> None:
        reads: KeyReads | None = self.__dict__.get(_READS)
        if reads is not None and not reads.paused:
            reads.keys.add(f"{self.__dict__[_PREFIX]}{key}")

    def __getitem__(self, key: Any) -> Any:
        value = super().__getitem__(key)
        if not isinstance(value, CfgNode):
            self._note(key)
        return value

    def get(self, key: Any, default: Any = None) -> Any:
        """As ``dict.get``."""
        if key not in self:
            return default
        return self[key]

    # With an __iter__ of its own, dict(node) and f(**node) ask for each key by __getitem__.
    def __iter__(self) -> Iterator[Any]:
        return super().__iter__()

    def items(self) -> Any:
        """As ``dict.items``, at this moment."""
        return [(key, self[key]) for key in self]

    def values(self) -> Any:
        """As ``dict.values``, at this moment."""
        return [self[key] for key in self]

    def __reduce_ex__(self, protocol: Any) -> Any:
        # A pickled config goes to another process, whose reads are not these.
        return plain(self).__reduce_ex__(protocol)

    def __deepcopy__(self, memo: Any) -> "RecordingCfgNode":
        return _recording(self, self.__dict__[_PREFIX], self.__dict__[_READS])

    def freeze(self) -> None:
        """Make this node and its sections unchangeable."""
        with pause_recording(self):
            super().freeze()

    def defrost(self) -> None:
        """Make this node and its sections changeable."""
        with pause_recording(self):
            super().defrost()

    def dump(self, *args: Any, **kwargs: Any) -> str:
        """The config as YAML text."""
        with pause_recording(self):
            # What is saved is the config alone.
            return plain(self).dump(*args, **kwargs)

    def __str__(self) -> str:
        with pause_recording(self):
            return super().__str__()


def record_reads(
    cfg: CfgNode,
    changed: Iterable[str] = (),
    command_line: Iterable[str] = (),
    own: Iterable[str] | None = None,
) -> RecordingCfgNode:
    """A copy of the config that notes which keys are read from it and from copies of it.

    Args:
        cfg: a config; one that records already is returned as it is.
        changed: keys that the user set to another value than the default.
        command_line: those that the user set on the command line.
        own: those that the config file sets itself; None: all.
    """
    if isinstance(cfg, RecordingCfgNode):
        return cfg
    changed, command_line = frozenset(changed), frozenset(command_line)
    inherited = frozenset[str]() if own is None else changed - command_line - frozenset(own)
    reads = KeyReads(changed=changed, command_line=command_line, inherited=inherited)
    return _recording(cfg, "", reads)


def reads_of(cfg: CfgNode) -> KeyReads:
    """What has been noted; nothing for a config that does not record."""
    return cfg.__dict__.get(_READS) or KeyReads()


@contextmanager
def pause_recording(cfg: CfgNode) -> Iterator[None]:
    """Within, reading a key of the config does not count."""
    with reads_of(cfg).pause():
        yield


def _recording(node: CfgNode, prefix: str, reads: KeyReads) -> RecordingCfgNode:
    copied = RecordingCfgNode.__new__(RecordingCfgNode)
    # The flags of yacs, such as whether the node is frozen.
    copied.__dict__.update(copy.deepcopy({k: v for k, v in node.__dict__.items() if k != _READS}))
    copied.__dict__.update({_READS: reads, _PREFIX: prefix})
    with reads.pause():
        for key, value in node.items():
            section = isinstance(value, CfgNode)
            part = _recording(value, f"{prefix}{key}.", reads) if section else copy.deepcopy(value)
            dict.__setitem__(copied, key, part)
    return copied


def plain(cfg: CfgNode) -> CfgNode:
    """A config with the same values that records nothing; it is not frozen."""
    with pause_recording(cfg):
        return CfgNode(dict(_values(cfg)))


def _values(cfg: CfgNode) -> Iterator[tuple[str, Any]]:
    for key, value in cfg.items():
        section = isinstance(value, CfgNode)
        yield key, dict(_values(value)) if section else copy.deepcopy(value)


def changed_keys(cfg: CfgNode, defaults: CfgNode, prefix: str = "") -> list[str]:
    """The full names of the keys whose values differ from those of ``defaults``."""
    found: list[str] = []
    for key, value in cfg.items():
        name, default = f"{prefix}{key}", defaults.get(key)
        if isinstance(value, CfgNode) and isinstance(default, CfgNode):
            found += changed_keys(value, default, f"{name}.")
        elif _as_lists(value) != _as_lists(default):
            found.append(name)
    return found


def _as_lists(value: Any) -> Any:
    """Lists and tuples say the same in a config."""
    return [_as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value
