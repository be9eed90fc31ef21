"""Settings of Backtrader's broker for a perpetual account; settings without meaning there raise an error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

import backtrader as bt

from .costs import Costs
from .perpetual import PerpetualCommission

__all__ = ["PerpetualSettings"]


class PerpetualSettings(bt.brokers.BackBroker):
    """Check the settings of `PerpetualBroker`.

    Raises:
        ValueError: a setting is invalid, or would make the account unrealistic.
    """

    params = (
        ("costs", None),
        ("slippage", None),
        ("slippage_model", None),
        ("commission", None),
        ("int2pnl", False),
    )

    def init(self) -> None:
        """Check the parameters and reset the account; called by the constructor and at the start of each run."""
        costs = Costs() if self.p.costs is None else self.p.costs
        self._costs: dict[tuple[int, float, str], tuple[Costs, Costs]] = {}
        if self.p.slippage is None:
            self.p.slippage = costs.slippage
        if self.p.slippage_model is None:
            self.p.slippage_model = costs.slippage_model
        self._check_params()
        if None not in self.comminfo:
            self.comminfo[None] = self.p.commission or PerpetualCommission.of(costs)
        super().init()

    def _check_params(self) -> None:
        Costs(slippage=self.p.slippage, slippage_model=self.p.slippage_model)
        if not self.p.shortcash:
            raise ValueError(
                "shortcash=False is for borrowed stock; a perpetual account needs shortcash=True"
            )
        if self.p.commission is not None:
            if self.p.costs is not None:
                raise ValueError("costs and commission both set the fees; pass only one of them")
            _check_commission(self.p.commission)
        self.set_fundmode(self.p.fundmode)
        self.set_coc(self.p.coc)
        self.set_coo(self.p.coo)

    # Fees and slippage --------------------------------------------------------------------------------------

    def costs_of(self, data: Any) -> Costs:
        """Return the costs of trading `data` in this account."""
        costs: Costs = self.getcommissioninfo(data).costs
        key = (id(costs), self.p.slippage, self.p.slippage_model)
        found = self._costs.get(key)
        if found is None:
            # `costs` is kept beside, so that its id stays its own.
            found = replace(costs, slippage=self.p.slippage, slippage_model=self.p.slippage_model), costs
            self._costs[key] = found
        return found[0]

    def addcommissioninfo(self, comminfo: Any, name: str | None = None) -> None:
        """Set the fees of the data called `name`, or the default.

        Raises:
            TypeError: `comminfo` is not a `PerpetualCommission`.
        """
        _check_commission(comminfo)
        super().addcommissioninfo(comminfo, name)

    def setcommission(  # type: ignore[override]
        self,
        commission: float = Costs.taker,
        leverage: float = Costs.margin_leverage,
        name: str | None = None,
    ) -> None:
        """Set one fee (fraction of value) for taker and maker fills, and the leverage that the exchange allows."""
        costs = replace(
            Costs() if self.p.costs is None else self.p.costs,
            taker=commission,
            maker=commission,
            margin_leverage=leverage,
        )
        self.addcommissioninfo(PerpetualCommission.of(costs), name)

    def set_slippage_perc(self, perc: float, **_ignored: bool) -> None:
        """Set the slippage (fraction); it is always applied in full, and the other arguments have no effect."""
        self.p.slippage = perc
        self._check_params()

    def set_slippage_fixed(self, fixed: float, **_ignored: bool) -> NoReturn:
        """Raise ValueError: slippage must be a fraction of the price."""
        raise ValueError("slippage is a fraction of the price here; use PerpetualBroker(slippage=0.0002)")

    # Refusals -----------------------------------------------------------------------------------------------

    def set_coc(self, coc: bool) -> None:
        """Raise ValueError if cheat-on-close is switched on."""
        if coc:
            raise ValueError(
                "cheat-on-close fills at the price it decides on; leave it off, fills are at the next open"
            )

    def set_coo(self, coo: bool) -> None:
        """Raise ValueError if cheat-on-open is switched on."""
        if coo:
            raise ValueError(
                "cheat-on-open decides on the price it fills at; leave it off, fills are at the next open"
            )

    def add_order_history(self, orders: Any, notify: bool = True) -> NoReturn:
        """Raise ValueError: an order history can be filled at any recorded price."""
        raise ValueError(
            "an order history is filled at its own prices, not at the market's; use ReplayOrders to replay decisions"
        )

    def set_fundmode(self, fundmode: bool, fundstartval: float | None = None) -> None:
        """Raise ValueError if fund mode is switched on."""
        if fundmode:
            raise ValueError(
                "fund mode books funding as a withdrawal and hides it from returns; "
                "leave it off and read returns from equity (EquityCurve)"
            )

    def set_fund_history(self, fund: Any) -> None:
        """Raise ValueError: a fund history needs fund mode."""
        self.set_fundmode(True)

    def get_fundvalue(self) -> float:
        """Return equity, because the account has no separate fund."""
        return self.get_value()

    def get_fundshares(self) -> float:
        """Return 1.0, because the account has no separate fund."""
        return 1.0

    fundmode = property(bt.brokers.BackBroker.get_fundmode, set_fundmode)
    fundvalue = property(get_fundvalue)
    fundshares = property(get_fundshares)


def _check_commission(comminfo: Any) -> None:
    if not isinstance(comminfo, PerpetualCommission):
        raise TypeError(
            f"PerpetualBroker needs a PerpetualCommission, found {type(comminfo).__name__}; "
            "use PerpetualCommission(taker=..., margin_leverage=...), or Backtrader's own broker"
        )
