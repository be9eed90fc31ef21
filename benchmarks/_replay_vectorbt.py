"""Time `Portfolio.from_orders` with Sharpe in vectorbt; run by the interpreter that has it, see replay_speed.py.

    PYTHON _replay_vectorbt.py FILE.npz ROUNDS

The file has close [T], opens [T] and targets [T, S] (fractions of equity, NaN: no order). Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import numpy as np
import pandas as pd
import vectorbt as vbt
from vectorbt._engine import is_rust_available


def main() -> None:
    warnings.filterwarnings("ignore")
    found = np.load(sys.argv[1])
    index = pd.date_range("2023-01-01", periods=len(found["close"]), freq="h")
    close = pd.Series(found["close"], index=index)
    # An order decided at a close is filled at the next open, as in the account.
    price = pd.Series(np.append(found["open"][1:], found["close"][-1]), index=index)
    targets = pd.DataFrame(found["targets"], index=index)
    seconds = []
    for _ in range(int(sys.argv[2]) + 1):
        begin = time.perf_counter()
        portfolio = vbt.Portfolio.from_orders(
            close,
            targets,
            size_type="targetpercent",
            price=price,
            fees=0.00055,
            slippage=0.0002,
            init_cash=10_000.0,
            freq="1h",
        )
        sharpe = portfolio.sharpe_ratio()
        seconds.append(time.perf_counter() - begin)
    engine = "rust" if is_rust_available() else "numba"
    out = {
        "version": vbt.__version__,
        "engine": engine,
        "first": seconds[0],
        "seconds": seconds[1:],
        "sharpe": float(np.nanmean(sharpe)),
        "orders": int(portfolio.orders.count().sum()),
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
