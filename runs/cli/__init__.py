"""The `scorenet` command: options, commands, error messages and exit codes."""

from .commands import main

__all__ = ["main"]
