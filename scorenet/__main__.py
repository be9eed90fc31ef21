"""The `scorenet` command, also as `python -m scorenet`; it works in folders that contain their own `feeds.py`."""

from __future__ import annotations

import importlib

from .base.siblings import sibling

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    importlib.import_module(f"{sibling('runs').__name__}.cli").main(prog_name="scorenet")


if __name__ == "__main__":
    main()
