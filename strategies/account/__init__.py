"""The simulated exchange account: broker, positions, margin, fees, lots, funding, liquidation."""

from .broker import PerpetualBroker
from .perpetual import FundingLedger, PerpetualCommission

__all__ = ["FundingLedger", "PerpetualBroker", "PerpetualCommission"]
