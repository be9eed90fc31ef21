"""The costs of trading and holding a linear perpetual: fees, order sizes and funding."""

from __future__ import annotations

import math
from array import array
from dataclasses import fields
from datetime import datetime
from typing import Any

import backtrader as bt
import numpy as np

from ..datas import symbol_of, to_milliseconds
from ..sizing import round_to_step
from .contracts import contract_value, worth_of_price
from .costs import Costs
from .risk_tiers import RiskTiers

__all__ = ["FundingLedger", "PerpetualCommission"]

# Without the slippage model: Backtrader calls a commission scheme only after the price of a fill is known.
_TERMS = tuple((item.name, item.default) for item in fields(Costs) if not item.name.startswith("slippage"))


class FundingLedger:
    """Record the funding payments of one run in columns, and the total of each symbol."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove all payments."""
        self._symbols: list[str] = []
        self._dates, self._rates = array("d"), array("d")
        self._positions, self._prices, self._amounts = array("d"), array("d"), array("d")
        self._totals: dict[str, float] = {}

    def add(
        self, symbol: str, date: float, rate: float, position: float, price: float, amount: float
    ) -> None:
        """Record a payment; `date` is a Backtrader date, `amount` is in quote currency and positive if paid."""
        self._symbols.append(symbol)
        self._dates.append(date)
        self._rates.append(rate)
        self._positions.append(position)
        self._prices.append(price)
        self._amounts.append(amount)
        self._totals[symbol] = self._totals.get(symbol, 0.0) + amount

    def total(self, symbol: str) -> float:
        """Return the total of `symbol` so far (quote currency, positive = paid)."""
        return self._totals.get(symbol, 0.0)

    def columns(self) -> dict[str, Any]:
        """Return the columns [N]: time (close of the bar, UTC ms), symbol, rate, position, price, amount."""
        return {
            "time": to_milliseconds(self._dates),
            "symbol": list(self._symbols),
            "rate": np.array(self._rates),
            "position": np.array(self._positions),
            "price": np.array(self._prices),
            "amount": np.array(self._amounts),
        }


class PerpetualCommission(bt.CommInfoBase):
    """Charge a perpetual (Bybit USDT by default) or spot on Backtrader's stock broker or on `PerpetualBroker`.

    Equity is cash + size * price on either side of the market, as for a stock that may be sold short. `contract`
    "inverse" and "spot", `margin_mode`, `risk_tiers`, `tick_size` and `participation` need `PerpetualBroker`.

    *Fees* are a fraction of the traded value. Backtrader passes only the size and price of a fill to a commission
    scheme, not the order. So on the stock broker every fill pays `taker`, even of a limit order, which is never too
    cheap. `PerpetualBroker` knows the order and charges `maker` if a limit order rested in the book.

    *Sizes* are fractional and rounded toward zero to `lot_step`. A size below `min_size` or `min_notional` is 0, so no
    order is sent. `margin_leverage` is the leverage that the exchange allows. It does not multiply sizes:
    `order_target_percent(target=0.5)` holds half of the equity.

    *Funding* is charged at the open of the bar that has the rate, on the position held until then: its value at the
    open * `funding_rate`, positive if paid. The open is the mark price's where the data has one. So a long pays a
    positive rate and a short receives it. Data without a `funding_rate` line have no funding. Each bar is charged once,
    even if another data has a bar in between. The payments of the current run are in `ledger`.

    Params:
      - the fields of `Costs` except `slippage` and `slippage_model`, and their defaults.
      - leverage (None): Backtrader's name for `margin_leverage`.

    Attributes:
        costs: the same values as `Costs`, with the default slippage.
        inverse, spot: whether the contract is of this kind.
        worth: function from a price to the worth of one contract, None if it is the price; see `contracts`.
        tiers: the risk tiers, None without.

    Raises:
        ValueError: a value is outside its range, or `leverage` and `margin_leverage` differ.
    """

    params = (
        *_TERMS,
        ("leverage", None),
        ("stocklike", True),
        ("commtype", bt.CommInfoBase.COMM_PERC),
        ("percabs", True),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.costs = costs = self._read_costs()
        self.inverse, self.spot = costs.contract == "inverse", costs.contract == "spot"
        self.worth = worth_of_price(costs.mult, self.inverse)
        self.tiers = RiskTiers(costs.risk_tiers) if costs.risk_tiers else None
        # Backtrader's own brokers read these two names.
        self.p.commission, self.p.leverage = self.costs.taker, self.costs.margin_leverage
        super().__init__(*args, **kwargs)
        self.ledger = FundingLedger()
        self._charged: dict[int, int] = {}  # by the data's id: two datas may have one name
        self._run: Any = None

    def __getstate__(self) -> dict[str, Any]:
        # A worker process starts its own run, so this object must not be pickled with the strategies of this run.
        return {**vars(self), "_run": None, "worth": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.worth = worth_of_price(self.costs.mult, self.inverse)

    @classmethod
    def of(cls, costs: Costs) -> PerpetualCommission:
        """Return the commission scheme with the values of `costs`, without their slippage."""
        return cls(**{name: getattr(costs, name) for name, _ in _TERMS})

    def _read_costs(self) -> Costs:
        p = self.p
        if p.commission:
            raise ValueError(
                f"PerpetualCommission has taker and maker fees, found commission={p.commission}; set taker"
            )
        if p.leverage is not None:
            if p.margin_leverage not in (Costs.margin_leverage, p.leverage):
                raise ValueError(
                    f"leverage is another name of margin_leverage, found leverage={p.leverage} and "
                    f"margin_leverage={p.margin_leverage}; set margin_leverage only"
                )
            p.margin_leverage = p.leverage
        return Costs(**{name: getattr(p, name) for name, _ in _TERMS})

    def fee(self, size: float, price: float, *, maker: bool = False) -> float:
        """Return the fee of a fill in the settlement coin."""
        price = price if self.worth is None else abs(self.worth(price))
        return abs(size) * price * (self.p.maker if maker else self.p.taker)

    def value(self, size: float, price: float) -> float:
        """Return the signed value of `size` contracts at `price` in the settlement coin."""
        return contract_value(self, size, price)

    def notional(self, size: float, price: float) -> float:
        """Return the value of `size` contracts in quote currency, at least 0; minimum order values are in it."""
        return float(abs(size) * self.p.mult * (1.0 if self.inverse else price))

    def getvaluesize(self, size: float, price: float) -> float:
        """Return what `size` contracts add to equity beside cash (settlement coin)."""
        return size * (price if self.worth is None else self.worth(price))

    def getoperationcost(self, size: float, price: float) -> float:
        """Return the value of an order at a price, without the sign of its side (settlement coin)."""
        return abs(self.value(size, price))

    def profitandloss(self, size: float, price: float, newprice: float) -> float:
        """Return the profit of `size` contracts from `price` to `newprice` in the settlement coin."""
        if self.inverse and price and newprice:
            return float(size * self.p.mult * (1.0 / price - 1.0 / newprice))
        return float(size * (newprice - price) * self.p.mult)

    def _getcommission(self, size: float, price: float, pseudoexec: bool) -> float:
        return self.fee(size, price)

    def round_size(self, size: float, price: float) -> float:
        """Return `size` (signed base units) rounded toward zero to an accepted order size, 0.0 if it is too small."""
        if self.p.max_size and abs(size) > self.p.max_size:
            size = math.copysign(self.p.max_size, size)
        rounded = round_to_step(size, self.p.lot_step)
        if abs(rounded) < self.p.min_size or self.notional(rounded, price) < self.p.min_notional:
            return 0.0
        return rounded

    def is_too_small(self, size: float, price: float) -> bool:
        """Return whether the exchange refuses an order of this size (contracts) as too small."""
        return abs(size) < self.p.min_size or self.notional(size, price) < self.p.min_notional

    def order_size(self, target: float, position: float, price: float) -> float:
        """Return the order size (signed base units) from `position` to `target`; 0.0 if it is too small.

        A target of 0 closes the whole position regardless of the order rules, because exchanges always allow that.
        """
        if target == 0.0:
            return -position if position else 0.0
        return self.round_size(round_to_step(target - position, self.p.lot_step, forgive_dust=True), price)

    def getsize(self, price: float, cash: float) -> float:
        """Return the size (contracts) that `cash` buys at `price`, rounded to a size that the exchange accepts."""
        return self.round_size(cash / self.value(1.0, price), price)

    def begin_run(self, run: Any) -> None:
        """Clear the ledger if `run` is a new run; Cerebro creates a new list of strategies for each run."""
        if self._run is not run:
            self._run = run
            self._charged.clear()
            self.ledger.clear()

    def funding_payment(self, data: Any, size: float) -> float:
        """Record and return the funding of a position of `size` held until this bar's open (quote currency).

        Raises:
            ValueError: the data's funding rate is not a finite number.
        """
        line = getattr(data.lines, "funding_rate", None) if self.p.funding else None
        rate = line[0] if line is not None else 0.0
        if rate == 0.0:
            return 0.0
        if not math.isfinite(rate):
            raise ValueError(
                f"{symbol_of(data)}: funding_rate must be a finite number, found {rate} on the bar closing "
                f"{bt.num2date(data.datetime[0]):%Y-%m-%d %H:%M} UTC; use 0.0 for bars without a settlement"
            )
        self.begin_run(getattr(data._env, "runningstrats", None))
        if self._charged.get(id(data)) == len(data):
            return 0.0
        self._charged[id(data)] = len(data)
        marks = getattr(data.lines, "mark_open", None)
        price = data.open[0] if marks is None else marks[0]
        amount = (size * price if self.worth is None else self.value(size, price)) * rate
        self.ledger.add(symbol_of(data), data.datetime[0], rate, size, price, amount)
        return amount

    def get_credit_interest(self, data: Any, pos: Any, dt: datetime) -> float:
        """Return the funding of this bar; the broker calls this before it fills any order."""
        return self.funding_payment(data, pos.size)
