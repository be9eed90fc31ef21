"""Walk-forward: a model and settings for each fold, chosen on earlier bars only, traded in one continuous account."""

from .command import walkforward
from .dates import FoldDates, fold_dates
from .request import WalkRequest

__all__ = ["FoldDates", "WalkRequest", "fold_dates", "walkforward"]
