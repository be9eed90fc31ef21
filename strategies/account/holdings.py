"""One position of an account: its size, its mark price, its margin, and the bars of its data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

from scorenet.base.times import DAY_MS, iso, whole_ms

from ..datas import bar_milliseconds, symbol_of
from .margin import Leg
from .perpetual import PerpetualCommission

__all__ = [
    "Holding",
    "MarginBook",
    "Quote",
    "Stake",
    "equity_and_maintenance",
    "is_margined",
    "only_reduces",
    "split_trade",
]

_CLOSE_CALL = 1e-9
"""Share of all amounts within which rounding could decide: a sum of a million terms is accurate to 1e-10 of them."""


class Quote(NamedTuple):
    """Prices (quote currency) and volume of the bar in which an order may be filled."""

    open: float
    high: float
    low: float
    close: float
    volume: float


class Holding:
    """A data with its position, its commission scheme and its last mark price.

    `last`, `mark` and all prices that methods take and return are the worth of one contract (settlement coin): the
    price itself for a linear contract with a `mult` of 1, see `contracts.worth_of_price`. `owner` and `tradeid` are
    those of the last fill, so that the strategy is notified of a liquidation. `margin` and `basis` are the margin and
    the cost of the present position; only isolated positions have margin of their own.
    """

    def __init__(self, data: Any, position: Any, commission: PerpetualCommission) -> None:
        self.data, self.position, self.commission = data, position, commission
        costs = commission.costs
        self.worth, self.tiers = commission.worth, commission.tiers
        self.isolated, self.spot = costs.margin_mode == "isolated" and not commission.spot, commission.spot
        self.rate = 0.0 if self.spot else costs.maintenance_margin
        self.leverage = 1.0 if self.spot else costs.margin_leverage
        # The mark price decides on margin where the data has one; fills are at traded prices.
        names = ("mark_open", "mark_high", "mark_low", "mark_close")
        self.marked = all(hasattr(data.lines, name) for name in names)
        self.open, self.high, self.low, self.close = (
            getattr(data.lines, name) for name in (names if self.marked else ("open", "high", "low", "close"))
        )
        self.participation = costs.participation
        self.replayed = bool(getattr(data, "replaying", False))
        self.seen = len(data)
        self.fresh = False
        self.stamp = self.before = data.datetime[0]
        self.length = _bar_days(data)
        self.last = self.mark = self.worth_of(self.close[0])
        self.margin = self.basis = self.traded = 0.0
        self.owner: Any = None
        self.tradeid = 0

    def worth_of(self, price: float) -> float:
        """Return the worth of one contract at a price."""
        return price if self.worth is None else self.worth(price)

    def quote(self) -> Quote:
        """Return the prices and the volume of the present bar; of a replayed bar, of its newest part only."""
        data = self.data
        if self.replayed and data.tick_open is not None:
            return Quote(data.tick_open, data.tick_high, data.tick_low, data.tick_close, data.tick_volume)
        return Quote(data.open[0], data.high[0], data.low[0], data.close[0], data.volume[0])

    def refuse_price(self) -> NoReturn:
        """Raise the error that names the present bar and its prices, which are no numbers."""
        opening, high, low, close, _ = self.quote()
        raise ValueError(
            f"{symbol_of(self.data)}: the bar that closes at {iso(whole_ms(self.data.datetime[0]))} must have finite "
            f"prices, found open {opening:g}, high {high:g}, low {low:g}, close {close:g}; no account can be valued at "
            "them: remove such bars before you add the data, from a pandas frame with frame.dropna()"
        )

    def turn_bar(self) -> None:
        """Mark the position at the open of a new bar; without a new bar it keeps the last close."""
        bars = len(self.data)
        self.fresh = bars != self.seen or (self.replayed and self.data.datetime[0] != self.stamp)
        self.seen = bars
        self.last = self.mark
        if self.fresh:
            self.before, self.stamp = self.stamp, self.data.datetime[0]
            self.traded = 0.0
            opening = self.quote().open if self.replayed else self.open[0]
            self.mark = opening if self.worth is None else self.worth(opening)

    def opened(self) -> float:
        """Return when the present bar opened (Backtrader date): before that, nobody could trade at its prices."""
        return max(self.before, self.stamp - self.length)

    def adverse(self) -> float:
        """Return the worst price of the bar for the position: the low for a long, the high for a short."""
        if not self.fresh:
            return self.mark
        if self.replayed:
            quote = self.quote()
            worst = quote.low if self.position.size > 0 else quote.high
        else:
            worst = self.low[0] if self.position.size > 0 else self.high[0]
        return worst if self.worth is None else self.worth(worst)

    def leg(self, start: float, end: float) -> Leg:
        """Return the position for a price move from `start` to `end`."""
        return Leg(self.position.size, start, end, self.rate, self.tiers)

    def initial(self, value: float) -> float:
        """Return the initial margin of a position value."""
        return (
            abs(value) / self.leverage
            if self.tiers is None
            else self.tiers.initial(abs(value), self.leverage)
        )

    def stake(self) -> Stake:
        """Return the present position and its margin."""
        return Stake(self.position.size, self.mark, self.margin, self.basis)


class Stake(NamedTuple):
    """A position of `size` contracts valued at `mark`; `margin` and `basis` are its own margin and its cost."""

    size: float
    mark: float
    margin: float
    basis: float

    def after(self, holding: Holding, size: float, price: float, mark: float) -> Stake:
        """Return the position after a trade of `size` contracts at the price `price`, valued at `mark`."""
        margin, basis, held = self.margin, self.basis, self.size
        kept, size = split_trade(held, size)
        margin, basis, held = margin * kept, basis * kept, held * kept
        if size:
            basis += size * price
            if holding.isolated:
                total = held + size
                margin += holding.initial(total * price) * (size / total)
        return Stake(held + size, mark, margin, basis)


def split_trade(held: float, size: float) -> tuple[float, float]:
    """Return the share of the position `held` that a trade of `size` keeps, and the part of the trade that opens."""
    if held * size >= 0.0:
        return 1.0, size
    return max(0.0, 1.0 - abs(size) / abs(held)), 0.0 if abs(size) <= abs(held) else held + size


def equity_and_maintenance(cash: float, positions: Iterable[tuple[Holding, float]]) -> tuple[float, float]:
    """Return equity and maintenance margin of `cash` and (holding, price) pairs, in the settlement coin."""
    need = 0.0
    for holding, price in positions:
        value = holding.position.size * price
        cash += value
        need += abs(value) * holding.rate if holding.tiers is None else holding.tiers.maintenance(abs(value))
    return cash, need


def only_reduces(held: float, size: float) -> bool:
    """Return whether an order of `size` reduces the position `held` without flipping it (contracts)."""
    return held * size < 0.0 and abs(size) <= abs(held)


def is_margined(cash: float, book: Mapping[Holding, Stake]) -> bool:
    """Return whether equity covers the initial margin; the margin of isolated positions is set apart."""
    equity, need = cash, 0.0
    for holding, (size, mark, margin, basis) in book.items():
        if holding.isolated:
            equity -= margin - basis
            continue
        value = size * mark
        equity += value
        need += holding.initial(value)
    return equity >= need


class MarginBook:
    """The stakes of an account while several orders change them: each order costs the same for any number of symbols.

    The sum of all stakes' equity less their initial margin is kept, and an order replaces only the part of its own
    holding. The kept sum is rounded in another order than that of `is_margined`; where the difference could decide,
    `is_margined` does. So the answers are the same.
    """

    def __init__(self, stakes: dict[Holding, Stake]) -> None:
        self.stakes = stakes
        self._spare: float | None = None
        self._amounts = 0.0

    def put(self, holding: Holding, stake: Stake) -> None:
        """Set the stake of a holding."""
        if self._spare is not None:
            self._spare += self._part(holding, stake) - self._part(holding, self.stakes[holding])
        self.stakes[holding] = stake

    def carries(self, cash: float, holding: Holding, stake: Stake) -> bool:
        """Return whether equity would cover the initial margin with this cash and this stake; nothing is changed."""
        if self._spare is None:
            self._spare = sum(self._part(*entry) for entry in self.stakes.items())
        before = self.stakes[holding]
        spare = cash + (self._spare + self._part(holding, stake) - self._part(holding, before))
        if abs(spare) > _CLOSE_CALL * (abs(cash) + self._amounts):
            return spare > 0.0
        return is_margined(cash, {**self.stakes, holding: stake})

    def _part(self, holding: Holding, stake: Stake) -> float:
        """Return what a stake adds to equity less initial margin, and count the amounts in it."""
        size, mark, margin, basis = stake
        if holding.isolated:
            self._amounts += abs(margin) + abs(basis)
            return basis - margin
        value = size * mark
        need = holding.initial(value)
        self._amounts += abs(value) + need
        return value - need


def _bar_days(data: Any) -> float:
    try:
        return bar_milliseconds(data) / DAY_MS
    except ValueError:  # bars without a fixed length
        return math.inf
