"""docs/deploy.md and its files: commands and options exist, the unit and the alert rules fit what the code does."""

import configparser
import re
import shlex
from pathlib import Path

import pytest

from runs.cli import main
from runs.watch.observer import BEAT_SECONDS

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = (DOCS / "deploy.md").read_text()
DOCKERFILE = (DOCS / "deploy" / "Dockerfile").read_text()


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str
    parser.read_string((DOCS / "deploy" / "scorenet-live.service").read_text())
    return parser


def instruction(name: str) -> str:
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)[-1]


def calls() -> list[list[str]]:
    """Return every call of scorenet in the page and its files, without the program's name."""
    lines = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    lines += [unit()["Service"]["ExecStart"], instruction("HEALTHCHECK").partition("CMD ")[2]]
    pattern = r"(?:^|\s|/)scorenet ((?:live|status|train|backtest|fetch|report)\b[^|&;]*)"
    found = [shlex.split(words) for line in lines for words in re.findall(pattern, line)]
    return [*found, re.findall(r'"([^"]*)"', instruction("CMD"))]


@pytest.mark.parametrize("words", calls(), ids=" ".join)
def test_commands_and_their_options_exist(words):
    command = main.commands[words[0]]
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    if words[0] == "live":
        context = command.make_context("live", words[1:])
        assert context.params["paper"]
        assert not context.params["real_orders"]


def test_there_are_the_calls_that_matter():
    assert [words[0] for words in calls()].count("live") == 2
    assert [words[0] for words in calls()].count("status") >= 3


def test_the_unit_restarts_only_what_a_restart_can_help():
    service = unit()["Service"]
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"
    assert service["SuccessExitStatus"].split() == ["130", "143"]
    assert service["KillSignal"] == "SIGTERM"
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 120 + 2 * BEAT_SECONDS
    assert "--adopt" not in service["ExecStart"]
    assert int(unit()["Unit"]["StartLimitBurst"]) == 5


def test_no_file_has_a_secret_in_it_and_the_page_names_every_variable():
    example = (DOCS / "deploy" / "live.env.example").read_text()
    for name in re.findall(r"^#? ?([A-Z_]+)=", example, re.MULTILINE):
        assert f"`{name}`" in PAGE
    assert "install -D -m 0600 docs/deploy/live.env.example" in PAGE
    for words in calls():
        assert "--notify" not in words


def test_the_container_is_small_and_not_root():
    assert len(re.findall(r"^FROM ", DOCKERFILE, re.MULTILINE)) == 2
    assert instruction("USER") == "10001"
    assert instruction("HEALTHCHECK").endswith("|| exit 1")
    health, run = calls()[-2], calls()[-1]
    assert health[1] == run[run.index("--out") + 1]
    assert run[run.index("--metrics-port") + 1] == instruction("EXPOSE")


def test_what_is_copied_and_linked_exists():
    root = DOCS.parent
    for names in re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        assert all((root / name).exists() for name in names.split())
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (DOCS / target).exists(), target


def test_the_extra_that_the_page_names_has_the_library():
    text = (DOCS.parent / "pyproject.toml").read_text()
    assert re.search(r'^ops = \["prometheus-client', text, re.MULTILINE)
