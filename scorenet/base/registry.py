"""Registries: the names that a setting accepts. Users add their own without changing the packages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from .did_you_mean import did_you_mean

__all__ = ["Registry"]

_Entry = TypeVar("_Entry")


class Registry(Generic[_Entry]):
    """Named entries of one kind, e.g. objectives; a name can be registered once.

    Example:
        >>> OBJECTIVES: Registry[object] = Registry("objective")
        >>> @OBJECTIVES.register("mine")
        ... class Mine: ...
        >>> OBJECTIVES["mine"] is Mine
        True
    """

    def __init__(self, kind: str, error: type[Exception] = ValueError) -> None:
        self.kind = kind
        self._error = error
        self._entries: dict[str, _Entry] = {}

    def register(self, name: str) -> Callable[[_Entry], _Entry]:
        """Return a decorator that registers its function or class under `name`.

        Raises:
            ValueError: another entry has the name, or it is not an identifier.
        """
        if not name.isidentifier():
            raise ValueError(f"{self.kind}: expected a name such as 'my_{self.kind}', found {name!r}")

        def enter(entry: _Entry) -> _Entry:
            if self._entries.get(name, entry) is not entry:
                raise ValueError(f"{self.kind} {name!r} is taken; choose another name")
            self._entries[name] = entry
            return entry

        return enter

    def __getitem__(self, name: str) -> _Entry:
        """Return the entry of a name; for an unknown name raise the registry's error, with a suggestion."""
        if name not in self:
            hint = did_you_mean(str(name), self._entries)
            raise self._error(f"{self.kind}: expected one of {', '.join(self)}; found {name!r}{hint}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def remove(self, name: str) -> None:
        """Remove a name, e.g. at the end of a test; an unknown name is ignored."""
        self._entries.pop(name, None)
