"""Bad inputs of the command line: what is typed, the exit code, and what the message must say.

`python -m tests.runs.cli.bad_inputs` writes docs/errors.md from what the commands print.
"""

import gzip
import os
import shlex
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from feeds import simulate, write_bars
from runs.cli import main
from tests.runs.cli.test_commands import BARS, BRIEF, TRADED, trade, train

DOCS = Path(__file__).parents[3] / "docs" / "errors.md"
HOUR = 3_600_000
START = 1_704_067_200_000  # 2024-01-01T00:00:00Z


def bring(file, *words):
    return ("data", "import", file, "--symbol", "BTC/USDT:USDT", "--timeframe", "1h", *words)


INPUTS = {
    "nothing stored of another exchange": (
        train("--bars", "binance:BTC/USDT:USDT@1h"),
        1,
        "scorenet fetch BTC/USDT:USDT --exchange binance --timeframe 1h",
    ),
    "unknown market": (train("--bars", "simulated:plantd"), 2, "did you mean 'planted'?"),
    "unknown option of a market": (train("--bars", "simulated:planted?sed=3"), 2, "did you mean 'seed'?"),
    "unknown exchange": (train("--bars", "bybt:BTC/USDT:USDT@1h"), 2, "did you mean 'bybit'?"),
    "unknown timeframe of a source": (train("--bars", "bybit:BTC/USDT:USDT@7x"), 2, "7x"),
    "unknown timeframe of a file": (
        ("data", "import", "few_1h.parquet", "--symbol", "X", "--timeframe", "61m"),
        2,
        "61m",
    ),
    "wrong date": (train("--bars", BARS, "--since", "yesterday"), 2, "yesterday"),
    "nothing stored": (train("--bars", "bybit:BTC/USDT:USDT@1h", "--offline"), 1, "scorenet fetch"),
    "missing file": (train("--bars", "gone.parquet"), 1, "there is no file gone.parquet"),
    "corrupt file": (train("--bars", "corrupt.parquet"), 1, "cannot read corrupt.parquet"),
    "a value is missing": (train("--bars", "nan_1h.csv"), 1, "column 'close': expected a number"),
    "bars are missing": (trade("--bars", "holed_1h.parquet"), 1, "2 bar(s) of 1h missing from 2020-01-02"),
    "unknown trading calendar": (
        train("--bars", "few_1h.parquet", "--calendar", "XNYSE"),
        2,
        "unknown calendar 'XNYSE'; did you mean 'XNYS'?",
    ),
    "a bar on a holiday": (
        ("data", "import", "stock_1d.csv", "--symbol", "SPY", "--timeframe", "1d", "--calendar", "XNYS"),
        1,
        "row 1 (2024-07-04T00:00:00Z), column 'timestamp': XNYS has no session on this day",
    ),
    "nothing stored of a calendar": (
        train("--bars", "XNYS:QQQ@1d"),
        1,
        "scorenet data import FILE --symbol QQQ --timeframe 1d --calendar XNYS",
    ),
    "a calendar for a market without one": (
        train("--bars", BARS, "--calendar", "XNYS"),
        2,
        "found XNYS, but this market never closes",
    ),
    "the same twice": (train("--bars", BARS, "--bars", BARS), 2, "each symbol once"),
    "too few bars to train": (train("--bars", "few_1h.parquet"), 1, "need "),
    "too few bars to trade": (trade("--bars", "simulated:planted?bars=21"), 1, "need 22, have 21"),
    "nothing in the range": (trade("--bars", BARS, "--since", "2031-01-01"), 1, "no bar in"),
    "bars of another size": (trade("--bars", "simulated:planted?timeframe=4h"), 1, "trained on 1h bars"),
    "missing model": (trade("--bars", TRADED, model="gone"), 1, "gone is not a model folder"),
    "damaged model": (trade("--bars", TRADED, model="damaged"), 1, "is not JSON; train the model again"),
    "unknown key of a model": (
        ("train", "--config", "horizn.toml", "--bars", BARS, "--out", "new/model"),
        2,
        "did you mean 'forward.horizon'?",
    ),
    "unknown key of a run": (
        trade("--bars", TRADED, "--config", "typo.toml"),
        2,
        "did you mean 'strategy.confidence_threshold'?",
    ),
    "unknown key in --set": (trade("--bars", TRADED, "--set", "cash_=1"), 2, "did you mean 'cash'?"),
    "unknown model key in --set": (train("--bars", BARS, "--set", "sed=1"), 2, "did you mean 'seed'?"),
    "no value in --set": (trade("--bars", TRADED, "--set", "cash"), 2, "expected key=value, found 'cash'"),
    "a word for a number": (
        trade("--bars", TRADED, "--set", "confidence_threshold=high"),
        2,
        "confidence_threshold: expected a number between 0 and 1, found 'high'",
    ),
    "an impossible account": (
        trade("--bars", TRADED, "--set", "maintenance_margin=0.5"),
        2,
        "maintenance_margin: expected a fraction below 1/margin_leverage",
    ),
    "an impossible leverage": (trade("--bars", TRADED, "--set", "leverage=0"), 2, "leverage: expected"),
    "no settings file": (
        trade("--bars", TRADED, "--config", "gone.toml"),
        2,
        "no settings file at gone.toml",
    ),
    "unknown feature set": (train("--bars", BARS, "--features", "chaptr"), 2, "did you mean 'chapter'?"),
    "a model in a file": (
        ("train", "--config", "brief.toml", "--bars", BARS, "--out", "brief.toml"),
        1,
        "found the file brief.toml",
    ),
    "a model below a file": (
        ("train", "--config", "brief.toml", "--bars", BARS, "--out", "brief.toml/m"),
        1,
        "cannot write the model to brief.toml/m",
    ),
    "a model in a folder of something else": (
        ("train", "--config", "brief.toml", "--bars", BARS, "--out", "taken"),
        1,
        "taken exists and is not a model folder",
    ),
    "a run in a file": (trade("--bars", TRADED, out="brief.toml"), 1, "is a file; choose another --out"),
    "a run below a file": (trade("--bars", TRADED, out="brief.toml/run"), 1, "cannot write"),
    "a run in a folder of something else": (
        trade("--bars", TRADED, out="taken"),
        1,
        "is not a run folder; choose another --out",
    ),
    "a report of nothing": (("report", "gone"), 1, "no run folder at gone"),
    "a report of something else": (("report", "taken"), 1, "is not a run folder"),
    "a check of nothing": (("data", "check", "gone.csv"), 1, "there is no file gone.csv"),
    "a check of bad bars": (("data", "check", "nan_1h.csv"), 1, "row 7"),
    "an export to nowhere": (("data", "export", BARS, "out.xlsx"), 2, "ending in .parquet or .csv"),
    "a proof of too few bars": (
        ("lookahead", "--model", "model", "--bars", "simulated:planted?bars=22"),
        1,
        "need 23, have 22",
    ),
    "a fetch from a wrong date": (("fetch", "BTC/USDT:USDT", "--since", "soon"), 2, "soon"),
    "a fetch from nowhere": (("fetch", "X", "--since", "2024-01-01", "--exchange", "mtgox"), 2, "mtgox"),
    "a fetch of a strange bar size": (
        ("fetch", "BTC/USDT:USDT", "--since", "2024-01-01", "--timeframe", "2y"),
        2,
        "2y",
    ),
    # Bar files of other programs
    "a thousand or three decimals": (
        bring("comma_1h.csv"),
        1,
        "a thousand and more, or a number with three decimals",
    ),
    "day or month first": (bring("slashes_1d.csv"), 1, "--dates dmy"),
    "a time without a zone": (bring("naive_1h.csv"), 1, "--timezone UTC"),
    "no header": (bring("headless_1h.csv"), 1, "--columns timestamp=1,open=2"),
    "no column for a price": (bring("few_columns_1h.csv"), 1, "expected a column for high and low"),
    "two columns for one": (bring("twice_1h.csv"), 1, "'Close' and 'CLOSE' can both be close"),
    "a volume in the other coin": (bring("quote_1h.csv"), 1, "'Volume USDT' may be counted in another"),
    "a rounded time": (bring("rounded_1h.csv"), 1, "is rounded, as spreadsheets do"),
    "two units of time": (bring("units_1h.csv"), 1, "split the file there"),
    "two bar sizes": (bring("sizes_1h.csv"), 1, "25 bars of 4h up to"),
    "an archive of two files": (bring("two_1h.zip"), 1, "expected one file in the archive, found 2"),
    "an archive that is none": (bring("none_1h.zip"), 1, "the archive is damaged"),
    "an archive that unpacks to far too much": (bring("bomb_1h.zip"), 1, "which bars never do"),
    "a damaged feather file": (bring("damaged-1h.feather"), 1, "it is damaged or not a bar file"),
    "a spreadsheet": (bring("bars.xlsx"), 2, "read are also .feather"),
    "a folder": (bring("taken.csv"), 2, "found the folder taken.csv"),
    "an unknown name in --columns": (
        bring("few_1h.parquet", "--columns", "opne=Open"),
        2,
        "did you mean 'open'?",
    ),
    "no column in --columns": (bring("few_1h.parquet", "--columns", "open"), 2, "expected NAME=COLUMN"),
    "a column that is not there": (
        bring("few_1h.parquet", "--columns", "open=First"),
        1,
        "'First' was named for open",
    ),
    "an unknown zone": (
        bring("naive_1h.csv", "--timezone", "Mars/Base"),
        2,
        "timezone: expected a zone such as UTC",
    ),
    # A run again
    "a rerun of nothing": (("rerun", "gone"), 1, "no run folder at gone"),
    "a rerun of something else": (("rerun", "taken"), 1, "is not a run folder"),
    "the config of a live run": (
        ("backtest", "--config", "live.toml", "--out", "new/run"),
        2,
        "expected the config.toml of a backtest, found that of 'live'",
    ),
    "bars that are no list": (
        ("backtest", "--config", "bars.toml", "--out", "new/run"),
        2,
        "bars: expected a list of sources, found 3",
    ),
    "a settings file that is none": (
        trade("--bars", TRADED, "--config", "few_1h.parquet"),
        2,
        "is not a TOML file",
    ),
    # Values
    "a negative fee": (trade("--bars", TRADED, "--set", "taker=-1"), 2, "taker: expected"),
    "no cash": (trade("--bars", TRADED, "--set", "cash=0"), 2, "cash: expected a positive amount"),
    "an unknown signal": (trade("--bars", TRADED, "--signal", "forwrd"), 2, "did you mean 'forward'?"),
    "an unknown position rule": (
        trade("--bars", TRADED, "--set", "position_rule=kely"),
        2,
        "did you mean 'kelly'?",
    ),
    "an earlier name of a setting": (trade("--bars", TRADED, "--set", "fee=0.1"), 2, "is now called 'taker'"),
    "a range that ends before it begins": (
        trade("--bars", TRADED, "--since", "2021-01-09", "--until", "2021-01-02"),
        2,
        "expected since < until",
    ),
    "a plug-in that is not there": (trade("--bars", TRADED, "--plugin", "gone.py"), 2, "gone.py"),
}


def run(words):
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="scorenet")


def prepare(folder, model_dir):
    """Fill a folder with every kind of damaged file."""
    shutil.copytree(model_dir, folder / "model")
    (folder / "brief.toml").write_text(BRIEF)
    (folder / "corrupt.parquet").write_bytes(b"PAR1 this is no parquet PAR1")
    frame = simulate("planted", bars=60)
    write_bars(frame, folder / "few_1h.parquet")
    holed = frame.drop(index=[30, 31]).reset_index(drop=True)
    holed.attrs = dict(frame.attrs)
    write_bars(holed, folder / "holed_1h.parquet")
    frame.loc[7, "close"] = np.nan
    # Rounded: the last digits of simulated prices differ between processors, and the page shows this row.
    frame.round(4).to_csv(folder / "nan_1h.csv", index=False)
    (folder / "typo.toml").write_text("[strategy]\nconfidence_treshold = 0.5\n")
    (folder / "horizn.toml").write_text("[forward]\nhorizn = 5\n")
    (folder / "live.toml").write_text('command = "live"\n')
    (folder / "bars.toml").write_text("bars = 3\n")
    for name in ("taken", "taken.csv"):
        (folder / name).mkdir()
    (folder / "taken" / "thesis.tex").write_text("years of work")
    (folder / "damaged").mkdir()
    (folder / "damaged" / "model.json").write_text('{"format": ')
    _foreign(folder)


def _foreign(folder):
    """Write files of other programs that leave something open."""
    names = "Date,Open,High,Low,Close,Volume"

    def write(name, header, rows):
        lines = [header, *rows] if header else rows
        (folder / name).write_text("\n".join(lines) + "\n")

    bar, times = "100,101,99,100,5", [START // 1000 + 3600 * k for k in range(3)]
    write("comma_1h.csv", names, [f'{t},"1,234","1,300","1,200","1,250","5,000"' for t in times])
    write("slashes_1d.csv", names, [f"0{k}/02/2024,{bar}" for k in (1, 2, 3)])
    write("stock_1d.csv", names, [f"2024-07-0{day},{bar}" for day in (3, 4, 5)])
    write("naive_1h.csv", names, [f"2024-01-01 0{k}:00,{bar}" for k in range(3)])
    write("headless_1h.csv", "", [f"{t},{bar},1,2" for t in times])
    write("few_columns_1h.csv", "Date,Open,Close,Volume", [f"{t},100,100,5" for t in times])
    write("twice_1h.csv", f"{names},CLOSE", [f"{t},{bar},100" for t in times])
    write("quote_1h.csv", "Unix,Open,High,Low,Close,Volume USDT", [f"{t},{bar}" for t in times])
    write("rounded_1h.csv", names, [f"1.704067E+12,{bar}"] * 2)
    write("units_1h.csv", names, [f"{times[0]},{bar}", f"{times[1] * 1000},{bar}"])
    hours = [START + HOUR * k for k in range(48)] + [START + HOUR * (48 + 4 * k) for k in range(25)]
    write("sizes_1h.csv", "timestamp,open,high,low,close,volume", [f"{t},{bar}" for t in hours])
    with zipfile.ZipFile(folder / "two_1h.zip", "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "y")
    (folder / "none_1h.zip").write_bytes(gzip.compress(b"x", mtime=0))
    with zipfile.ZipFile(folder / "bomb_1h.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", "0" * 5_000_000)
    (folder / "damaged-1h.feather").write_bytes(b"ARROW1\0\0 and nothing else")
    (folder / "bars.xlsx").write_bytes(b"PK")


def row(name, folder):
    """Run one input; return its row of docs/errors.md: name, command, exit code, message."""
    words, _, _ = INPUTS[name]
    said = run(words).stderr.strip().replace(str(folder), ".").replace("\n", "<br>").replace("|", "\\|")
    return f"| {name} | `scorenet {shlex.join(map(str, words))}` | {run(words).exit_code} | {said} |"


def page(folder):
    """Return docs/errors.md."""
    head = [
        "# Errors",
        "",
        "An error is one or two lines: what was expected, what was found, what to do. Exit codes: 0 done, 1 failed in",
        "the world (files, network, data, a model), 2 usage, 130 after Ctrl-C. Nothing is written. The table is from",
        "`python -m tests.runs.cli.bad_inputs`; `tests/runs/cli/test_bad_inputs.py` checks every row.",
        "",
        "| what is wrong | command | exit code | message |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *(row(name, folder) for name in INPUTS)]) + "\n"


def _write():
    from runs.markets import as_market
    from scorenet import learn
    from tests.conftest import TINY

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        model = learn([as_market(simulate("planted", seed=5, bars=3_000))], TINY, progress=False)
        prepare(place, model.save(place / "made"))
        shutil.rmtree(place / "made")
        os.chdir(place)
        DOCS.write_text(page(place), "utf-8")


if __name__ == "__main__":
    _write()
