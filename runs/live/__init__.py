"""`scorenet live`: the session, its journal, its orders and what stops it."""

from .command import start

__all__ = ["start"]
