"""Metrics of a live run for Prometheus, on a local port. They are read from a snapshot, in threads of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scorenet.errors import ScorenetError

from .status import EXIT_CODES

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["MetricsServer", "PortTaken", "Snapshot"]

_PREFIX = "scorenet_live_"
_SILENT_SECONDS = 10.0


class PortTaken(ScorenetError):
    """Report a port for metrics that another program uses, or that this one may not use."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What the metrics show at one moment; None is a value that is not known, and is left out."""

    state: str
    halted: bool
    age: float | None
    lag: float | None
    loop_age: float | None
    last_bar: int | None
    equity: float | None
    positions: dict[str, float] = field(default_factory=dict)
    real_positions: dict[str, float] = field(default_factory=dict)
    unknown_orders: int = 0
    order_troubles: int = 0
    refused_orders: dict[str, int] = field(default_factory=dict)
    bars: int = 0
    disconnections: int = 0
    requests: dict[str, int] = field(default_factory=dict)
    lost_alerts: int = 0
    labels: dict[str, str] = field(default_factory=dict)


class MetricsServer:
    """Serve `http://HOST:PORT/metrics` until `close`; each request calls `snapshot`.

    Attributes:
        port: the port; the system chooses one if it was asked for 0.

    Raises:
        ModuleNotFoundError: prometheus_client is not installed.
        PortTaken: the port cannot be used.
    """

    def __init__(self, host: str, port: int, snapshot: Callable[[], Snapshot]) -> None:
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"--metrics-port needs {error.name}: pip install 'scorenet[ops]'"
            ) from error
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(snapshot))
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise PortTaken(
                f"cannot serve metrics on {host}:{port}: {reason}; choose another --metrics-port or --metrics-host"
            ) from error
        self._server.RequestHandlerClass = _bounded(self._server.RequestHandlerClass)
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stop serving; a request under way is left to its thread."""
        self._server.shutdown()
        self._server.server_close()


def _bounded(handler: Any) -> Any:
    """Return a handler whose connections end if they say nothing: each has a thread and a file of the run's."""

    class Bounded(handler):  # type: ignore[misc]
        timeout = _SILENT_SECONDS

        def handle(self) -> None:
            with suppress(OSError):
                super().handle()

    return Bounded


class _Collector:
    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        found = self._snapshot()
        gauge, counter = GaugeMetricFamily, CounterMetricFamily
        about = gauge(_PREFIX + "info", "1, with the run in labels.", labels=tuple(found.labels))
        about.add_metric(tuple(found.labels.values()), 1.0)
        yield about
        states = {state: float(state == found.state) for state in EXIT_CODES if state not in _AFTER}
        yield _by(gauge, "state", "1 for the present state, 0 for the others.", "state", states)
        for name, text, value in _numbers(found):
            if value is not None:
                yield gauge(_PREFIX + name, text, value)
        yield _by(gauge, "position", "Paper position in base units.", "symbol", found.positions)
        text = "Real position by the journal, in base units."
        yield _by(gauge, "real_position", text, "symbol", found.real_positions)
        text = "Real orders refused in a row, until another outcome."
        yield _by(gauge, "refused_orders", text, "symbol", found.refused_orders)
        yield counter(_PREFIX + "bars", "Bars in the journal.", found.bars)
        text = "How often a feed became DISCONNECTED, in all sessions."
        yield counter(_PREFIX + "disconnections", text, found.disconnections)
        yield counter(_PREFIX + "lost_alerts", "Alerts that a webhook has not accepted.", found.lost_alerts)
        yield _by(counter, "requests", "REST requests of this process, by path.", "path", found.requests)


_AFTER = ("ended", "failed", "killed")  # then nobody serves metrics


def _numbers(found: Snapshot) -> Iterator[tuple[str, str, float | None]]:
    yield "halted", "1 if the kill switch is on.", float(found.halted)
    yield "bar_age_seconds", "Since the close of the last bar, by the exchange's clock.", found.age
    yield "lag_seconds", "From the close of the last bar to its decision.", found.lag
    yield "loop_age_seconds", "Since the last turn of the event loop.", found.loop_age
    close = None if found.last_bar is None else found.last_bar / 1000.0
    yield "last_bar_timestamp_seconds", "Close of the last bar, UTC.", close
    yield "equity", "Equity of the paper account, in quote currency.", found.equity
    yield "unknown_orders", "Real orders whose outcome is not known.", float(found.unknown_orders)
    text = "Troubles with real orders that last: symbols and parts of the account that do not work."
    yield "order_troubles", text, float(found.order_troubles)


def _by(kind: Any, name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = kind(_PREFIX + name, text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    metric: Metric = family
    return metric
