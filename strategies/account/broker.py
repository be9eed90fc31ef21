"""A simulated exchange account for perpetuals and spot: orders, margin checks, and the order of events in a bar."""

from __future__ import annotations

from typing import Any

from backtrader.order import Order

from ..datas import HALF_SECOND
from .bar_clock import date_decision, is_invented
from .fill_price import STOPS, had_to_wait
from .holdings import Holding, MarginBook, only_reduces
from .path import BarPath, fills_at_open, is_touched

__all__ = ["PerpetualBroker"]


class PerpetualBroker(BarPath):
    """Simulate one account of perpetuals or spot: `cerebro.setbroker(PerpetualBroker(...))`.

    *Equity* (`getvalue()`) is cash + sum(size * close) for long and short positions. A purchase lowers cash by its full
    value, and a short sale raises it. So cash is negative for a long position above 1x leverage. Leverage affects only
    the margin rules.

    *Fills.* An order decided at a bar's close is filled in the next bar of its data. A market order is filled at the
    open plus the full slippage, even if that price is outside the bar's range. Stop orders have slippage too. A limit
    order is never filled at a price worse than its limit, and pays the maker fee if it rested in the book. There is no
    closing auction, so `Order.Close` is an error, as are cheat-on-close, cheat-on-open and order histories.

    *Order of events.* What happens inside a bar is unknown, so the account takes the worse: see `path`. An order is
    filled only in a bar that opened at its decision or later, and not in a bar that was added where bars are missing.

    *Margin.* After a trade with its fee and slippage, equity must cover the initial margin of all positions. This is
    checked when the order is submitted (at the close of the decision) and again at the fill. An order that only
    reduces a position always passes. If a flip fails the check at the fill, the old position is closed, no new one is
    opened, and the order's status is Margin. An isolated position has its own margin and can lose no more.

    *Funding.* It is charged at a bar's open on the position held until then, before that bar's fills. It is not part of
    any fee.

    *Liquidation.* An account with positions is checked at each open, and at the bar's adverse extremes: all longs at
    their lows and all shorts at their highs at the same time. This is too strict for a hedged account, but never too
    favourable. If equity falls to the maintenance margin, all positions are closed and all open orders canceled. If the
    open is already beyond that point, the closing price is the open. If the open is also beyond bankruptcy, it is the
    price at which equity was 0. The remaining equity, at most the maintenance margin, is the liquidation fee. So equity
    is 0 afterwards and never negative; the insurance fund covers the rest. The closing orders have
    `order.info.liquidation = True`. Partial liquidation is not modelled.

    *Settlement.* A market that has no more bars while others go on is settled at its last price with the taker fee;
    the closing order has `order.info.settlement = True`.

    *Ruin.* Without equity every order is Rejected. Backtrader's TimeReturn, and analyzers based on it, divide by equity
    and fail from then on; `EquityCurve`, `Sharpe`, `Sortino` and `Drawdown` do not.

    *Fund mode* is an error, because it books funding as a withdrawal by the investor and hides it from returns.

    Params:
      - cash (10000.0): starting equity in the settlement coin.
      - costs (None): `Costs` of the account; None takes the defaults.
      - slippage (None): fraction of the price lost on every market and stop order; None takes it from `costs`.
      - slippage_model (None): name of the slippage model; None takes it from `costs`.
      - commission (None): the default `PerpetualCommission`; None creates it from `costs`.
      - checksubmit (True): check the margin at submission as well as at the fill.
      - filler (None): Backtrader's volume filler, for partial fills.

    Attributes:
      - liquidations: positions closed by liquidation in this run.
      - settlements: `Settlement` of each market that ended.
      - cash_flows: `CashFlow` (time in UTC ms, amount) of each deposit and withdrawal.
      - rejections: number of refused orders by reason, which is also in `order.info.reason`.
      - orders_in_filled_bars: number of orders that met an invented bar and had to wait.
      - insurance: losses beyond equity, which the insurance fund covered (quote currency). It is not 0 only if a single
        fee, slippage or funding payment exceeded the remaining equity.
    """

    def init(self) -> None:
        """Reset the account to its starting cash; called by the constructor and at the start of each run."""
        super().init()
        self._waited: set[int] = set()
        self._sent: dict[Any, list[Any]] | None = None

    @property
    def orders_in_filled_bars(self) -> int:
        """Return how many orders met a bar that was added where bars are missing, and had to wait."""
        return len(self._waited)

    def notes(self) -> list[str]:
        """Return what happened to the account in this run, one sentence each."""
        said = [
            f"{s.symbol} has no more bars: {s.size:g} contracts were settled at its last price {s.price:g}."
            for s in self.settlements
            if s.size
        ]
        if self._waited:
            said.append(
                f"{len(self._waited)} orders met a bar that was added where bars are missing, and had to wait."
            )
        said += [
            f"{count} orders were refused: {reason}." for reason, count in sorted(self.rejections.items())
        ]
        return said

    def next(self) -> None:
        """Process one bar: submissions, funding, liquidation at the open, fills, liquidation in the bar, marking."""
        self._sent = None
        while self._toactivate:
            self._toactivate.popleft().activate()
        if self.submitted:
            self.check_submitted()
        if self._holdings:
            self._open_bar()
        if self.pending:
            self._fill_pending()
        if self._holdings:
            self._close_bar()
        self._mark()

    # Orders -------------------------------------------------------------------------------------------------

    def submit(self, order: Any, check: bool = True) -> Any:
        """Queue an order for the next bar, or reject it with the reason in `order.info.reason`.

        Raises:
            ValueError: the order is an `Order.Close`, or its market settles in another coin than the account's.
        """
        if order.exectype == Order.Close:
            raise ValueError(
                "Order.Close waits for the end of a session, and a perpetual has none; "
                "send a market order: it fills at the next bar's open"
            )
        date_decision(order)
        reason = self._refusal(order)
        if reason:
            self._reject(order, reason)
            return order
        return super().submit(order, check)

    def _refusal(self, order: Any) -> str | None:
        """Return why the exchange would not accept an order, None if it would."""
        if self._value <= 0.0:
            return "ruined"
        if order.data in self._over:
            return "delisted"
        holding = self._hold(order.data)
        held, size, price = holding.position.size, order.created.size, order.created.price
        if only_reduces(held, size) and abs(held + size) <= 1e-9 * abs(held):
            return None  # a position can always be closed
        if holding.commission.is_too_small(size, price or holding.close[0]):
            return "below_minimum"
        if holding.spot and size < 0.0 and order.exectype == Order.Market and order.parent is None:
            held += sum(other.executed.remsize for other in self._open_orders(order.data) if other.alive())
            if held + size < -1e-9 * abs(size):
                return "short_on_spot"
        return None

    def _open_orders(self, data: Any) -> list[Any]:
        """Return the orders of a data that were open at the last bar or sent since; some may be canceled by now."""
        if self._sent is None:
            self._sent = {}
            for order in (*self.pending, *self.submitted):
                self._sent.setdefault(order.data, []).append(order)
        return self._sent.get(data, [])

    def transmit(self, order: Any, check: bool = True) -> Any:
        """Queue an order; called by `submit`."""
        if self._sent is not None:
            self._sent.setdefault(order.data, []).append(order)
        return super().transmit(order, check)

    def _reject(self, order: Any, reason: str) -> None:
        self.rejections[reason] += 1
        order.addinfo(reason=reason)
        order.reject()
        self.notify(order)

    def check_submitted(self) -> None:
        """Check the margin of the submitted orders, in their order, at the last close; accept or reject each."""
        cash = self.cash
        book = MarginBook({h: h.stake() for h in self._holdings.values()})
        while self.submitted:
            order = self.submitted.popleft()
            if self._take_children(order) is None:
                continue
            holding = self._holdings.get(order.data)
            if holding is None:  # the market ended after the order was sent
                self._reject(order, "delisted")
                continue
            before = book.stakes[holding]
            size = order.executed.remsize
            price = order.created.price
            worth = holding.worth_of(price)
            after_cash = cash - size * worth - holding.commission.fee(size, price)
            after = before.after(holding, size, worth, worth)
            fits = only_reduces(before.size, size) or (
                self._within_limit(holding, after.size * worth) and book.carries(after_cash, holding, after)
            )
            # A bracket's exit orders become active only after its entry.
            if fits and order.active():
                cash = after_cash
                book.put(holding, after._replace(mark=before.mark))
            if fits:
                self.submit_accept(order)
            else:
                self._refuse_for_margin(order)

    @staticmethod
    def _within_limit(holding: Holding, value: float) -> bool:
        return holding.tiers is None or abs(value) <= holding.tiers.limit

    def _refuse_for_margin(self, order: Any) -> None:
        self.rejections["margin"] += 1
        order.addinfo(reason="margin")
        order.margin()
        self.notify(order)
        self._ococheck(order)
        self._bracketize(order, cancel=True)

    # Fills --------------------------------------------------------------------------------------------------

    def _fill_pending(self) -> None:
        """Fill what can be filled at the open, then what the range of the bar reaches."""
        touched = []
        self._margins = None
        self.pending.append(None)
        while (order := self.pending.popleft()) is not None:
            if order.expire():
                self.notify(order)
                self._ococheck(order)
                self._bracketize(order, cancel=True)
            elif not order.active() or not self._can_trade(order):
                self.pending.append(order)
            else:
                opening, high, low, _, _ = self._holdings[order.data].quote()
                if fills_at_open(order, opening) or not is_touched(order, opening, high, low):
                    self._try(order)
                else:
                    self.pending.append(order)
                    touched.append(order)
        if touched:
            self._fill_in_bar(touched)
        self._margins = None

    def _can_trade(self, order: Any) -> bool:
        """Return whether the order's data has a bar that began after the decision, and in which somebody traded."""
        holding, decided = self._holdings[order.data], order.created.dt
        # Another data may have a bar first. An order must not be filled in the bar on which it was decided.
        if order.data.datetime[0] <= decided or holding.opened() < decided - HALF_SECOND:
            return False
        if is_invented(order.data):
            self._waited.add(order.ref)
            return False
        return True

    def _execute(
        self,
        order: Any,
        ago: int | None = None,
        price: float | None = None,
        cash: float | None = None,
        position: Any = None,
        dtcoc: float | None = None,
    ) -> None:
        if price is None:
            return
        holding = self._holdings[order.data]
        held = holding.position.size
        if order.exectype in STOPS:
            order.triggered = True
        size = self._fill_size(order, held, price, ago)
        if not size:
            return
        if holding.spot and held + size < -1e-9 * abs(size):
            self._reject(order, "short_on_spot")
            self._ococheck(order)
            self._bracketize(order, cancel=True)
            return
        fee = holding.commission.fee(size, price, maker=had_to_wait(order, holding.quote().open))
        short_of_margin = not (only_reduces(held, size) or self._can_margin(holding, size, price, fee))
        if short_of_margin:
            closing = -held if held * size < 0.0 else 0.0
            size, fee = closing, fee * abs(closing / size)
        if size:
            self._book(order, holding, size, price, fee)
            self.notify(order)
            self._ococheck(order)
        if short_of_margin:
            self._refuse_for_margin(order)

    def _can_margin(self, holding: Holding, size: float, price: float, fee: float) -> bool:
        worth = holding.worth_of(price)
        after = holding.stake().after(holding, size, worth, holding.mark)
        if not self._within_limit(holding, after.size * holding.mark):
            return False
        if self._margins is None:
            self._margins = MarginBook({h: h.stake() for h in self._holdings.values()})
        return self._margins.carries(self.cash - size * worth - fee, holding, after)
