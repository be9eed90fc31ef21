"""The stock broker's switches as a perpetual account understands them, or refuses them with a reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

import backtrader as bt

from .costs import Costs
from .perpetual import PerpetualCommission

__all__ = ["PerpetualSettings"]


class PerpetualSettings(bt.brokers.BackBroker):
    """Check every setting of `PerpetualBroker`; a switch that falsifies the account raises `ValueError`."""

    params = (
        ("costs", None),
        ("slippage", None),
        ("slippage_model", None),
        ("commission", None),
        ("int2pnl", False),
    )

    def init(self) -> None:
        """Check the parameters and reset the account; called when built and at the start of each run."""
        costs = Costs() if self.p.costs is None else self.p.costs
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
                "shortcash=False is bookkeeping for borrowed stock; a perpetual account needs True"
            )
        if self.p.commission is not None:
            if self.p.costs is not None:
                raise ValueError("costs and commission both set the fees; give one of them")
            _check_commission(self.p.commission)
        self.set_fundmode(self.p.fundmode)
        self.set_coc(self.p.coc)
        self.set_coo(self.p.coo)

    # Fees and slippage --------------------------------------------------------------------------------------

    def costs_of(self, data: Any) -> Costs:
        """Return what trading `data` costs in this account."""
        costs: Costs = self.getcommissioninfo(data).costs
        return replace(costs, slippage=self.p.slippage, slippage_model=self.p.slippage_model)

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
        """Set one fee (fraction of value) for takers and makers, and the leverage that the exchange allows."""
        costs = replace(
            Costs() if self.p.costs is None else self.p.costs,
            taker=commission,
            maker=commission,
            margin_leverage=leverage,
        )
        self.addcommissioninfo(PerpetualCommission.of(costs), name)

    def set_slippage_perc(self, perc: float, **_ignored: bool) -> None:
        """Set the slippage (fraction), always applied in full: the other switches have no effect."""
        self.p.slippage = perc
        self._check_params()

    def set_slippage_fixed(self, fixed: float, **_ignored: bool) -> NoReturn:
        """Refuse: a perpetual's slippage is a fraction of its price."""
        raise ValueError("slippage is a fraction of the price here; use PerpetualBroker(slippage=0.0002)")

    # Refusals -----------------------------------------------------------------------------------------------

    def set_coc(self, coc: bool) -> None:
        """Refuse cheat-on-close."""
        if coc:
            raise ValueError(
                "cheat-on-close fills at the price it decides on; leave it off, fills are at the next open"
            )

    def set_coo(self, coo: bool) -> None:
        """Refuse cheat-on-open."""
        if coo:
            raise ValueError(
                "cheat-on-open decides on the price it fills at; leave it off, fills are at the next open"
            )

    def add_order_history(self, orders: Any, notify: bool = True) -> NoReturn:
        """Refuse: such orders fill at any price that is written down."""
        raise ValueError(
            "an order history fills at prices of its own; replay decisions with ReplayOrders instead"
        )

    def set_fundmode(self, fundmode: bool, fundstartval: float | None = None) -> None:
        """Refuse fund mode."""
        if fundmode:
            raise ValueError(
                "fund mode books funding as a withdrawal and hides it from returns; "
                "leave it off and read returns from equity (EquityCurve)"
            )

    def set_fund_history(self, fund: Any) -> None:
        """Refuse fund mode."""
        self.set_fundmode(True)

    def get_fundvalue(self) -> float:
        """Return equity: there is no fund apart from the account."""
        return self.get_value()

    def get_fundshares(self) -> float:
        """Return 1.0: there is no fund apart from the account."""
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
