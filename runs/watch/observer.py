"""Watch a live run from inside its process: heartbeat, metrics and alerts, fed by the records of its journal.

The event loop only notes a time and adds to a queue. Disk, network and requests for metrics have threads of their own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from scorenet.base.error_line import error_line
from scorenet.base.printable import printable

from .alerts import Alerts
from .facts import Facts
from .fields import Unfit
from .heartbeat import Heartbeat, write_heartbeat
from .metrics import MetricsServer, Snapshot
from .process import Process
from .status import judge
from .systemd import tell_systemd
from .webhook import Target, Webhook

__all__ = ["BEAT_SECONDS", "Observer", "Records"]

BEAT_SECONDS = 5.0
_WELL_SECONDS = 120.0  # an event loop that has turned since then is well
_END_SECONDS = 5.0


class Records(Protocol):
    """A journal: where its records are, and who receives the next ones."""

    path: Path
    listener: Callable[[dict[str, Any]], None]

    def records(self, *kinds: str) -> Iterable[dict[str, Any]]:
        """Return the records that are there."""
        ...


class Observer:
    """Watch one run. Use it in `with` if it has webhooks or a port; `over` alone writes the heartbeat.

    Args:
        say: receives text for the user, from any thread.
        targets: webhooks. patience: seconds of an outage before it is reported.
        metrics: host and port to serve metrics on. requests: returns the number of REST requests by path.
        folder: name of the run for alerts before its journal is open.
    """

    def __init__(
        self,
        say: Callable[[str], None] = lambda text: None,
        *,
        targets: Sequence[Target] = (),
        patience: float = 300.0,
        metrics: tuple[str, int] | None = None,
        requests: Callable[[], Mapping[str, int]] = dict,
        folder: str = "live",
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        self._tell, self._targets, self._patience, self._requests = say, targets, patience, requests
        self._metrics, self._beat_seconds = metrics, beat_seconds
        self._facts, self._process = Facts(), Process.own()
        self._lock = threading.RLock()
        self._hooks: list[Webhook] = []
        self._alerts = Alerts(self._facts, folder, self._post, patience=patience)
        self._turned: tuple[float, float | None] | None = None
        self._lag: float | None = None
        self._session: int | None = None
        self._wake, self._ending = threading.Event(), False
        self._said: set[str] = set()
        self.server: MetricsServer | None = None

    # From the outside to the inside of a run -----------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._metrics is not None:
            self.server = MetricsServer(*self._metrics, self.snapshot)
        self._hooks = [Webhook(target, self._say) for target in self._targets]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alerts.end(_reason(error))
        deadline = time.monotonic() + _END_SECONDS
        for hook in self._hooks:
            hook.hurry()
        for hook in self._hooks:
            hook.close(max(deadline - time.monotonic(), 0.0))
        if self.server is not None:
            self.server.close()

    @contextmanager
    def over(self, journal: Records) -> Iterator[None]:
        """Watch the run of a journal inside the block; the last heartbeat says how it ended."""
        self._facts = Facts()
        self._alerts = Alerts(self._facts, journal.path.parent.name, self._post, patience=self._patience)
        for record in journal.records():
            self._fold(record)
        journal.listener = self._add
        thread = threading.Thread(
            target=self._run, args=(journal.path.parent,), name="heartbeat", daemon=True
        )
        error: BaseException | None = None
        self._beat(journal.path.parent)
        thread.start()
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            journal.listener = lambda record: None
            tell_systemd("STOPPING=1")
            self._ending = True
            self._wake.set()
            thread.join(self._beat_seconds)
            self._beat(journal.path.parent, ended=True, error=_reason(error))

    # From the event loop -------------------------------------------------------------------------------------

    def turn(self, age: float | None) -> None:
        """Note a turn of the event loop; `age` is the exchange's seconds since the last bar's close."""
        first = self._turned is None
        self._turned = (time.monotonic(), age)
        if first:
            tell_systemd("READY=1")

    def lag(self, seconds: float | None) -> None:
        """Note the exchange's seconds from a bar's close to its decision."""
        self._lag = seconds

    def _add(self, record: dict[str, Any]) -> None:
        with self._lock:
            self._fold(record)
            self._alerts.add(record)
        if record.get("kind") == "session":
            self._session = self._facts.session
        if record.get("kind") == "stop":
            tell_systemd("STOPPING=1")  # writing the report may take longer than the watchdog waits
        if record.get("kind") != "bar":
            self._wake.set()

    def _fold(self, record: Mapping[str, Any]) -> None:
        try:
            self._facts.add(record)
        except Unfit as error:
            self._say_once(f"the journal has a record that its status cannot show: {error}")

    # Threads of its own --------------------------------------------------------------------------------------

    def _run(self, folder: Path) -> None:
        while not self._ending:
            self._wake.wait(self._beat_seconds)
            self._wake.clear()
            if not self._ending:
                self._beat(folder)
                with self._lock:
                    self._alerts.check()

    def _beat(self, folder: Path, **end: Any) -> None:
        beat = self._heartbeat(**end)
        if beat.loop_age is not None and beat.loop_age < _WELL_SECONDS:
            tell_systemd("WATCHDOG=1", f"STATUS={judge(self._facts, beat, True)[0]}")
        try:
            write_heartbeat(folder, beat)
        except OSError as error:
            self._say_once(
                f"cannot write the heartbeat, so `scorenet status` will say stuck: {error_line(error)}"
            )

    def _heartbeat(self, **end: Any) -> Heartbeat:
        loop_age = age = None
        if self._turned is not None:
            moment, age = self._turned
            loop_age = time.monotonic() - moment
        return Heartbeat.now(
            self._process,
            session=self._session,
            loop_age=loop_age,
            age=None if age is None or loop_age is None else age + loop_age,
            lag=self._lag,
            **end,
        )

    def snapshot(self) -> Snapshot:
        """Return what the metrics show now."""
        beat = self._heartbeat()
        with self._lock:
            facts = self._facts
            return Snapshot(
                state=judge(facts, beat, True)[0],
                halted=facts.halt is not None,
                age=beat.age,
                lag=beat.lag,
                loop_age=beat.loop_age,
                last_bar=facts.last_bar,
                equity=facts.equity,
                positions=dict(facts.positions),
                real_positions={symbol: float(size) for symbol, size in facts.ledger.held.items()},
                unknown_orders=len(facts.ledger.unknown),
                order_troubles=len(facts.troubles),
                refused_orders={symbol: found.count for symbol, found in facts.ledger.refusals.items()},
                bars=facts.bars,
                disconnections=facts.disconnections,
                requests=dict(self._requests()),
                lost_alerts=sum(hook.dropped + hook.failed for hook in self._hooks),
                labels={
                    "run": facts.run,
                    "mode": facts.mode,
                    "place": facts.place,
                    "timeframe": facts.timeframe,
                },
            )

    def _post(self, alert: dict[str, Any]) -> None:
        for hook in self._hooks:
            hook.post(alert)

    def _say(self, text: str) -> None:
        # Nobody may read stderr any more; that must not end a thread.
        with suppress(OSError, ValueError):
            self._tell(text)

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)


def _reason(error: BaseException | None) -> str:
    if error is None:
        return ""
    return "interrupted" if isinstance(error, KeyboardInterrupt) else printable(error_line(error))
