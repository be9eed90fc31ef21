"""Whatever is wrong with a private answer, it is refused or means the same: never another number."""

import copy
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.bybit import answers
from feeds.exchange.failures import Malformed
from feeds.exchange.order_types import MarketOrder
from feeds.instruments import Instrument

BTC = Instrument("BTC/USDT:USDT", "BTCUSDT", "linear", 0.1, 0.001, 0.001, 5.0, 480, None, True)
ORDER = MarketOrder(instrument=BTC, side="sell", quantity=Decimal("0.5"), link_id="sn-1")

WALLET = {
    "list": [
        {
            "accountType": "UNIFIED",
            "totalEquity": "10000.5",
            "coin": [{"coin": "USDT", "equity": "10000.5", "walletBalance": "10000"}],
        }
    ]
}
POSITION = {
    "category": "linear",
    "list": [
        {
            "symbol": "BTCUSDT",
            "positionIdx": 0,
            "side": "Sell",
            "size": "0.655",
            "avgPrice": "60000.1",
            "leverage": "10",
        }
    ],
}
FILLED = {
    "list": [
        {
            "orderId": "a-1",
            "orderLinkId": "sn-1",
            "symbol": "BTCUSDT",
            "side": "Sell",
            "qty": "0.5",
            "orderStatus": "Filled",
            "cumExecQty": "0.5",
            "cumExecFee": "16.5",
            "avgPrice": "60000",
        }
    ]
}
CUT = {"list": [FILLED["list"][0] | {"orderStatus": "PartiallyFilledCanceled", "cumExecQty": "0.2"}]}
FILLS = {
    "list": [
        {
            "symbol": "BTCUSDT",
            "orderId": "a-1",
            "orderLinkId": "sn-1",
            "side": "Sell",
            "execId": f"fill-{quantity}",
            "execQty": quantity,
            "execPrice": "60000",
            "execFee": "3.3",
            "execTime": "1719750896789",
        }
        for quantity in ("0.2", "0.3")
    ]
}
CREATED = {"orderId": "a-1", "orderLinkId": "sn-1"}
READERS = {
    "wallet": (WALLET, answers.equity),
    # The leverage is shown to the user and changes no order; without one it is unknown.
    "position": (POSITION, lambda result: _without_leverage(answers.position(result, BTC))),
    "positions": (POSITION, lambda result: answers.positions(answers.rows_of(result))),
    "filled": (FILLED, lambda result: answers.order_of(result, ORDER)),
    "cut": (CUT, lambda result: answers.order_of(result, ORDER)),
    "executions": (FILLS, lambda result: answers.executions(answers.rows_of(result), BTC, "sn-1")),
    "created": (CREATED, lambda result: answers.created(result, ORDER)),
    "margin": ({"marginMode": "ISOLATED_MARGIN"}, answers.margin_mode),
}
WRONG = [
    None,
    "",
    " ",
    "NaN",
    "Infinity",
    "1e999",
    "0x1",
    "1_0",
    "٣",
    "-",
    True,
    False,
    [],
    {},
    ["1"],
    {"a": "1"},
]


def _without_leverage(held):
    return held.size, held.price


def places(value, path=()):
    """Return the path of each value inside an answer."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, deeper in inside for found in ((*path, key), *places(deeper, (*path, key)))]


def changed(answer, path, change):
    result = copy.deepcopy(answer)
    parent = result
    for key in path[:-1]:
        parent = parent[key]
    if change == "gone":
        del parent[path[-1]]
    elif change == "twice" and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[path[-1]]))
    elif change == "negative":
        parent[path[-1]] = f"-{parent[path[-1]]}"
    elif change == "other":
        parent[path[-1]] = {"BTCUSDT": "ETHUSDT", "sn-1": "sn-2", "Sell": "sell", "USDT": "USDC"}.get(
            str(parent[path[-1]]), "other"
        )
    elif change != "twice":
        parent[path[-1]] = change
    return result


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_broken_private_answer_is_refused_or_means_the_same(name, data):
    answer, read = READERS[name]
    right = read(answer)
    # The exchange chooses the id of an order or a fill: any text is one. In the list of all positions, any symbol is.
    free = ("orderId", "execId", *(["symbol"] if name == "positions" else []))
    path = data.draw(st.sampled_from([path for path in places(answer) if path[-1] not in free]))
    change = data.draw(st.sampled_from(["gone", "twice", "negative", "other", *WRONG]))
    try:
        found = read(changed(answer, path, change))
    except (Malformed, answers.HedgeMode):
        return
    if found in (None, {}) or (name == "executions" and len(found) < 2):
        # A list that lacks whole rows says that they are not there. No number in it is wrong, but it is not believed
        # at once: see `OrderClient.settle` and `Reconciler`.
        assert change in ([], "gone")
        assert len(path) <= 2
        return
    assert found == right


def test_the_valid_answers_are_read_in_full():
    assert answers.equity(WALLET) == Decimal("10000.5")
    held = answers.position(POSITION, BTC)
    assert (held.size, held.price, held.leverage) == (Decimal("-0.655"), Decimal("60000.1"), 10)
    state = answers.order_of(CUT, ORDER)
    assert (state.filled, state.price, state.fee, state.final) == (
        Decimal("0.2"),
        Decimal(60000),
        Decimal("16.5"),
        True,
    )
    fills = answers.executions(FILLS["list"], BTC, "sn-1")
    assert sum(fill.size for fill in fills) == Decimal("-0.5")


@pytest.mark.parametrize(
    ("reader", "answer"),
    [
        ("wallet", {"list": []}),
        ("wallet", {"list": [{"accountType": "UNIFIED", "coin": []}]}),
        ("wallet", {"list": [{"accountType": "UNIFIED", "coin": [{"coin": "USDT", "equity": ""}]}]}),
        ("position", {"list": []}),
        ("position", {"list": [POSITION["list"][0] | {"side": ""}]}),
        ("position", {"list": [POSITION["list"][0] | {"size": "0"}]}),
        ("position", {"list": [POSITION["list"][0] | {"symbol": "ETHUSDT"}]}),
        ("filled", {"list": [{k: v for k, v in FILLED["list"][0].items() if k != "cumExecQty"}]}),
        ("filled", {"list": [FILLED["list"][0] | {"cumExecQty": "0.4"}]}),
        ("filled", {"list": [FILLED["list"][0] | {"qty": "0.6", "cumExecQty": "0.6"}]}),
        ("filled", {"list": [FILLED["list"][0] | {"orderStatus": "New"}]}),
        ("filled", {"list": [FILLED["list"][0] | {"orderStatus": "Invented"}]}),
        ("created", {"orderId": "a-1", "orderLinkId": "sn-2"}),
    ],
)
def test_what_does_not_fit_is_no_answer(reader, answer):
    with pytest.raises(Malformed, match=r"expected|but"):
        READERS[reader][1](answer)
