"""The report: one file that loads nothing, agrees with metrics.json, and can be built for every kind of run."""

import json
import re
import shutil
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from runs.folder.contents import LoadedRun
from runs.folder.frames import conform, empty_frame
from runs.folder.rundir import CorruptRun, NotARunDir, RunDir, RunDirMissing
from runs.metric_rows import figure, show
from runs.report.build import render_report, write_report
from runs.report.verdict import verdict
from runs.statistics import compute_metrics
from scorenet.calendars import AlwaysOpen
from tests.runs.synthetic_run import HOSTILE, make_run

VARIANTS = {
    "normal": {"bars": 24 * 40},
    "idle": {"trade": False},
    "flat": {"trade": False, "flat": True},
    "one": {"bars": 1},
    "ten": {"bars": 10},
    "ruin": {"ruin": True, "bars": 24 * 20},
    "many": {"bars": 22, "symbols": tuple(f"S{i}/USDT:USDT" for i in range(9))},
    "hostile": {"bars": 22, "symbols": ("BTC", "ETH"), "text": HOSTILE},
    "no model": {"bars": 30, "model": False},
}
PANELS = [
    "verdict",
    "equity",
    "drawdown",
    "costs",
    "prices",
    "in-distribution",
    "exposure",
    "decisions",
    "ranks",
    "metrics",
    "model",
    "provenance",
    "tearsheet",
]
VOID = {"meta", "link", "img", "br", "hr", "input", "base", "source", "embed", "area", "col", "wbr"}


class Page(HTMLParser):
    """Collect the elements of a page; raise an error if its tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.ids, self.cards, self.texts, self.open = [], [], [], {}, [], []
        self.card = None
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.note(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.note(tag, attrs)

    def note(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        found = dict(attrs)
        self.ids.append(found.get("id"))
        self.card = found.get("data-metric", self.card)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.card and self.open and self.open[-1] == "b":
            self.cards[self.card] = data
            self.card = None


@pytest.fixture(scope="module", params=VARIANTS)
def report(request, tmp_path_factory):
    folder = make_run(**VARIANTS[request.param]).write(tmp_path_factory.mktemp("run") / "run")
    path = write_report(folder)
    return folder, path, path.read_text(encoding="utf-8")


def assert_loads_nothing(text, page):
    assert not {"script", "link", "iframe", "object", "embed", "img", "base", "form", "video", "audio"} & set(
        page.tags
    )
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name.split(":")[-1] in {"src", "href", "srcset", "action", "data", "poster", "background"}:
            assert value.startswith("#"), (tag, name, value)
        assert "://" not in value or HOSTILE in value, (tag, name, value)
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*['\"]?([^)]*)", text))
    assert "@import" not in text


def test_the_page_is_one_file_that_loads_nothing(report):
    _, path, text = report
    page = Page(text)
    assert path.name == "report.html"
    assert_loads_nothing(text, page)
    policy = [
        v for tag, name, v in page.attributes if tag == "meta" and name == "content" and "default-src" in v
    ]
    assert policy == [policy[0]]
    assert policy[0].startswith("default-src 'none'")
    assert len(text) < 5_000_000


def test_every_panel_is_there_once(report):
    page = Page(report[2])
    found = [name for name in page.ids if name]
    assert [name for name in found if name in PANELS] == PANELS
    assert len(found) == len(set(found))


def test_headline_figures_are_those_of_metrics_json(report):
    folder, _, text = report
    metrics = json.loads((folder / "metrics.json").read_text())
    cards = Page(text).cards
    assert len(cards) == 9
    for key, shown in cards.items():
        value = figure(key, metrics)
        if value is None:
            assert shown == "–"
            continue
        number = float(shown.replace("−", "-").replace(",", "").rstrip(" %")) / (
            100 if shown.endswith("%") else 1
        )
        assert number == pytest.approx(
            value, abs=0.00051 if shown.endswith("%") else 0.51 if abs(value) > 1e5 else 0.0051
        )


def test_the_table_has_every_figure_beside_buy_and_hold(report):
    folder, _, text = report
    metrics = json.loads((folder / "metrics.json").read_text())
    for key, kind in (("calmar_ratio", "ratio"), ("turnover", "times"), ("avg_confidence", "ratio")):
        pair = (figure(key, metrics), figure(key, metrics["benchmark"], metrics))
        assert "".join(f"<td>{show(kind, value)}</td>" for value in pair) in text


@pytest.mark.parametrize(("bars", "shown"), [(3, False), (15, False), (24 * 29, False), (24 * 30, True)])
def test_below_thirty_days_no_figure_a_year_is_shown(tmp_path, bars, shown):
    text = write_report(make_run(bars=bars).write(tmp_path / "run")).read_text(encoding="utf-8")
    cards = Page(text).cards
    assert (cards["sharpe_ratio"] != "–") is (cards["sortino_ratio"] != "–") is shown
    assert cards["total_return"] != "–"
    said = ("Below 30 days no figure a year is shown", "too short for any figure a year")
    assert all((sentence in text) is not shown for sentence in said)


@pytest.mark.parametrize(
    ("symbols", "unit"), [(["BTC/USDT:USDT"], "USDT, cumulative"), (["BTC/USD:BTC"], "BTC, cumulative")]
)
def test_money_has_the_name_of_its_coin(tmp_path, symbols, unit):
    made = make_run(bars=60)
    for series, symbol in zip(made.manifest["data"], symbols, strict=False):
        series["symbol"] = symbol
    made.manifest["data"] = made.manifest["data"][: len(symbols)]
    text = write_report(made.write(tmp_path / "run")).read_text(encoding="utf-8")
    assert unit in text
    assert "Quote currency" not in text


def test_input_is_text_and_never_markup(tmp_path):
    text = write_report(make_run(**VARIANTS["hostile"]).write(tmp_path / "run")).read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "<script" not in text
    assert "<img" not in text
    whole = "".join(Page(text).texts)
    for place in (
        f"BTC{HOSTILE}",
        f"forward{HOSTILE}",
        f"data/BTC{HOSTILE}",
        f"models/btc{HOSTILE}",
        f"filled {HOSTILE}",
    ):
        assert place in whole


def test_names_from_a_broken_file_system_are_written(tmp_path):
    made = make_run(bars=12)
    made.manifest["command"] = made.config["model"] = "\x00\udc80\u202e"
    folder = made.write(tmp_path / "run")
    assert "\ufffd\ufffd\ufffd" in write_report(folder).read_text(encoding="utf-8")


def test_only_the_folder_is_read_and_the_page_is_the_same_again(tmp_path, capfd):
    folder = make_run(bars=24 * 30).write(tmp_path / "run")
    first = write_report(folder).read_bytes()
    shutil.move(folder, tmp_path / "elsewhere")
    assert write_report(tmp_path / "elsewhere").read_bytes() == first
    assert capfd.readouterr() == ("", "")


def test_without_quantstats_our_panels_are_written(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "quantstats"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "quantstats", None)
    text = write_report(make_run(bars=24 * 31).write(tmp_path / "run")).read_text(encoding="utf-8")
    assert "pip install &#x27;scorenet[report]&#x27;" in text
    assert [name for name in Page(text).ids if name in PANELS] == PANELS


def test_warnings_of_the_run_and_of_the_report_are_shown(tmp_path):
    made = make_run(bars=22)
    refused = made.tables["orders"].head(1).assign(status="margin", size=0.0, fee=0.0, slippage=0.0)
    forced = made.tables["orders"].head(1).assign(liquidation=True)
    made.tables["orders"] = pd.concat([made.tables["orders"], refused, forced])
    made.manifest["warnings"] = ["the data has 3 gaps"]
    made.metrics["total_return"] += 0.5
    text = write_report(made.write(tmp_path / "run")).read_text(encoding="utf-8")
    assert "the data has 3 gaps" in text
    assert "1 order(s) ended as margin" in text
    assert "1 position(s) were liquidated" in text
    assert "metrics.json says a total return of" in text


def test_a_clean_run_has_no_warnings_box(report):
    folder, _, text = report
    warned = json.loads((folder / "manifest.json").read_text())["warnings"]
    assert ('id="warnings"' in text) == bool(warned)


def test_figures_of_later_commands_are_listed(tmp_path):
    made = make_run(bars=24)
    made.metrics |= {"deflated_sharpe": 0.4321, "n_trials": 64}
    text = write_report(made.write(tmp_path / "run")).read_text(encoding="utf-8")
    assert "deflated_sharpe</th><td>0.4321" in text


def test_a_year_of_minutes_stays_a_small_page():
    bars, rng = 525_600, np.random.default_rng(0)
    times = pd.date_range("2024-01-01 00:01", periods=bars, freq="1min", tz="UTC")
    close = 6e4 * np.exp(np.cumsum(rng.normal(0, 6e-4, bars)))
    equity = 1e4 * np.exp(np.cumsum(rng.normal(0, 2e-4, bars)))
    columns = {"time": times, "equity": equity, "cash": equity, "exposure": np.sign(rng.normal(size=bars))}
    numbers = dict.fromkeys(("score", "signal", "log_density", "target", "position"), 0.5)
    rows = {"time": times, "symbol": "BTC", "close": close, **numbers, "confidence": 0.5, "reason": "hold"}
    tables = {name: empty_frame(name) for name in ("orders", "trades", "funding")}
    tables["equity"] = conform(
        "equity", pd.DataFrame(columns | {"drawdown": 0.0, "benchmark": close / close[0] * 1e4})
    )
    tables["decisions"] = conform(
        "decisions",
        pd.DataFrame(rows | {"density_rank": rng.random(bars), "in_distribution": rng.random(bars) > 0.1}),
    )
    metrics = compute_metrics(**tables, clock=AlwaysOpen(60_000))
    text = render_report(LoadedRun(metrics, {}, {}, **tables))
    assert 100_000 < len(text) < 5_000_000
    assert [name for name in Page(text).ids if name in PANELS] == PANELS


def test_folders_that_are_no_runs_are_refused(tmp_path):
    with pytest.raises(RunDirMissing):
        write_report(tmp_path / "nowhere")
    with pytest.raises(NotARunDir):
        write_report(tmp_path)
    folder = make_run(bars=12).write(tmp_path / "run")
    RunDir.open(folder).write_frame("equity", empty_frame("equity"))
    with pytest.raises(CorruptRun, match="no row"):
        write_report(folder)
    broken = make_run(bars=12).tables["equity"].assign(benchmark=np.nan)
    RunDir.open(folder).write_frame("equity", broken)
    with pytest.raises(CorruptRun, match="not finite"):
        write_report(folder)
    (folder / "decisions.parquet").unlink()
    with pytest.raises(RunDirMissing, match=r"decisions\.parquet"):
        write_report(folder)
    assert not (folder / "report.html").exists()


def test_the_verdict_is_in_plain_words():
    metrics = {
        "total_return": 0.123,
        "max_drawdown": -0.08,
        "n_orders": 40,
        "fees": 10.0,
        "funding": 2.0,
        "slippage": 3.5,
        "sharpe_ratio": 0.9,
        "periods_per_year": 8760.0,
        "bars": 8761,
        "in_distribution_ratio": 0.9,
        "benchmark": {"total_return": -0.2, "max_drawdown": -0.4},
    }
    first, costs, doubt, novelty = verdict(metrics, {}, currency="USDT")
    assert first == (
        "The strategy returned +12.30 % where buy-and-hold returned −20.00 %; "
        "its deepest drawdown was −8.00 % against −40.00 %."
    )
    assert costs == "40 orders cost 15.50 USDT in fees, funding and slippage."
    assert (
        doubt
        == "The Sharpe ratio of bars, 0.90 ± 1.00 (one standard error), is not significantly different from zero."
    )
    assert "90.0 %" in novelty
    idle = verdict(metrics | {"n_orders": 0, "total_return": 0.0}, {"out_of_distribution": 90, "warmup": 10})
    assert idle[0].startswith("The strategy never traded; buy-and-hold returned −20.00 %.")
    assert "on 90% of the bars, was a market state outside the training distribution" in idle[0]
    small = verdict(metrics | {"n_orders": 0, "total_return": 0.0}, {"hold": 90, "warmup": 10})
    assert "on 90% of the bars, was a change of the target inside its rebalance_band or cost_band" in small[0]
    for reason, cause in (
        ("kill_switch", "its kill switch"),
        ("drawdown_stop", "its drawdown stop"),
        ("below_minimum", "a size below the exchange's smallest order"),
        ("expired", "a model trained too long ago (expire_after)"),
        ("drift", "its drift alarm"),
        ("halted", "a halted account"),
    ):
        halted = verdict(metrics | {"n_orders": 0, "total_return": 0.0}, {reason: 90, "warmup": 10})
        assert f"was {cause}." in halted[0]
    account = {"cash": 1.0, "min_notional": 5.0, "lot_step": 0.001, "min_size": 0.0}
    tiny = verdict(
        metrics | {"n_orders": 0, "total_return": 0.0}, {"hold": 60, "below_minimum": 40}, account, 60_000.0
    )
    # 0.001 units at 60,000 are worth 60, more than min_notional.
    assert "The cause, on 40% of the bars, was a size below the exchange's smallest order" in tiny[0]
    assert (
        "began with 1.00, an order needs at least 60.00 (min_notional 5; 0.001 units at 60,000.00)" in tiny[0]
    )
    assert verdict(metrics | {"total_return": -1.0}, {})[0].startswith("The account was ruined")
