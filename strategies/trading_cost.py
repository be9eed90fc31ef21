"""The cost of a market order, from the settings of an account."""

from __future__ import annotations

from typing import Any

import backtrader as bt

from .account.costs import Costs

__all__ = ["cost_of", "trading_cost"]


def cost_of(costs: Costs) -> float:
    """Return taker fee plus slippage of a market order at these costs, fraction of its value."""
    slippage = costs.half_spread if costs.slippage_model in ("spread", "impact") else costs.slippage
    return float(costs.taker + slippage)


def trading_cost(broker: Any, data: Any) -> float:
    """Return taker fee plus slippage of a market order for `data`, fraction of its value.

    `PerpetualBroker` knows both (`Costs.taker`, and `Costs.slippage` or `Costs.half_spread`). Backtrader's broker has
    both in percent; a commission per contract and a fixed slippage have no fraction and count as 0.
    """
    if hasattr(broker, "costs_of"):
        return cost_of(broker.costs_of(data))
    scheme = broker.getcommissioninfo(data)
    fee = scheme.p.commission if scheme._commtype == bt.CommInfoBase.COMM_PERC else 0.0
    return float(fee + getattr(broker.p, "slip_perc", 0.0))
