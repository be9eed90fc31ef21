"""Text from elsewhere, safe to show in a terminal: control characters are shown, not obeyed."""

from __future__ import annotations

import re

__all__ = ["printable"]

# Controls but new line and tab, lone surrogates, line separators, and marks that reverse the direction of text.
_OBEYED = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]"
)


def printable(text: str) -> str:
    """Return `text` with each character that a terminal would obey written as its escape, e.g. `\\x1b`."""
    return _OBEYED.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)
