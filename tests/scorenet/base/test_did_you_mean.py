"""Suggestions for misspelled names."""

from scorenet.base.did_you_mean import close_matches, did_you_mean


def test_the_nearest_name_is_the_hint():
    assert did_you_mean("sharp_ratio", ["sortino_ratio", "sharpe_ratio"]) == "; did you mean 'sharpe_ratio'?"


def test_nothing_near_means_no_hint():
    assert did_you_mean("xyz", ["sharpe_ratio"]) == ""


def test_case_does_not_count_and_the_known_spelling_is_returned():
    assert close_matches("OPEN", ["Close", "Open"]) == ["Open"]
