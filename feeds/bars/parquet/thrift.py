"""Read Thrift's compact protocol: a parquet file's footer and page headers, as plain Python values.

pyarrow gives most of these numbers too, but it ends the process at some damaged ones.

References:
    Thrift compact protocol specification.
"""

from __future__ import annotations

from typing import Any

__all__ = ["BINARY", "I32", "I64", "LIST", "STRUCT", "Damaged", "Struct", "read_struct"]

_TRUE, _FALSE, _BYTE, _I16, I32, I64, _DOUBLE, BINARY, LIST, _SET, _MAP, STRUCT = range(1, 13)
_BITS = {_I16: 16, I32: 32, I64: 64}
_DEEPEST = 16  # of structs and lists within each other; those of parquet have 7
_MOST = 500_000  # structs and lists: an empty one has a byte in the file and a hundred in memory


class Damaged(ValueError):
    """Report bytes that are no struct."""


class Struct(dict[tuple[int, int], Any]):
    """Values by number and kind of a field; one of another kind than the format says does not exist for a reader."""

    def __missing__(self, field: tuple[int, int]) -> Any:
        """Raise `Damaged`."""
        raise Damaged(f"a struct lacks field {field[0]}")

    def structs(self, field: tuple[int, int]) -> list[Struct]:
        """Return a field that is a list of structs."""
        found: list[Struct] = self[field]
        if not all(isinstance(element, Struct) for element in found):
            raise Damaged(f"field {field[0]} is no list of structs")
        return found


def read_struct(content: bytes, at: int) -> tuple[Struct, int]:
    """Return the struct that begins at byte `at`, and where it ends. A number is an int, a text is bytes.

    Raises:
        Damaged: it is not complete, or not of this protocol.
    """
    reader = _Reader(content, at)
    try:
        return reader.struct(_DEEPEST), reader.at
    except IndexError as error:
        raise Damaged("a struct is not complete") from error


class _Reader:
    def __init__(self, content: bytes, at: int) -> None:
        self._content, self.at, self._left = content, at, _MOST

    def struct(self, depth: int) -> Struct:
        found = Struct()
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._number(_I16)
            kind = head & 15
            found[number, kind] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (STRUCT, LIST, _SET, _MAP):
            self._count(depth)
        if kind in _BITS:
            return self._number(kind)
        if kind == BINARY:
            return self._bytes(self._varint())
        if kind == STRUCT:
            return self.struct(depth - 1)
        if kind in (LIST, _SET):
            return self._list(depth - 1)
        if kind == _MAP:
            return self._map(depth - 1)
        if kind == _DOUBLE:
            return self._bytes(8)
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        raise Damaged(f"a value of the unknown kind {kind}")

    def _count(self, depth: int) -> None:
        self._left -= 1
        if depth == 0 or self._left < 0:
            raise Damaged("structs and lists without end")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        kind, size = head & 15, head >> 4
        size = self._size(self._varint() if size == 15 else size)
        return [self._value(kind, depth) for _ in range(size)]

    def _map(self, depth: int) -> list[tuple[Any, Any]]:
        size = self._size(self._varint())
        kinds = self._byte() if size else 0
        return [(self._value(kinds >> 4, depth), self._value(kinds & 15, depth)) for _ in range(size)]

    def _size(self, size: int) -> int:
        """Return a number of elements, each of which has at least a byte."""
        if size > len(self._content) - self.at:
            raise Damaged("a list is longer than the file")
        return size

    def _bytes(self, size: int) -> bytes:
        begin, self.at = self.at, self.at + self._size(size)
        return self._content[begin : self.at]

    def _number(self, kind: int) -> int:
        coded = self._varint()
        if coded >> _BITS[kind]:
            raise Damaged(f"a number of more than {_BITS[kind]} bits")
        return (coded >> 1) ^ -(coded & 1)

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise Damaged("a number without end")

    def _byte(self) -> int:
        byte = self._content[self.at]
        self.at += 1
        return byte
