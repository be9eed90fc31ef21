"""Error messages of the commands, one or two lines, and exit codes for scripts.

0 done, 1 failed (network, data, disk, model), 2 usage, 130 interrupted.
"""

from __future__ import annotations

import errno
import functools
import logging
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

from scorenet.base.did_you_mean import did_you_mean
from scorenet.base.memory import is_out_of_memory
from scorenet.base.printable import printable
from scorenet.base.terminal.colour import coloured

__all__ = ["FAILED", "INTERRUPTED", "USAGE", "HintingGroup", "guarded", "show_warnings_safely"]

FAILED, USAGE, INTERRUPTED = 1, 2, 130

_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class HintingGroup(click.Group):
    """A group of commands that answers an unknown command with the nearest known one."""

    def resolve_command(
        self, context: click.Context, words: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return name, command and remaining words, as click does."""
        try:
            return super().resolve_command(context, words)
        except click.UsageError as error:
            hint = did_you_mean(words[0], self.list_commands(context))
            raise click.UsageError(f"{error.message.rstrip('.')}{hint}", context) from None


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn expected errors into a message and an exit code; with `--debug` they are raised."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        debug = click.get_current_context().find_root().params.get("debug", False)
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            _leave("interrupted; finished files are kept, partial files are removed", INTERRUPTED)
        except _expected() as error:
            if debug:
                raise
            _leave(str(error), USAGE if isinstance(error, _usage()) else FAILED)
        except OSError as error:
            # A name that is too long, a full disk, a folder that may not be read: of files, not of the program.
            of_a_file = error.filename is not None or error.errno in _OF_DISKS
            if debug or not of_a_file:
                raise
            where = "" if error.filename is None else f"{error.filename}: "
            _leave(f"{where}{error.strerror}", FAILED)
        except UnicodeEncodeError as error:
            # Python reads a file name that is no text of its encoding as lone surrogates, which parquet cannot write.
            if debug or error.reason != "surrogates not allowed":
                raise
            _leave(f"{error.object}: expected a file name in UTF-8; choose another one", FAILED)
        except (MemoryError, RuntimeError) as error:
            if debug or not is_out_of_memory(error):
                raise
            _leave("out of memory; use fewer bars, a smaller batch or a smaller model", FAILED)

    return wrapper


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def show_warnings_safely() -> None:
    """Escape control characters in warnings, which may quote an exchange's text, where no handler is configured."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Printable())


def _expected() -> tuple[type[BaseException], ...]:
    # Imported here so that `scorenet --help` loads neither torch nor pandas.
    from feeds import FeedError
    from scorenet import ScorenetError

    from ..folder.errors import RunDirError

    return (FeedError, ScorenetError, RunDirError, ModuleNotFoundError)


def _usage() -> tuple[type[BaseException], ...]:
    from feeds import BadSource, BadSymbol, BadTimeframe
    from scorenet import ConfigError

    return (BadSource, BadSymbol, BadTimeframe, ConfigError)


def _leave(message: str, code: int) -> NoReturn:
    click.echo(f"{coloured('scorenet:', 'red')} {printable(message)}", err=True)
    sys.exit(code)
