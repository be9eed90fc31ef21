"""A simulated exchange account: costs, broker, positions, margin, fees, order sizes, funding and liquidation."""

from typing import TYPE_CHECKING

from scorenet.base.lazy import lazy_exports

if TYPE_CHECKING:
    from .broker import PerpetualBroker
    from .contracts import contract_value
    from .costs import Costs
    from .perpetual import FundingLedger, PerpetualCommission

# Lazy: settings need `Costs` and no Backtrader.
_EXPORTS = {
    ".broker": ("PerpetualBroker",),
    ".contracts": ("contract_value",),
    ".costs": ("Costs",),
    ".perpetual": ("FundingLedger", "PerpetualCommission"),
}

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)

__all__ = ["Costs", "FundingLedger", "PerpetualBroker", "PerpetualCommission", "contract_value"]
