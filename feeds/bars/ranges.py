"""Arithmetic on half-open ranges of time, `(start, end)` in UTC ms."""

from collections.abc import Iterable, Iterator

__all__ = ["Range", "clip", "merge", "subtract", "windows"]

Range = tuple[int, int]


def merge(ranges: Iterable[Range]) -> list[Range]:
    """Return the union as sorted ranges that neither touch nor overlap, without empty ranges."""
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def clip(ranges: Iterable[Range], start: int, end: int) -> list[Range]:
    """Return the parts of the ranges that lie within [start, end)."""
    return merge((max(a, start), min(b, end)) for a, b in ranges)


def subtract(span: Range, covered: Iterable[Range]) -> list[Range]:
    """Return the parts of `span` that are outside all ranges in `covered`."""
    left: list[Range] = []
    position, end = span
    for a, b in clip(covered, *span):
        if a > position:
            left.append((position, a))
        position = b
    if position < end:
        left.append((position, end))
    return left


def windows(ranges: Iterable[Range], length: int) -> Iterator[Range]:
    """Cut the ranges into consecutive windows of at most `length` ms, oldest first."""
    for start, end in ranges:
        for low in range(start, end, length):
            yield low, min(low + length, end)
