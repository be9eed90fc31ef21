"""A simulated exchange account for perpetuals: slippage, margin on both sides, funding, liquidation."""

from __future__ import annotations

from typing import Any

from backtrader.order import BuyOrder, Order, SellOrder

from .fill_price import PricedFills, had_to_wait
from .holdings import Holding, equity_and_maintenance, is_margined, only_reduces
from .margin import Liquidation, liquidate_on_gap, liquidate_on_slide

__all__ = ["PerpetualBroker"]


class PerpetualBroker(PricedFills):
    """Simulate one cross-margin account of linear perpetuals: `cerebro.setbroker(PerpetualBroker(...))`.

    *Equity* (`getvalue()`) is cash + sum(size * close) for long and short positions. A purchase lowers cash by its full
    value, and a short sale raises it. So cash is negative for a long position above 1x leverage. Leverage affects only
    the margin rules.

    *Fills.* An order decided at a bar's close is filled in the next bar of its data. A market order is filled at the
    open plus the full slippage, even if that price is outside the bar's range. Stop orders have slippage too. A limit
    order is never filled at a price worse than its limit, and pays the maker fee if it rested in the book. There is no
    closing auction, so `Order.Close` is an error, as are cheat-on-close, cheat-on-open and order histories.

    *Margin.* After a trade with its fee and slippage, equity must be at least sum(|size| * price / margin_leverage).
    This is checked when the order is submitted (at the close of the decision) and again at the fill. An order that only
    reduces a position always passes. If a flip fails the check at the fill, the old position is closed, no new one is
    opened, and the order's status is Margin.

    *Funding.* It is charged at a bar's open on the position held until then, before that bar's fills. It is not part of
    any fee.

    *Liquidation.* An account with positions is checked at each open, and at the bar's adverse extremes: all longs at
    their lows and all shorts at their highs at the same time. This is too strict for a hedged account, but never too
    favourable. If equity falls to the maintenance margin, all positions are closed and all open orders canceled. If the
    open is already beyond that point, the closing price is the open. If the open is also beyond bankruptcy, it is the
    price at which equity was 0. The remaining equity, at most the maintenance margin, is the liquidation fee. So equity
    is 0 afterwards and never negative; the insurance fund covers the rest. The closing orders have
    `order.info.liquidation = True`. Partial liquidation and risk tiers are not modelled.

    *Ruin.* Without equity every order is Rejected. Backtrader's TimeReturn, and analyzers based on it, divide by equity
    and fail from then on; `EquityCurve`, `Sharpe`, `Sortino` and `Drawdown` do not.

    *Fund mode* is an error, because it books funding as a withdrawal by the investor and hides it from returns.

    Params:
      - cash (10000.0): starting equity in quote currency.
      - costs (None): `Costs` of the account; None takes the defaults.
      - slippage (None): fraction of the price lost on every market and stop order; None takes it from `costs`.
      - slippage_model (None): name of the slippage model; None takes it from `costs`.
      - commission (None): the default `PerpetualCommission`; None creates it from `costs`.
      - checksubmit (True): check the margin at submission as well as at the fill.
      - filler (None): Backtrader's volume filler, for partial fills.

    Attributes:
      - liquidations: positions closed by liquidation in this run.
      - insurance: losses beyond equity, which the insurance fund covered (quote currency). It is not 0 only if a single
        fee, slippage or funding payment exceeded the remaining equity.
    """

    def init(self) -> None:
        """Reset the account to its starting cash; called by the constructor and at the start of each run."""
        super().init()
        self.cash: float = self.p.cash
        self._holdings: dict[Any, Holding] = {}
        self.liquidations = 0
        self.insurance = 0.0

    def next(self) -> None:
        """Process one bar: submissions, funding, liquidation at the open, fills, liquidation in the bar, marking."""
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
        self._value = self._get_value()

    def _open_bar(self) -> None:
        held = []
        for holding in self._holdings.values():
            holding.turn_bar()
            if holding.position.size:
                if holding.fresh:
                    # Only once per bar, so positions opened at this bar's open pay no funding. Backtrader calls `next`
                    # again before the next bar if another data has a bar, or a live feed has none yet.
                    self.cash -= holding.commission.funding_payment(holding.data, holding.position.size)
                held.append(holding)
        if held:
            equity, need = equity_and_maintenance(self.cash, [(h, h.mark) for h in held])
            if equity <= need:
                self._liquidate(held, liquidate_on_gap(self.cash, [h.leg(h.last, h.mark) for h in held]))

    def _close_bar(self) -> None:
        held = [holding for holding in self._holdings.values() if holding.position.size]
        if held:
            equity, need = equity_and_maintenance(self.cash, [(h, h.adverse()) for h in held])
            if equity <= need:
                self._liquidate(
                    held, liquidate_on_slide(self.cash, [h.leg(h.mark, h.adverse()) for h in held])
                )
        elif self.cash < 0.0:
            self._call_insurance()
        for holding in self._holdings.values():
            holding.mark = holding.close[0]

    # Orders -------------------------------------------------------------------------------------------------

    def submit(self, order: Any, check: bool = True) -> Any:
        """Queue an order for the next bar, or reject it if the account is ruined.

        Raises:
            ValueError: the order is an `Order.Close`.
        """
        if order.exectype == Order.Close:
            raise ValueError(
                "Order.Close waits for the end of a session, and a perpetual has none; "
                "send a market order: it fills at the next bar's open"
            )
        if self._value <= 0.0:
            order.reject()
            self.notify(order)
            return order
        if order.data not in self._holdings:
            commission = self.getcommissioninfo(order.data)
            self._holdings[order.data] = Holding(order.data, self.positions[order.data], commission)
        return super().submit(order, check)

    def check_submitted(self) -> None:
        """Check the margin of the submitted orders, in their order, at the last close; accept or reject each."""
        cash = self.cash
        book = {h: (h.position.size, h.mark) for h in self._holdings.values()}
        while self.submitted:
            order = self.submitted.popleft()
            if self._take_children(order) is None:
                continue
            holding = self._holdings[order.data]
            held, mark = book[holding]
            size, price = order.executed.remsize, order.created.price
            after = {**book, holding: (held + size, price)}
            after_cash = cash - size * price - holding.commission.fee(size, price)
            if not (only_reduces(held, size) or is_margined(after_cash, _triples(after))):
                self._refuse_for_margin(order)
                continue
            if order.active():  # a bracket's exit orders become active only after its entry
                cash, book = after_cash, {**after, holding: (held + size, mark)}
            self.submit_accept(order)

    def _refuse_for_margin(self, order: Any) -> None:
        order.margin()
        self.notify(order)
        self._ococheck(order)
        self._bracketize(order, cancel=True)

    def _fill_pending(self) -> None:
        self.pending.append(None)
        while (order := self.pending.popleft()) is not None:
            if order.expire():
                self.notify(order)
                self._ococheck(order)
                self._bracketize(order, cancel=True)
            elif not order.active() or order.data.datetime[0] <= order.created.dt:
                # Another data may have a bar first. An order must not be filled in the bar on which it was decided.
                self.pending.append(order)
            else:
                self._try_exec(order)
                if order.alive():
                    self.pending.append(order)
                elif order.status == Order.Completed:
                    self._bracketize(order)

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
        size = self._fill_size(order, held, price, ago)
        if not size:
            return
        fee = holding.commission.fee(size, price, maker=had_to_wait(order))
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

    def _fill_size(self, order: Any, held: float, price: float, ago: int | None) -> float:
        size = order.executed.remsize
        if self.p.filler is not None:
            filled = min(abs(size), self.p.filler(order, price, ago))
            return filled if size > 0 else -filled
        if held and abs(held + size) <= 1e-9 * abs(held):
            # 0.1 + 0.2 - 0.3 must be exactly 0, otherwise the position and its trade would never be closed.
            size = order.executed.remsize = -held
        return size

    def _can_margin(self, holding: Holding, size: float, price: float, fee: float) -> bool:
        book = {h: (h.position.size, h.mark) for h in self._holdings.values()}
        book[holding] = (holding.position.size + size, holding.mark)
        return is_margined(self.cash - size * price - fee, _triples(book))

    def _book(self, order: Any, holding: Holding, size: float, price: float, fee: float) -> None:
        data, position, commission = holding.data, holding.position, holding.commission
        entry = position.price
        psize, pprice, opened, closed = position.update(size, price, data.datetime.datetime())
        self.cash -= size * price + fee
        order.execute(
            data.datetime[0],
            size,
            price,
            closed,
            -closed * entry,
            fee * (closed / size),
            opened,
            opened * price,
            fee * (opened / size),
            commission.margin,
            commission.profitandloss(-closed, entry, price),
            psize,
            pprice,
        )
        order.addcomminfo(commission)
        holding.owner, holding.tradeid = order.owner, order.tradeid

    # Liquidation --------------------------------------------------------------------------------------------

    def _liquidate(self, held: list[Holding], liquidation: Liquidation | None) -> None:
        if liquidation is None:
            return
        for order in list(self.pending):
            self.cancel(order)
        for holding, price, fee in zip(held, liquidation.prices, liquidation.fees, strict=True):
            size = -holding.position.size
            order = (BuyOrder if size > 0 else SellOrder)(
                owner=holding.owner, data=holding.data, size=abs(size), tradeid=holding.tradeid
            )
            order.addinfo(liquidation=True)
            self._ocoize(order, None)
            order.submit()
            order.accept()
            self.orders.append(order)
            self._book(order, holding, size, price, fee)
            self.notify(order)
            self.liquidations += 1
        if self.cash < -1e-9 * self.startingcash:
            self._call_insurance()
        self.cash = 0.0  # the remainder of the sums above is a rounding error

    def _call_insurance(self) -> None:
        self.insurance -= self.cash
        self.cash = 0.0

    # Values -------------------------------------------------------------------------------------------------

    def _get_value(self, datas: Any = None) -> float:
        while self._cash_addition:
            self.cash += self._cash_addition.popleft()
        if datas:
            return sum(self.positions[data].size * data.close[0] for data in datas)
        return self.cash + sum(h.position.size * h.mark for h in self._holdings.values())

    def get_value(self, datas: Any = None, mkt: bool = False, lever: bool = False) -> float:
        """Return equity in quote currency; with `datas` or `mkt`, the signed value of the positions."""
        if datas is not None:
            return self._get_value(datas)
        return self._value - self.cash if mkt else self._value

    getvalue = get_value

    def get_leverage(self) -> float:
        """Return gross exposure as a multiple of equity; 0.0 without equity."""
        gross = sum(abs(h.position.size) * h.mark for h in self._holdings.values())
        return gross / self._value if self._value > 0.0 else 0.0


def _triples(book: dict[Holding, tuple[float, float]]) -> list[tuple[Holding, float, float]]:
    return [(holding, size, price) for holding, (size, price) in book.items()]
