"""`check-model` on bars and on the model's own samples: the metrics, the page, and an unchanged model folder."""

import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from runs.check.model import _seen, check_model
from runs.check.page import render_check
from runs.check.verdict import judge
from runs.cli import main
from runs.folder.rundir import UnwritableRun
from runs.markets import LoadOptions
from scorenet import CheckpointError, ScoreModel, TooFewBars

QUIET = LoadOptions(progress=False)
BARS = "simulated:planted?seed=6&bars=700&start=2021-01-01"


@pytest.fixture(scope="module")
def model_dir(tiny_model_dir, tmp_path_factory):
    return shutil.copytree(tiny_model_dir, tmp_path_factory.mktemp("check") / "model")


@pytest.fixture(scope="module")
def on_bars(model_dir):
    return check_model(model_dir, [BARS], None, QUIET)


@pytest.fixture(scope="module")
def on_samples(model_dir, tmp_path_factory):
    return check_model(model_dir, [], tmp_path_factory.mktemp("samples") / "deep" / "check", QUIET)


def test_the_model_folder_stays_loadable_and_holds_the_check(model_dir, on_bars):
    assert {path.name for path in (model_dir / "check").iterdir()} == {"check.json", "check.html"}
    assert ScoreModel.load(model_dir).fingerprint == on_bars["model"]["fingerprint"]


def test_the_file_holds_what_is_returned_and_the_chapters_metrics_by_name(model_dir, on_bars):
    stored = json.loads((model_dir / "check" / "check.json").read_text())
    assert stored == {key: value for key, value in on_bars.items() if key != "page"}
    assert set(stored["key_metrics"]) == {"dsm_loss", "score_accuracy", "density_calibration"}
    assert all(isinstance(value, float) for value in stored["key_metrics"].values())
    assert stored["seen_in_training"] == 0.0
    assert set(stored["forward"]) == {"4"}
    assert sum(stored["forward"]["4"]["pit"]) == pytest.approx(1.0)
    assert {row["first"] for row in stored["score"]["routes"]} == {"heat"}


def test_gates_are_measured_plain_and_adaptive(on_bars):
    rows = on_bars["gates"]["planted-6"]
    assert [row["level"] for row in rows] == [0.01, 0.05, 0.10]
    bound = (0.99 + 0.005) / (0.005 * on_bars["score"]["rows"])
    assert all(abs(row["adaptive"] - row["level"]) <= bound for row in rows)


def test_without_bars_it_measures_its_samples_and_shows_what_is_stored(on_samples, tiny_model):
    assert on_samples["measured_on"] == "samples"
    assert "ranks" not in on_samples
    stored = tiny_model.info["metrics"]
    assert on_samples["key_metrics"]["dsm_loss"] == stored["dsm_loss"]
    assert on_samples["stored"] == stored


def test_bars_that_trained_the_model_are_named(model_dir, tmp_path):
    again = check_model(model_dir, ["simulated:planted?seed=5&bars=1000"], tmp_path, QUIET)
    assert again["seen_in_training"] > 0.9
    assert any("trained or calibrated" in verdict["text"] for verdict in again["verdicts"])


def test_the_page_is_self_contained_and_names_every_panel(on_bars, on_samples):
    for content in (on_bars, on_samples):
        html = render_check(content)
        assert not re.search(r"(src|href)=|https?://|<script|@import|url\(", html)
        assert html.count("<svg") >= 3
        for name in ("explained", "losses", "stein", "routes", "training", "provenance"):
            assert f'id="{name}"' in html
    assert 'id="coverage"' in render_check(on_bars)
    assert 'id="coverage"' not in render_check(on_samples)


def test_hostile_names_are_escaped(on_bars):
    evil = "<script>alert(1)</script>"
    content = {**on_bars, "model": {**on_bars["model"], "path": evil, "symbols": [evil]}}
    content["gates"] = {evil: on_bars["gates"]["planted-6"]}
    html = render_check(content)
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_findings_put_what_is_wrong_first(on_bars):
    spoiled = json.loads(json.dumps(on_bars))
    spoiled["score"]["stein"][0] |= {"z": 50.0, "gap": 9.0, "standard_error": 0.18}
    spoiled["seen_in_training"] = 0.0
    found = judge(spoiled)
    assert [verdict.good for verdict in found] == sorted(verdict.good for verdict in found)
    assert any("Stein identities fail" in verdict.text for verdict in found if not verdict.good)


def test_impossible_places_and_too_few_bars_are_explained(model_dir, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UnwritableRun, match="expected --out to name a folder"):
        check_model(model_dir, [], tmp_path / "file", QUIET)
    with pytest.raises(TooFewBars, match="check a model on them"):
        check_model(model_dir, ["simulated:planted?seed=6&bars=60"], tmp_path, QUIET)
    with pytest.raises(CheckpointError, match="is not a model folder"):
        check_model(tmp_path, [], None, QUIET)


def test_the_device_is_that_of_the_check_and_a_missing_one_is_named(model_dir, tmp_path, monkeypatch):
    class Reached(Exception):
        pass

    def report(*_, device, **__):
        raise Reached(device)

    monkeypatch.setattr("runs.check.model.score_report", report)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(Reached, match="auto"):
        check_model(model_dir, [], tmp_path, QUIET)
    words = ["check-model", str(model_dir), "--out", str(tmp_path), "--quiet", "--device"]
    with pytest.raises(Reached, match="cpu"):
        CliRunner().invoke(main, [*words, "cpu"], catch_exceptions=False)
    for device, told in (
        ("cuda", "'cuda' needs a GPU, and torch finds no GPU"),
        ("tpu", "expected auto, cpu or cuda"),
    ):
        refused = CliRunner().invoke(main, [*words, device])
        assert (refused.exit_code, told in refused.output) == (2, True), refused.output


def test_the_command_prints_text_and_json(model_dir, tmp_path):
    words = ["check-model", str(model_dir), "--bars", BARS, "--out", str(tmp_path), "--quiet"]
    text = CliRunner().invoke(main, words)
    assert text.exit_code == 0, text.output
    for name in ("dsm_loss", "score_accuracy", "density_calibration", "explained_variance", "check.html"):
        assert name in text.output
    told = CliRunner().invoke(main, [*words, "--json"])
    content = json.loads(told.stdout)
    assert content["page"] == str(tmp_path / "check.html")
    assert np.isfinite(content["key_metrics"]["score_accuracy"])


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere"], 1, "is not a model folder"),
        (["nowhere", BARS], 2, "expected bars as --bars SOURCE"),
        (["{model}", "--bars", "simulated:nothing"], 2, "nothing"),
    ],
)
def test_exit_codes_and_messages_are_those_of_the_other_commands(model_dir, words, code, message):
    found = CliRunner().invoke(main, ["check-model", *(word.format(model=model_dir) for word in words)])
    assert found.exit_code == code
    assert message in found.output
    assert "Traceback" not in found.output


def test_the_marks_of_a_flat_training_curve_differ(on_samples):
    log = {"state": {"steps": [0, 50, 100], "validation": [0.8641, 0.8644, 0.8642], "best_step": 0}}
    page = render_check({**on_samples, "training_log": log})
    chart = page[page.index("Training of state") :]
    *marks, _last = re.findall(r">(0\.86\d+)<", chart)
    assert len(set(marks)) == len(marks) >= 3


def test_a_route_that_is_off_is_not_called_near(on_samples):
    for rms, near, told in ((0.2, True, "only 0.20 nat (rms) off"), (0.9, False, "is 0.90 nat (rms) off")):
        routes = [{"first": "heat", "second": "per_bar", "bias": 0.0, "rms": rms, "correlation": 1.0}]
        found = judge({**on_samples, "score": {**on_samples["score"], "routes": routes}})
        assert next(verdict.good for verdict in found if told in verdict.text) is near


def test_the_whole_span_of_a_refit_counts_as_seen(tiny_model):
    first, last = tiny_model.info["training_span"][0], tiny_model.info["seen_until"]
    refit = replace(tiny_model, info=tiny_model.info | {"refit": True, "training_span": [first, last]})
    markets, hour = [SimpleNamespace(symbol="planted-5")], tiny_model.info["bar_ms"]
    times = [last + hour * np.arange(-9, 31)]
    assert _seen(refit, markets, times) == 10 / 40
    assert _seen(tiny_model, markets, times) == 0.0, (
        "these bars measured the plain model, and trained nothing"
    )


def test_figures_measured_before_a_refit_are_said_to_be(on_samples):
    refit = {**on_samples, "model": {**on_samples["model"], "refit": True}}
    words = "measured before the weights were fitted again"
    assert [words in verdict.text for verdict in judge(refit)].count(True) == 1
    assert not any(words in verdict.text for verdict in judge(on_samples))
    assert words in render_check({**refit, "verdicts": [verdict._asdict() for verdict in judge(refit)]})


def stein(gap, z, sigma=0.2):
    return {"name": "cross", "sigma": sigma, "gap": gap, "standard_error": gap / z, "z": z}


@pytest.mark.parametrize(
    ("rows", "good", "told"),
    [
        ([stein(0.5, 3.9)], True, "satisfies Stein's identities on these rows within chance"),
        (
            [stein(0.4, 4.7), stein(0.1, 1.0)],
            True,
            "1 of 2 Stein identities are off beyond chance, by too little",
        ),
        ([stein(0.6, 4.7), stein(0.1, 1.0)], False, "1 of 2 Stein identities fail"),
    ],
)
def test_the_sentence_on_stein_agrees_with_its_table(on_samples, rows, good, told):
    """A gap of 0.4 at sigma 0.2 is 0.08 relative, below the mark of 0.1; z = 4.7 is beyond chance all the same."""
    score = {**on_samples["score"], "stein": rows}
    found = next(verdict for verdict in judge({**on_samples, "score": score}) if "Stein" in verdict.text)
    assert found.good is good
    assert told in found.text
    assert "(good: gap up to 0.1, or up to 4 standard errors)" in found.text
    assert ("4.7 standard errors" in found.text) is (rows[0]["z"] == 4.7)


def test_every_mark_names_its_threshold_and_trading_stands_apart(on_bars):
    found = judge(on_bars)
    unmarked = [
        verdict.text for verdict in found if "(good: " not in verdict.text and "good: up" not in verdict.text
    ]
    assert all("does not go off" in text or "fitted again" in text for text in unmarked)
    assert {True, False} == {verdict.trading for verdict in found}
    page = render_check(on_bars)
    assert page.index("What trading uses") < page.index("What tells how good the score is")


def test_a_brief_check_has_the_same_parts_and_says_that_there_is_more(model_dir, on_bars, tmp_path):
    words = ["check-model", str(model_dir), "--bars", BARS, "--out", str(tmp_path)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "--thorough measures more rows and every density method" in done.stdout
    said = [line.removeprefix("scorenet: measuring ") for line in done.stderr.splitlines()]
    assert said[1:] == ["explained variance", "Stein identities", "density routes", "samples"]
    brief = json.loads((tmp_path / "check.json").read_text())
    assert set(brief) == set(on_bars) - {"page"}
    assert (brief["thorough"], on_bars["thorough"]) == (False, True)
    assert {row["second"] for row in brief["score"]["routes"]} == {"flow", "per_bar"}
    assert brief["ranks"] == on_bars["ranks"]
    assert brief["key_metrics"]["density_calibration"] == pytest.approx(
        brief["ranks"]["density_calibration"], abs=1e-6
    )
