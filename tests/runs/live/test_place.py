"""Real orders go only where the user has said, and a run folder tells what real position it holds."""

from decimal import Decimal

import pytest
from click.testing import CliRunner

from feeds.errors import BadSource
from feeds.exchange.access import Access, Credentials, host_of, is_loopback
from feeds.exchange.protocol import Venue
from feeds.exchange.registry import find_exchange
from feeds.instruments import Instrument
from runs.cli import main
from runs.live.command import _linear
from runs.live.journal import open_journal
from runs.live.place import check_paper, place_of
from scorenet import ConfigError
from tests.bybit import Deposit, LoopbackBybit
from tests.bybit.fixtures import NOW
from tests.runs.live.real_runs import SYMBOL

BYBIT = find_exchange("bybit")
KEY = Credentials("k", "s")
REAL = "MAINNET, with real money"


@pytest.mark.parametrize(
    ("base_url", "mainnet", "named", "venue", "told"),
    [
        (None, False, None, "testnet", "Bybit's testnet"),
        (None, True, None, "mainnet", REAL),
        ("http://127.0.0.1:8899", False, None, "this machine", "this machine"),
        ("http://[::1]:8899", False, None, "this machine", "this machine"),
        ("http://localhost:8899", False, None, "this machine", "this machine"),
        ("https://api-testnet.bybit.com", False, None, "testnet", "Bybit's testnet"),
        ("https://api-demo.bybit.com", False, None, "demo", "Bybit's demo"),
        ("https://api.bybit.com", True, None, "mainnet", REAL),
        ("https://API.BYTICK.com.:443", True, None, "mainnet", REAL),
        ("https://gate.example.org", False, "gate.example.org", "gate.example.org", "REAL MONEY"),
    ],
)
def test_the_place_is_stated(base_url, mainnet, named, venue, told):
    place = place_of(BYBIT, base_url, mainnet, named)
    assert place.venue == venue
    assert told in place.text


@pytest.mark.parametrize(
    ("base_url", "mainnet", "named", "told"),
    [
        ("https://api.bybit.com", False, None, "pass --mainnet as well"),
        ("https://Api.Bybit.Com.", False, None, "pass --mainnet as well"),
        ("https://api2.bybit.com:8443/", False, None, "pass --mainnet as well"),
        ("https://api.bytick.com", False, None, "pass --mainnet as well"),
        ("https://api.bybit.eu", False, None, "pass --mainnet as well"),
        ("https://api-testnet.bybit.com", True, None, "contradicts"),
        ("https://api.bybit.com.evil.org", True, None, "--order-host api.bybit.com.evil.org"),
        ("https://api-testnet.notbybit.com", False, None, "--order-host"),
        ("https://10.0.0.7", False, None, "--order-host 10.0.0.7"),
        ("https://0.0.0.0", False, None, "--order-host 0.0.0.0"),
        ("https://127.0.0.1.evil.org", False, None, "--order-host"),
        ("https://10.0.0.7", False, "10.0.0.8", "expected the host of --base-url"),
        (None, False, "api.bybit.com", "needs --base-url"),
    ],
)
def test_a_place_that_is_not_stated_is_refused(base_url, mainnet, named, told):
    with pytest.raises(ConfigError, match=told):
        place_of(BYBIT, base_url, mainnet, named)


@pytest.mark.parametrize(
    "host", ["api.bybit.com", "api-testnet.bybit.com", "10.0.0.7", "localhost.evil.org", "2130706433"]
)
def test_a_key_leaves_this_machine_over_tls_only(host):
    with pytest.raises(BadSource, match="expected an https:// base URL"):
        Access(base_url=f"http://{host}", credentials=KEY)
    assert Access(base_url=f"https://{host}", credentials=KEY)
    assert Access(base_url=f"http://{host}"), "data needs no key"


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:port", "http://exämple.org", "http://a b"])
def test_a_url_without_a_plain_host_is_refused(url):
    with pytest.raises(BadSource, match="expected a base URL"):
        Access(base_url=url)


def test_hosts_are_compared_by_name():
    assert host_of("https://API.Bybit.com.:443/") == "api.bybit.com"
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.9.1", "::1")))
    assert not any(map(is_loopback, ("127.1", "10.0.0.1", "localhost.", "example.org")))
    assert BYBIT.venue("bybit.com") is Venue.MAINNET
    assert BYBIT.venue("evilbybit.com") is None
    assert find_exchange("binance").venue("localhost") is Venue.LOCAL


# What a folder tells -------------------------------------------------------------------------------------------


def records_of_real_orders(folder):
    with open_journal(folder) as journal:
        journal.append("reconciled", place="Bybit's testnet", equity="1", positions={})
        for link, filled in (("a", "0.7"), ("b", "-0.057")):
            journal.append("intent", symbol="BTC/USDT:USDT", link_id=link)
            journal.append("outcome", symbol="BTC/USDT:USDT", link_id=link, status="Filled", filled=filled)
        journal.append("intent", symbol="ETH/USDT:USDT", link_id="c")
        journal.append("outcome", symbol="ETH/USDT:USDT", link_id="c", status="unknown", filled="0")


def test_going_on_without_real_orders_says_what_is_held_and_has_to_be_asked_for(tmp_path):
    held = (
        r"on Bybit's testnet; by its journal it holds BTC/USDT:USDT \+0.643, an order in ETH/USDT:USDT whose"
    )
    said = []
    records_of_real_orders(tmp_path)
    with open_journal(tmp_path) as journal:
        with pytest.raises(ConfigError, match=held) as refused:
            check_paper(journal, False, said.append)
        assert "--paper to go on without them" in str(refused.value)
        check_paper(journal, True, said.append)
    assert len(said) == 1
    assert "it is left as it is, because --paper was given" in said[0]


def test_a_folder_of_paper_alone_has_nothing_to_tell(tmp_path):
    with open_journal(tmp_path) as journal:
        check_paper(journal, False, pytest.fail)


def test_the_command_refuses_states_and_records_the_place(tiny_model_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("BYBIT_API_KEY", Deposit().key)
    monkeypatch.setenv("BYBIT_API_SECRET", Deposit().secret)
    monkeypatch.chdir(tmp_path)
    with LoopbackBybit(clock=NOW, speed=1.0, limit=(100_000, 5.0)) as exchange:
        exchange.account.balance = Decimal(10_000)

        def run(base_url, *more):
            asked = ["live", "--model", str(tiny_model_dir), "--symbol", "BTCUSDT", "--max-bars", "0"]
            return CliRunner().invoke(main, [*asked, "--out", "run", "--base-url", base_url, *more])

        for base_url, told in (
            ("https://api.bybit.com", "pass --mainnet as well"),
            ("http://api-testnet.bybit.com", "expected an https:// base URL"),
            ("https://api.example.org", "--order-host api.example.org"),
        ):
            done = run(base_url, "--real-orders")
            assert (done.exit_code, told in done.stderr) == (2, True), done.stderr
        assert not (tmp_path / "run").exists(), "refused before any request"
        done = run(exchange.url, "--real-orders")
        assert done.exit_code == 0, done.stderr
        assert f"real orders go to {exchange.url} (this machine)" in done.stderr
        assert "real account: 24617703; cross margin; one-way mode; leverage BTC/USDT:USDT 10x" in done.stderr
        with open_journal(tmp_path / "run") as journal:
            (session,) = journal.records("session")
            (reconciled,) = journal.records("reconciled")
        assert session["place"] == reconciled["place"] == f"{exchange.url} (this machine)"
        assert reconciled["venue"] == "this machine"
        done = run(exchange.url)
        assert done.exit_code == 2
        assert "by its journal it holds no position" in done.stderr
        assert run(exchange.url, "--paper").exit_code == 0


@pytest.mark.parametrize("text", ["\u201cabc\u201d", "ab\nc", "a b", "\u0430bc", ""])
def test_a_key_that_no_request_can_send_is_refused_without_being_shown(text):
    for pair in ((text, "secret"), ("key", text)):
        with pytest.raises(BadSource, match="copy it again") as raised:
            Credentials(*pair)
        assert not text or text not in str(raised.value)


def test_a_market_without_a_lot_step_takes_no_real_orders():
    class Rules:
        def instrument(self, symbol):
            return Instrument(SYMBOL, "BTCUSDT", "linear", 0.1, 0.0, 0.001, 5.0, 480, None, True)

    with pytest.raises(ConfigError, match=f"needs the lot step of {SYMBOL}"):
        _linear(Rules(), ["BTCUSDT"])
