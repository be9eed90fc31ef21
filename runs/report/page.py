"""The HTML document of the report, with an inline style sheet and a policy that forbids network requests."""

from __future__ import annotations

from importlib import resources

from .markup import esc

__all__ = ["page"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def page(title: str, header: str, body: str) -> str:
    """Return a complete document; `title` is escaped here, `header` and `body` are HTML."""
    style = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{esc(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f'<body>\n<main>\n<header class="top"><div class="mark">scorenet</div>{header}</header>\n'
        f"{body}</main>\n</body>\n</html>\n"
    )
