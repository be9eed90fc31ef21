"""Options of the commands: what no option may take."""

import click
import pytest

from runs.cli import main


def numbers(group=main, path=()):
    """Yield every option of every command that takes a number with decimals."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from numbers(command, (*path, name))
            continue
        for option in command.params:
            if isinstance(option.type, click.types.FloatParamType):
                yield pytest.param(option, id=" ".join((*path, name, option.opts[0])))


def test_live_has_limits_that_are_numbers():
    assert {"live --max-loss", "live --max-order", "live --notify-after"} <= {found.id for found in numbers()}


# NaN passes every comparison of a range: a limit of NaN would be no limit, and nobody would be told.
@pytest.mark.parametrize("option", list(numbers()))
@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", "1e999"])
def test_a_number_that_is_not_finite_is_refused(option, text):
    with pytest.raises(click.BadParameter):
        option.type.convert(text, option, None)
