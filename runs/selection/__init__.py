"""What the best of many trials is worth: statistics that know how many were tried, a verdict, and splits of time.

Arrays in, figures out: trial returns [T, N] or one strategy's returns [T], simple returns per period. Only numpy and
scipy are needed.
"""

from .assessment import Assessment, assess
from .confidence import Interval, intervals
from .cross_validation import Overfitting, overfitting
from .deflated import deflated_sharpe, effective_trials, expected_maximum_sharpe, sidak_p_value
from .pooled import assess_parts
from .sentence import verdict
from .sharpe import SharpeEstimate
from .splits import Fold, combinatorial_paths, combinatorial_splits, walk_forward_splits
from .superiority import SuperiorAbility, superior_ability
from .trials import SelectionError, Trials

__all__ = [
    "Assessment",
    "Fold",
    "Interval",
    "Overfitting",
    "SelectionError",
    "SharpeEstimate",
    "SuperiorAbility",
    "Trials",
    "assess",
    "assess_parts",
    "combinatorial_paths",
    "combinatorial_splits",
    "deflated_sharpe",
    "effective_trials",
    "expected_maximum_sharpe",
    "intervals",
    "overfitting",
    "sidak_p_value",
    "superior_ability",
    "verdict",
    "walk_forward_splits",
]
