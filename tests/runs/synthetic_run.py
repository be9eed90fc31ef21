"""Run folders made from seeded random markets; a plain loop does the accounting."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runs.folder.frames import conform, empty_frame
from runs.folder.rundir import RunDir, manifest
from runs.statistics import compute_metrics
from scorenet.calendars import AlwaysOpen

HOUR_MS = 3_600_000
START = pd.Timestamp("2024-07-01 01:00", tz="UTC")
CASH = 10_000.0
FEE, SLIPPAGE = 0.00055, 0.0002

HOSTILE = "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=alert(2)>"


@dataclass
class Run:
    """The tables of one run before they are written."""

    tables: dict[str, pd.DataFrame]
    metrics: dict[str, Any]
    manifest: dict[str, Any]
    config: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        with RunDir.create(path) as run:
            for name, table in self.tables.items():
                run.write_frame(name, table)
            run.write_metrics(self.metrics)
            run.write_manifest(self.manifest)
            run.write_config(self.config)
        return path


def make_run(
    *,
    bars: int = 24 * 60,
    symbols: tuple[str, ...] = ("BTC/USDT:USDT",),
    seed: int = 7,
    trade: bool = True,
    flat: bool = False,
    ruin: bool = False,
    model: bool = True,
    text: str = "",
    bar_ms: int = HOUR_MS,
) -> Run:
    """Return one run; `text` is used in every place that a user or a file name can set."""
    rng = np.random.default_rng(seed)
    times = START + pd.to_timedelta(np.arange(bars) * bar_ms, unit="ms")
    names = tuple(symbol + text for symbol in symbols)
    books = [_book(rng, name, times, trade, flat, CASH / len(names)) for name in names]
    tables = {
        key: conform(key, pd.concat([book[key] for book in books], ignore_index=True))
        for key in ("orders", "trades", "decisions", "funding")
    }
    value = sum(book["value"] for book in books)
    held = sum(book["held"] for book in books)
    equity = value.copy()
    if ruin:
        equity[bars // 2 :] = 0.0
        held = np.where(equity > 0, held, 0.0)
    benchmark = sum(CASH / len(names) * book["close"] / book["close"][0] for book in books)
    tables["equity"] = conform("equity", _equity(times, equity, held, benchmark))
    figures = {
        "dsm_loss": 0.8712,
        "score_accuracy": 0.913,
        "density_calibration": {"ks": 0.021},
        "parameters": 20481,
    }
    metrics = compute_metrics(
        **tables, clock=AlwaysOpen(bar_ms), benchmark_costs={"fees": 5.5}, model=figures if model else None
    )
    config = {
        "signal": "forward" + text,
        "seed": seed,
        "sizing": {"max_exposure": 1.0, "note" + text: text or "none"},
    }
    described = manifest(
        command=["scorenet", "backtest", "--model", f"models/btc{text}", "--out", f"out/run{text}"],
        config=config,
        data=[_series(name, times, text) for name in names],
        model={"path": f"models/btc{text}", "sha256": "ab" * 32} if model else None,
        seed=seed,
        warnings=[f"3 bars were filled {text}"] if text else [],
    )
    return Run(tables, metrics, described, config)


def _book(
    rng: np.random.Generator, symbol: str, times: pd.DatetimeIndex, trade: bool, flat: bool, cash: float
) -> dict[str, Any]:
    """Trade one symbol on a random walk with jumps in volatility; return its tables and its value per bar."""
    bars = len(times)
    novel = np.repeat(rng.random(bars // 90 + 1) < 0.22, 90)[:bars]
    moves = np.zeros(bars) if flat else rng.normal(0, np.where(novel, 0.011, 0.0045)) + 2e-5
    close = 60_000.0 * np.exp(np.cumsum(moves))
    opens = np.concatenate([close[:1], close[:-1]])
    rank = np.where(novel, rng.beta(1, 9, bars), rng.random(bars))
    signal = pd.Series(rng.normal(0, 1, bars)).rolling(96, min_periods=1).mean().to_numpy() * 9
    warmup = min(24, bars // 3)
    reason = np.where(
        rank < 0.05, "out_of_distribution", np.where(abs(signal) < 0.5, "low_confidence", "hold")
    )
    target = np.where(rank < 0.05, 0.0, np.clip(np.round(signal), -1, 1)) * (1.0 if trade else 0.0)
    size, value, held, orders, funding = 0.0, np.empty(bars), np.empty(bars), [], []
    wanted, decided = 0.0, 0
    for t in range(bars):
        if t and times[t].hour % 8 == 1 and size:
            funding.append([times[t], symbol, 1e-4, size, opens[t], size * opens[t] * 1e-4])
            cash -= funding[-1][-1]
        if t and wanted != size:
            order = _fill(times[t], times[decided], symbol, wanted - size, opens[t])
            orders.append(order)
            cash -= order[4] * order[5] + order[7]
            size = wanted
        value[t], held[t] = cash + size * close[t], size * close[t]
        if t >= warmup and trade and t < bars - 1:
            side = np.sign(target[t])
            if side != np.sign(size):
                wanted, decided = side * 0.8 * value[t] / close[t], t
                reason[t] = "trade"
    reason[:warmup] = "warmup"
    known = np.where(np.arange(bars) < warmup, np.nan, 1.0)
    decisions = pd.DataFrame(
        {
            "time": times,
            "symbol": symbol,
            "close": close,
            "score": signal * known,
            "signal": signal * known,
            "confidence": np.clip(abs(signal) / 3, 0, 1) * known,
            "log_density": np.log(rank + 1e-3) * known,
            "density_rank": rank * known,
            "in_distribution": (rank >= 0.05) & (known == 1.0),
            "expected_return": 0.001 * signal * known,
            "unfiltered": np.clip(np.round(signal), -1, 1) * known,
            "target": target,
            "position": held / value,
            "reason": reason,
        }
    )
    tables = {
        "orders": _frame("orders", orders),
        "funding": _frame("funding", funding),
        "decisions": decisions,
    }
    return tables | {"trades": _trades(tables["orders"], times), "value": value, "held": held, "close": close}


def _fill(time: pd.Timestamp, decided: pd.Timestamp, symbol: str, size: float, reference: float) -> list[Any]:
    price = reference * (1 + SLIPPAGE * np.sign(size))
    fee, slip = abs(size) * price * FEE, abs(size) * abs(price - reference)
    side = "buy" if size > 0 else "sell"
    return [time, decided, symbol, side, size, price, reference, fee, slip, "completed", False]


def _trades(orders: pd.DataFrame, times: pd.DatetimeIndex) -> pd.DataFrame:
    """Pair each order with the next one, as if every change of position closed a trade."""
    rows = []
    held = orders["size"].cumsum()
    for i in range(len(orders) - 1):
        a, b, size = orders.iloc[i], orders.iloc[i + 1], float(held.iloc[i])
        if abs(size) < 1e-12:
            continue
        gross, fees = size * (b["price"] - a["price"]), a["fee"] + b["fee"]
        side = "long" if size > 0 else "short"
        bars = int(times.searchsorted(b["time"]) - times.searchsorted(a["time"]))
        prices = [a["price"], b["price"]]
        rows.append(
            [
                a["symbol"],
                side,
                a["time"],
                b["time"],
                bars,
                abs(size),
                *prices,
                gross,
                fees,
                0.0,
                gross - fees,
            ]
        )
    return _frame("trades", rows)


def _equity(
    times: pd.DatetimeIndex, equity: np.ndarray, held: np.ndarray, benchmark: np.ndarray
) -> pd.DataFrame:
    peak = np.maximum.accumulate(equity)
    exposure = np.divide(held, equity, out=np.zeros_like(equity), where=equity > 0)
    columns = {"time": times, "equity": equity, "cash": equity - held, "exposure": exposure}
    return pd.DataFrame(columns | {"drawdown": equity / peak - 1, "benchmark": benchmark})


def _frame(name: str, rows: list[list[Any]]) -> pd.DataFrame:
    empty = empty_frame(name)
    return conform(name, pd.DataFrame(rows, columns=empty.columns)) if rows else empty


def _series(symbol: str, times: pd.DatetimeIndex, text: str) -> dict[str, Any]:
    return {
        "source": f"data/{symbol}{text}.parquet",
        "symbol": symbol,
        "timeframe": "1h",
        "rows": len(times),
        "start": times[0].isoformat(),
        "end": times[-1].isoformat(),
        "sha256": "cd" * 32,
    }
