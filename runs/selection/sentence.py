"""The verdict on a search, in one sentence: whether its best trial is distinguishable from luck."""

from __future__ import annotations

from .assessment import Assessment
from .trials import SelectionError

__all__ = ["verdict"]


def verdict(found: Assessment, level: float = 0.05) -> str:
    """Return one sentence: yes or no, by which statistic, after how many trials; `level` is the rate of false alarms.

    The p-value of the best of all trials decides, because its size is right (`Assessment.against_cash`); the deflated
    Sharpe ratio and the PBO are quoted next to it.

    Raises:
        SelectionError: `level` is not between 0 and 0.5.
    """
    if not 0.0 < level <= 0.5:
        raise SelectionError(f"level: expected a share from above 0 to 0.5, found {level!r}")
    who = _who(found)
    if found.against_cash is None:
        return f"{who} cannot be told from luck: no trial differs from cash."
    p_value = found.against_cash.p_value
    told = "is distinguishable from luck" if p_value <= level else "is not distinguishable from luck"
    quoted = [f"annual Sharpe ratio {found.sharpe_ratio:.2f}", f"SPA p = {p_value:.3f}"]
    if found.deflated_sharpe is not None and found.n_trials > 1:
        quoted.append(f"deflated Sharpe {found.deflated_sharpe:.2f}")
    if found.overfitting is not None:
        quoted.append(f"probability of overfitting {found.overfitting.pbo:.2f}")
    return f"{who} {told} at {level:.0%} ({', '.join(quoted)}){_market(found, level)}."


def _who(found: Assessment) -> str:
    if found.n_trials == 1:
        return "The only trial"
    notes = []
    if found.n_failed:
        notes.append(f"{found.n_failed:,} failed")
    if found.n_idle:
        notes.append(f"{found.n_idle:,} never traded")
    return f"The best of {found.n_trials:,} trials" + (f", {' and '.join(notes)}," if notes else "")


def _market(found: Assessment, level: float) -> str:
    if found.against_benchmark is None:
        return ""
    p_value = found.against_benchmark.p_value
    told = "at least one trial beats" if p_value <= level else "no trial is shown to beat"
    return f"; {told} buy-and-hold (SPA p = {p_value:.3f})"
