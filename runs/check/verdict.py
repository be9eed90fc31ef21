"""Findings of a model check in plain words, each marked good or bad."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Verdict", "judge"]

_LARGE_Z = 4.0
_LARGE_GAP = 0.1  # of a Stein identity, relative; a smaller gap changes no decision, whatever its z
_ROUTES_APART = 0.3  # nats
_KNOWN_BY_CLASSIFIER = 0.6
_ASYMMETRIC = 0.2
_MISCALIBRATED = 0.05


class Verdict(NamedTuple):
    """One finding: whether it is good, and a sentence."""

    good: bool
    text: str


def judge(content: Mapping[str, Any]) -> list[Verdict]:
    """Return the findings from the content of check.json, bad ones first."""
    found = [*_score(content["score"]), *_density(content["score"])]
    if content["model"].get("refit"):
        text = (
            "The stored figures were measured before the weights were fitted again to the whole span (refit)."
        )
        found.append(Verdict(True, text))
    if content["measured_on"] == "bars":
        found += [*_bars(content), *_forward(content["forward"])]
    return sorted(found, key=lambda verdict: verdict.good)


def _score(score: Mapping[str, Any]) -> Iterator[Verdict]:
    failed = [row for row in score["stein"] if row["z"] > _LARGE_Z and row["gap"] * row["sigma"] > _LARGE_GAP]
    if failed:
        worst = max(failed, key=lambda row: row["z"])
        yield Verdict(
            False,
            f"{len(failed)} of {len(score['stein'])} Stein identities fail, the worst at sigma {worst['sigma']:g} "
            f"({worst['name']}: {worst['gap']:.3g}, {worst['z']:.1f} standard errors): "
            "the score does not fit these rows.",
        )
    else:
        yield Verdict(True, "The score satisfies Stein's identities on these rows.")
    best = max(score["by_sigma"], key=lambda row: row["explained_variance"])
    yield Verdict(
        best["explained_variance"] > 0,
        f"It predicts the noise {abs(best['explained_variance']):.1%} "
        f"{'better' if best['explained_variance'] > 0 else 'worse'} than the best Gaussian at sigma "
        f"{best['sigma']:.2g}, its best level.",
    )
    skewed = max(row["asymmetry"] for row in score["by_sigma"])
    yield Verdict(
        skewed <= _ASYMMETRIC,
        f"Its Jacobian is asymmetric by {skewed:.2f} at most: "
        + ("nearly" if skewed <= _ASYMMETRIC else "far from")
        + " the gradient of a density.",
    )


def _density(score: Mapping[str, Any]) -> Iterator[Verdict]:
    for row in score["routes"]:
        other = row["second"] if row["first"] == "heat" else row["first"]
        if other == "per_bar":
            near = row["rms"] <= 2 * _ROUTES_APART
            yield Verdict(
                near,
                f"The density used at every bar is {'only ' if near else ''}{row['rms']:.2f} nat (rms) off the "
                "reference method.",
            )
        elif other == "flow":
            near = row["rms"] <= _ROUTES_APART
            yield Verdict(
                near,
                f"Heat equation and probability flow {'agree to' if near else 'disagree by'} "
                f"{row['rms']:.2f} nat (rms).",
            )
    auc = score["two_sample"]["auc"]
    yield Verdict(
        auc <= _KNOWN_BY_CLASSIFIER,
        f"Boosted trees distinguish its samples from these rows with an AUC of {auc:.2f} (0.5: not at all).",
    )


def _bars(content: Mapping[str, Any]) -> Iterator[Verdict]:
    if content["seen_in_training"] > 0:
        yield Verdict(
            False,
            f"{content['seen_in_training']:.0%} of these bars trained or calibrated the model: "
            "the metrics are too optimistic. Use --since to check it on later bars.",
        )
    ranks = content["ranks"]
    gap = ranks["density_calibration"]
    yield Verdict(
        gap <= _MISCALIBRATED,
        f"Density ranks are off by {gap:.1%} at most; at 5 % the fixed threshold rejects "
        f"{ranks['rejected'][1]['share']:.1%} ± {ranks['rejected'][1]['standard_error'] or 0:.1%} of the bars.",
    )
    if ranks["drift_alarm"] is None:
        yield Verdict(True, "The drift alarm does not go off.")
    else:
        yield Verdict(
            False,
            f"The drift alarm goes off after {ranks['drift_alarm']:,} rows: the market has left the calibration span.",
        )


def _forward(forward: Mapping[str, Any]) -> Iterator[Verdict]:
    for horizon, report in forward.items():
        if report is None:
            continue
        gain = 1 - report["forward_crps"] / report["forward_crps_unconditional"]
        yield Verdict(
            gain > 0,
            f"{horizon} bars ahead: CRPS {abs(gain):.1%} {'better' if gain > 0 else 'worse'} than the span's own "
            "unconditional distribution, "
            f"information coefficient {report['forward_ic']:+.3f}, {report['below_quantile_5']:.1%} of outcomes "
            "below the 5 % quantile.",
        )
