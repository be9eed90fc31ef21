"""Colour on stderr where a terminal has it and NO_COLOR (https://no-color.org) is not set."""

from __future__ import annotations

import os
import sys

__all__ = ["coloured"]

_CODES = {"red": 31, "yellow": 33}


def coloured(text: str, colour: str) -> str:
    """Return text for stderr, "red" or "yellow" where it can be shown and is wanted."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty():
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"
