"""Real bars for the benchmarks: hourly Bybit perpetuals, with funding and open interest where the files exist."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from feeds import load_bars
from runs.markets import as_market
from scorenet import Market

__all__ = ["add_data_option", "load_markets", "milliseconds"]

_DEFAULT = Path(__file__).resolve().parents[1] / "../shared/data/bybit"


def add_data_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, default=_DEFAULT, help="folder of {BTC,ETH,SOL,BNB}USDT_1h.parquet"
    )


def load_markets(folder: Path, names: tuple[str, ...]) -> list[Market]:
    """Load the complete histories; end the program with a message if a file is missing."""
    paths = [folder / f"{name}USDT_1h.parquet" for name in names]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        sys.exit(
            f"no {', '.join(missing)} in {folder}: name the folder with --data, or get bars with `scorenet fetch`"
        )
    return [as_market(load_bars(str(path))) for path in paths]


def milliseconds(day: str) -> int:
    return int(pd.Timestamp(day, tz="UTC").timestamp() * 1000)
