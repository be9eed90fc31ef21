"""Download missing history into the store: concurrent pages, resumable, with progress."""

from .api import ensure, fetch

__all__ = ["ensure", "fetch"]
