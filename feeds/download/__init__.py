"""Bring stored series up to what is asked for: pages side by side, resumable, with progress."""

from .api import ensure, fetch

__all__ = ["ensure", "fetch"]
