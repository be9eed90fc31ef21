"""Building blocks of the report's HTML; all external text passes through `esc`."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["details", "esc", "flatten", "key_values", "panel", "table"]

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def esc(value: object) -> str:
    """Return a value as text that is safe in HTML, in an element or in a quoted attribute.

    Control characters, lone surrogates and marks that reverse the direction of text become U+FFFD.
    """
    return html.escape(_UNPRINTABLE.sub("\ufffd", str(value)), quote=True)


def panel(title: str, body: str, *, note: str = "", name: str = "", wide: bool = True) -> str:
    """Return one titled frame; `body` and `note` are HTML, `name` marks it for tests and links."""
    head = f"<h2>{esc(title)}</h2>{f'<p class=note>{note}</p>' if note else ''}"
    css = "panel wide" if wide else "panel"
    return f'<section class="{css}" id="{esc(name)}"><header>{head}</header>{body}</section>\n'


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: bool = True, css: str = ""
) -> str:
    """Return a table of cells that are already HTML; all columns but the first are aligned as numbers."""
    head = "".join(f"<th scope=col>{esc(column)}</th>" for column in columns)
    lines = []
    for first, *rest in rows:
        cells = "".join(f"<td>{cell}</td>" for cell in rest)
        lines.append(f"<tr><th scope=row>{first}</th>{cells}</tr>")
    kind = " ".join(filter(None, ["numbers" if numeric else "", css]))
    body = "\n".join(lines)
    filled = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class=scroll><table class="{kind}">{filled}</table></div>'


def key_values(pairs: Mapping[str, object]) -> str:
    """Return a two-column list of names and values, both escaped; one row per name, nested names with dots."""
    cells = "".join(
        f"<dt>{esc(key)}</dt><dd>{esc(_text(value))}</dd>" for key, value in flatten(pairs).items()
    )
    return f"<dl>{cells}</dl>" if cells else "<p class=empty>none</p>"


def details(summary: str, body: str) -> str:
    """Return a part of the page that opens on a click."""
    return f"<details><summary>{esc(summary)}</summary>{body}</details>"


def flatten(pairs: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested mappings as one flat mapping, with names joined by dots."""
    flat: dict[str, object] = {}
    for key, value in pairs.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return str(value)
