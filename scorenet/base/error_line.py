"""Errors of other libraries as one line of text."""

from __future__ import annotations

__all__ = ["error_line"]


def error_line(error: BaseException, limit: int = 200) -> str:
    """Return the first line of an error's text, at most `limit` characters; its class name if it has no text."""
    lines = str(error).splitlines()
    return (lines[0] if lines and lines[0] else type(error).__name__)[:limit]
