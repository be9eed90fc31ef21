"""Findings of a model check in plain words, each marked good or bad by a threshold that it names."""

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
    """One finding: whether it is good, a sentence with its threshold, and whether trading uses what it measures."""

    good: bool
    text: str
    trading: bool = False


def judge(content: Mapping[str, Any]) -> list[Verdict]:
    """Return the findings from the content of check.json: bad ones first, and first those that trading depends on."""
    found = [*_score(content["score"]), *_density(content["score"])]
    if content["model"].get("refit"):
        text = (
            "The stored figures were measured before the weights were fitted again to the whole span (refit)."
        )
        found.append(Verdict(True, text))
    if content["measured_on"] == "bars":
        found += [*_bars(content), *_forward(content["forward"])]
    return sorted(found, key=lambda verdict: (verdict.good, not verdict.trading))


def _score(score: Mapping[str, Any]) -> Iterator[Verdict]:
    yield _stein(score["stein"])
    best = max(score["by_sigma"], key=lambda row: row["explained_variance"])
    yield Verdict(
        best["explained_variance"] > 0,
        f"It predicts the noise {abs(best['explained_variance']):.1%} "
        f"{'better' if best['explained_variance'] > 0 else 'worse'} than the best Gaussian at sigma "
        f"{best['sigma']:.2g}, its best level (good: better).",
    )
    skewed = max(row["asymmetry"] for row in score["by_sigma"])
    yield Verdict(
        skewed <= _ASYMMETRIC,
        f"Its Jacobian is asymmetric by {skewed:.2f} at most (good: up to {_ASYMMETRIC:g}): "
        + ("nearly" if skewed <= _ASYMMETRIC else "far from")
        + " the gradient of a density.",
    )


def _stein(rows: list[Mapping[str, Any]]) -> Verdict:
    """Return the finding on Stein's identities; what the table shows beyond chance is said, also where it is small."""
    bound = f"(good: gap up to {_LARGE_GAP:g}, or up to {_LARGE_Z:g} standard errors)"
    beyond = [row for row in rows if row["z"] > _LARGE_Z]
    failed = [row for row in beyond if row["gap"] * row["sigma"] > _LARGE_GAP]
    worst = max(failed or beyond or rows, key=lambda row: row["z"])
    where = (
        f"sigma {worst['sigma']:g} ({worst['name']}: {worst['gap']:.3g}, {worst['z']:.1f} standard errors)"
    )
    said = f"{len(failed or beyond)} of {len(rows)} Stein identities"
    if failed:
        text = f"{said} fail {bound}, the worst at {where}: the score does not fit these rows."
        return Verdict(False, text)
    if beyond:
        text = f"{said} are off beyond chance, by too little to change a decision {bound}, the clearest at {where}."
        return Verdict(True, text)
    return Verdict(True, f"The score satisfies Stein's identities on these rows within chance {bound}.")


def _density(score: Mapping[str, Any]) -> Iterator[Verdict]:
    for row in score["routes"]:
        other = row["second"] if row["first"] == "heat" else row["first"]
        if other == "per_bar":
            near = row["rms"] <= 2 * _ROUTES_APART
            yield Verdict(
                near,
                f"The density used at every bar is {'only ' if near else ''}{row['rms']:.2f} nat (rms) off the "
                f"reference method (good: up to {2 * _ROUTES_APART:g}).",
                trading=True,
            )
        elif other == "flow":
            near = row["rms"] <= _ROUTES_APART
            yield Verdict(
                near,
                f"Heat equation and probability flow {'agree to' if near else 'disagree by'} "
                f"{row['rms']:.2f} nat (rms) (good: up to {_ROUTES_APART:g}).",
            )
    auc = score["two_sample"]["auc"]
    yield Verdict(
        auc <= _KNOWN_BY_CLASSIFIER,
        f"Boosted trees distinguish its samples from these rows with an AUC of {auc:.2f} (0.5: not at all; good: up to "
        f"{_KNOWN_BY_CLASSIFIER:g}).",
    )


def _bars(content: Mapping[str, Any]) -> Iterator[Verdict]:
    if content["seen_in_training"] > 0:
        yield Verdict(
            False,
            f"{content['seen_in_training']:.0%} of these bars trained or calibrated the model (good: none): "
            "the metrics are too optimistic. Use --since to check it on later bars.",
            trading=True,
        )
    ranks = content["ranks"]
    gap = ranks["density_calibration"]
    yield Verdict(
        gap <= _MISCALIBRATED,
        f"Density ranks are off by {gap:.1%} at most (good: up to {_MISCALIBRATED:.0%}); at 5 % the fixed threshold "
        f"rejects {ranks['rejected'][1]['share']:.1%} ± {ranks['rejected'][1]['standard_error'] or 0:.1%} of the bars.",
        trading=True,
    )
    if ranks["drift_alarm"] is None:
        yield Verdict(True, "The drift alarm does not go off.", trading=True)
    else:
        yield Verdict(
            False,
            f"The drift alarm goes off after {ranks['drift_alarm']:,} rows (good: never): the market has left the "
            "calibration span.",
            trading=True,
        )


def _forward(forward: Mapping[str, Any]) -> Iterator[Verdict]:
    for horizon, report in forward.items():
        if report is None:
            continue
        gain = 1 - report["forward_crps"] / report["forward_crps_unconditional"]
        yield Verdict(
            gain > 0,
            f"{horizon} bars ahead: CRPS {abs(gain):.1%} {'better' if gain > 0 else 'worse'} than the span's own "
            "unconditional distribution (good: better), "
            f"information coefficient {report['forward_ic']:+.3f}, {report['below_quantile_5']:.1%} of outcomes "
            "below the 5 % quantile.",
            trading=True,
        )
