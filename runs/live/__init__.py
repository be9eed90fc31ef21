"""`scorenet live`: the session, its journal, its real orders and its kill switch."""

from typing import TYPE_CHECKING

from scorenet.base.lazy import lazy_exports

if TYPE_CHECKING:
    from .command import start

__all__ = ["start"]

__getattr__, __dir__ = lazy_exports(__name__, {".command": ("start",)})
