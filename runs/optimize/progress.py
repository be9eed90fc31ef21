"""Progress of a search on stderr: trials done, the best so far, the time left."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from scorenet.base.terminal.progress import progress_bar

from ..study import Study
from ..study.journal import Row

__all__ = ["Progress"]


class Progress:
    """A bar that shows the first objective of the best trial, and how many trials failed or were stopped early."""

    def __init__(self, total: int, *, shown: bool) -> None:
        self._bar: Any = progress_bar(total=total, name="search", unit="trial", shown=shown)
        self._others = {"failed": 0, "pruned": 0}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def told(self, study: Study, row: Row) -> None:
        """Show one more trial."""
        if row["status"] in self._others:
            self._others[row["status"]] += 1
        name = study.plan.objectives.names[0]
        best = study.best
        notes = [] if best is None else [f"best {name} {best['metrics'][name]:.3g} (trial {best['number']})"]
        notes += [f"{count:,} {kind}" for kind, count in self._others.items() if count]
        self._bar.set_postfix_str(", ".join(notes), refresh=False)
        self._bar.update()
