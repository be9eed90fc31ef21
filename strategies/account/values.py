"""What an account is worth: equity, cash, free equity, leverage, and its deposits and withdrawals."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..datas import to_milliseconds
from .bar_clock import latest
from .fill_price import PricedFills
from .holdings import Holding

__all__ = ["AccountValues", "CashFlow"]


class CashFlow(NamedTuple):
    """A deposit (positive) or withdrawal of `amount` at the bar close `time` (UTC ms): part of that bar's equity."""

    time: int
    amount: float


class AccountValues(PricedFills):
    """Report the values of `PerpetualBroker`, all in the settlement coin."""

    def init(self) -> None:
        """Reset the account to its starting cash."""
        super().init()
        self.cash: float = self.p.cash
        self._holdings: dict[Any, Holding] = {}
        self._isolated = False
        self.cash_flows: list[CashFlow] = []

    def _mark(self) -> None:
        """Value the account at the present prices.

        Raises:
            ValueError: the equity is not finite, because of a price. After a fill at it there would be none for ever.
        """
        self._value = self._get_value()
        if not math.isfinite(self._value):
            for holding in self._holdings.values():
                if not all(map(math.isfinite, holding.quote()[:4])):
                    holding.refuse_price()
            raise ValueError(
                f"the account's equity is {self._value}: cash or a mark price is no finite number"
            )

    def _reserved(self) -> float:
        """Return the part of `cash` that belongs to isolated positions."""
        if not self._isolated:
            return 0.0
        return sum(h.margin - h.basis for h in self._holdings.values() if h.isolated)

    def add_cash(self, cash: float) -> None:
        """Deposit `cash` now, or withdraw it if negative, and record it in `cash_flows`: it is no profit and no loss.

        Before the first bar it changes the starting cash.

        Raises:
            ValueError: the margin of open positions needs the cash that would be withdrawn.
        """
        datas = getattr(getattr(self, "cerebro", None), "datas", ())
        now = latest(datas)
        if not now:
            self.set_cash(self.p.cash + cash)
            return
        free = self.free_equity()
        if cash < 0.0 and -cash > free:
            raise ValueError(f"withdrawal: at most {free:,.2f} is not needed as margin, found {-cash:,.2f}")
        self.cash += cash
        self._value += cash
        self.cash_flows.append(CashFlow(int(to_milliseconds(now)), float(cash)))

    def free_equity(self) -> float:
        """Return the equity that no position needs as initial margin (settlement coin)."""
        cross = [h for h in self._holdings.values() if h.position.size and not h.isolated]
        equity = self.cash - self._reserved() + sum(h.position.size * h.mark for h in cross)
        return equity - sum(h.initial(h.position.size * h.mark) for h in cross)

    def get_cash(self) -> float:
        """Return cash: equity less the value of the positions; of inverse contracts, the wallet's balance."""
        inverse = [h for h in self._holdings.values() if h.commission.inverse]
        return self.cash + sum(h.basis for h in inverse) if inverse else self.cash

    getcash = get_cash

    def _get_value(self, datas: Any = None) -> float:
        if datas:
            return sum(
                self.getcommissioninfo(data).value(self.positions[data].size, data.close[0]) for data in datas
            )
        return self.cash + sum(h.position.size * h.mark for h in self._holdings.values())

    def get_value(self, datas: Any = None, mkt: bool = False, lever: bool = False) -> float:
        """Return equity in the settlement coin; with `datas` or `mkt`, the signed value of the positions."""
        if datas is not None:
            return self._get_value(datas)
        if mkt:
            return sum(h.position.size * abs(h.mark) for h in self._holdings.values())
        return self._value

    getvalue = get_value

    def get_leverage(self) -> float:
        """Return gross exposure as a multiple of equity; 0.0 without equity."""
        gross = sum(abs(h.position.size * h.mark) for h in self._holdings.values())
        return gross / self._value if self._value > 0.0 else 0.0
