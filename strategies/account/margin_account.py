"""The books of a simulated account: positions, margin pools, liquidation, settlement of ended markets."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from backtrader.order import BuyOrder, SellOrder

from ..datas import HALF_SECOND, symbol_of, to_milliseconds
from .bar_clock import has_ended, latest
from .contracts import price_of_worth, settlement_coin
from .holdings import Holding, MarginBook, equity_and_maintenance
from .margin import Liquidation, liquidate_on_gap, liquidate_on_slide
from .values import AccountValues

__all__ = ["MarginAccount", "Settlement"]

_LOG = logging.getLogger(__name__)


class Settlement(NamedTuple):
    """A market that ended at the bar close `last` (UTC ms): `size` contracts were settled at its last `price`."""

    symbol: str
    last: int
    size: float
    price: float


class MarginAccount(AccountValues):
    """Keep the books of `PerpetualBroker`; its docstring describes the rules."""

    def init(self) -> None:
        """Reset the account to its starting cash; called by the constructor and at the start of each run."""
        super().init()
        self._over: set[Any] = set()
        self._margins: MarginBook | None = None  # only while orders are filled
        self._coin: tuple[str, str] | None = None
        self.liquidations = 0
        self.insurance = 0.0
        self.settlements: list[Settlement] = []
        self.rejections: Counter[str] = Counter()

    # Positions ----------------------------------------------------------------------------------------------

    def _hold(self, data: Any) -> Holding:
        """Return the holding of a data, a new one at its first order."""
        holding = self._holdings.get(data)
        if holding is None:
            holding = Holding(data, self.positions[data], self.getcommissioninfo(data))
            self._check_coin(data, holding)
            self._holdings[data] = holding
            self._isolated = self._isolated or holding.isolated
        return holding

    def _check_coin(self, data: Any, holding: Holding) -> None:
        """Raise ValueError if the market settles in another coin than the account's."""
        contract = holding.commission.p.contract
        # Without a coin in the name, an inverse market still cannot share an account with another kind.
        coin = settlement_coin(symbol_of(data), contract)
        coin = coin or ("the base coin" if contract == "inverse" else "the quote currency")
        if self._coin is None:
            self._coin = (coin, symbol_of(data))
        known = {coin, self._coin[0]}
        if len(known) > 1 and not (known & {"the quote currency"} and contract != "inverse"):
            raise ValueError(
                f"an account holds one settlement coin: {self._coin[1]} settles in {self._coin[0]}, "
                f"{symbol_of(data)} ({contract}) in {coin}; trade them in separate runs"
            )

    def _book(
        self, order: Any, holding: Holding, size: float, price: float, fee: float, date: float | None = None
    ) -> None:
        data, position, commission = holding.data, holding.position, holding.commission
        entry, worth = position.price, holding.worth_of(price)
        stake = holding.stake().after(holding, size, worth, worth)
        psize, pprice, opened, closed = position.update(size, price, data.datetime.datetime())
        holding.margin, holding.basis = stake.margin, stake.basis
        if commission.inverse and opened and psize:
            # The average price of an inverse position is that of its value in the coin, not the mean of its prices.
            pprice = position.price = -psize * commission.p.mult / stake.basis
        if self._margins is not None:
            self._margins.put(holding, holding.stake())
        self.cash -= size * worth + fee
        holding.traded += abs(size)
        order.execute(
            data.datetime[0] if date is None else date,
            size,
            price,
            closed,
            commission.value(-closed, entry) if closed else -closed * entry,
            fee * (closed / size),
            opened,
            commission.value(opened, price),
            fee * (opened / size),
            commission.margin,
            commission.profitandloss(-closed, entry, price),
            psize,
            pprice,
        )
        order.addcomminfo(commission)
        holding.owner, holding.tradeid = order.owner, order.tradeid

    # Margin -------------------------------------------------------------------------------------------------

    def _pools(self, held: Sequence[Holding]) -> list[tuple[float, list[Holding]]]:
        """Return (cash, positions) of each margin pool: one for all cross positions, one per isolated position."""
        if not self._isolated:
            return [(self.cash, list(held))] if held else []
        pools = [(h.margin - h.basis, [h]) for h in held if h.isolated]
        cross = [h for h in held if not h.isolated]
        return [*pools, (self.cash - self._reserved(), cross)] if cross else pools

    def _open_bar(self) -> None:
        held, over = [], []
        for holding in self._holdings.values():
            holding.turn_bar()
            if not holding.fresh and has_ended(holding.data):
                over.append(holding)
            if holding.position.size:
                if holding.fresh:
                    # Only once per bar, so positions opened at this bar's open pay no funding. Backtrader calls `next`
                    # again before the next bar if another data has a bar, or a live feed has none yet.
                    self.cash -= holding.commission.funding_payment(holding.data, holding.position.size)
                held.append(holding)
        if over:
            held = self._settle_ended(over, held)
        if not held:
            return
        if self._isolated:
            self._fund_from_margin(held)
        for cash, group in self._pools(held):
            equity, need = equity_and_maintenance(cash, [(h, h.mark) for h in group])
            if equity <= need:
                self._liquidate(group, liquidate_on_gap(cash, [h.leg(h.last, h.mark) for h in group]))

    def _fund_from_margin(self, held: Sequence[Holding]) -> None:
        """Take funding that the free balance cannot pay from the margin of the isolated positions."""
        lacking = self._reserved() - self.cash
        isolated = [h for h in held if h.isolated and h.margin > 0.0]
        if lacking > 0.0 and isolated and len(isolated) == len(held):
            margin = sum(h.margin for h in isolated)
            for holding in isolated:
                holding.margin -= lacking * (holding.margin / margin)

    def _close_bar(self) -> None:
        held = [holding for holding in self._holdings.values() if holding.position.size]
        for cash, group in self._pools(held):
            equity, need = equity_and_maintenance(cash, [(h, h.adverse()) for h in group])
            if equity <= need:
                self._liquidate(group, self._slide(cash, group))
        if self._isolated or (not held and self.cash < 0.0):
            self._call_insurance()
        for holding in self._holdings.values():
            close = holding.close[0]
            holding.mark = close if holding.worth is None else holding.worth(close)

    @staticmethod
    def _slide(cash: float, group: Sequence[Holding]) -> Liquidation | None:
        """Return the liquidation on the way from the mark prices to the adverse extremes.

        An isolated position may be filled at a price from which the mark price is beyond its margin. It then moves from
        its cost: so it meets its liquidation price, and loses its margin and no more.
        """
        equity, need = equity_and_maintenance(cash, [(h, h.mark) for h in group])
        if group[0].isolated and equity <= need:
            return liquidate_on_slide(cash, [h.leg(h.basis / h.position.size, h.adverse()) for h in group])
        return liquidate_on_slide(cash, [h.leg(h.mark, h.adverse()) for h in group])

    def _liquidate(self, held: Sequence[Holding], liquidation: Liquidation | None) -> None:
        if liquidation is None:
            return
        isolated = held[0].isolated
        for order in list(self.pending):
            if isolated is self._holdings[order.data].isolated and (
                not isolated or order.data is held[0].data
            ):
                self.cancel(order)
        for holding, worth, fee in zip(held, liquidation.prices, liquidation.fees, strict=True):
            commission = holding.commission
            price = (
                worth
                if holding.worth is None
                else price_of_worth(commission.p.mult, commission.inverse, worth)
            )
            self._close_position(holding, price, fee, liquidation=True)
            self.liquidations += 1
        if isolated:
            return
        left = self.cash - self._reserved()
        if left < -1e-9 * self.startingcash:
            self.insurance -= left
        self.cash = self._reserved()  # the remainder of the sums above is a rounding error

    def _close_position(self, holding: Holding, price: float, fee: float, **info: Any) -> None:
        """Close a position without an order of the strategy, and notify the owner of its last fill."""
        size = -holding.position.size
        order = (BuyOrder if size > 0 else SellOrder)(
            owner=holding.owner, data=holding.data, size=abs(size), tradeid=holding.tradeid
        )
        order.addinfo(**info)
        self._ocoize(order, None)
        order.submit()
        order.accept()
        self.orders.append(order)
        date = latest(self.cerebro.datas) if "settlement" in info else None
        self._book(order, holding, size, price, fee, date)
        self.notify(order)

    def _call_insurance(self) -> None:
        left = self.cash - self._reserved()
        if left < 0.0 and not any(h.position.size and not h.isolated for h in self._holdings.values()):
            self.insurance -= left
            self.cash -= left

    # Markets that end ---------------------------------------------------------------------------------------

    def _settle_ended(self, over: Sequence[Holding], held: list[Holding]) -> list[Holding]:
        """Settle the markets that missed a bar because they have ended; return the positions that are left.

        Other datas must have reached the time at which the market's next bar was due: until then nobody can know.
        """
        now = latest(self.cerebro.datas)
        for holding in over:
            if now + HALF_SECOND < holding.stamp + holding.length:
                continue
            data, size = holding.data, holding.position.size
            for order in [order for order in self.pending if order.data is data]:
                self.cancel(order)
            price = data.close[0]
            if size:
                self._close_position(holding, price, holding.commission.fee(size, price), settlement=True)
            del self._holdings[data]
            self._over.add(data)
            self._tell(Settlement(symbol_of(data), int(to_milliseconds(data.datetime[0])), size, price))
        return [holding for holding in held if holding.position.size]

    def _tell(self, settlement: Settlement) -> None:
        self.settlements.append(settlement)
        if settlement.size:
            _LOG.warning(
                "%s has no more bars: %g contracts were settled at its last price %g",
                settlement.symbol,
                settlement.size,
                settlement.price,
            )

    def has_settled(self, data: Any) -> bool:
        """Return whether the market of `data` has ended and was settled: it takes no more orders."""
        return data in self._over
