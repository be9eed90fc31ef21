"""`scorenet live`: the session, its journal, its real orders and its kill switch."""

from .command import start

__all__ = ["start"]
