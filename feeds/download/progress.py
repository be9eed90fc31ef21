"""One progress bar on stderr for all concurrent downloads."""

from types import TracebackType
from typing import Any, Self

from scorenet.base.terminal.progress import progress_bar

__all__ = ["Progress"]


class Progress:
    """Count rows; the bar appears once rows are expected, and only if `shown`."""

    def __init__(self, title: str, *, shown: bool) -> None:
        self._title = title
        self._shown = shown
        self._bar: Any = None

    def expect(self, rows: int) -> None:
        """Raise the total."""
        if self._bar is None:
            self._bar = progress_bar(total=0, name=self._title, unit=" rows", shown=self._shown)
        self._bar.total += rows
        self._bar.refresh()

    def advance(self, rows: int) -> None:
        """Count rows as done."""
        if self._bar is not None:
            self._bar.update(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
