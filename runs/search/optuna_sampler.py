"""Trials proposed by an Optuna study: TPE by default, several objectives, or the user's own study."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scorenet import ConfigError

from .dimensions import Choice, Dimension, IntRange
from .samplers import Proposal
from .space import SearchSpace

if TYPE_CHECKING:
    import optuna

__all__ = ["OptunaSampler"]

_REFUSALS = 20  # proposals in a row that the constraints refuse, before one is drawn that they allow
_TRIES = 100_000
_DIRECTIONS = ("maximize", "minimize")


class OptunaSampler:
    """Ask an Optuna study for trials and tell it their objectives.

    A proposal that breaks a constraint is closed in the study as pruned, with the attribute `refused`, and is not a
    trial. The same seed gives the same proposals if results are told in the same order.

    Args:
        directions: "maximize" or "minimize" for each objective.
        study: the user's study, with its own sampler and storage; by default one in memory with TPE and `seed`.

    Raises:
        ConfigError: a direction is unknown, or those of the study are others.
        ModuleNotFoundError: optuna is not installed.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        directions: Sequence[str] = ("maximize",),
        seed: int = 0,
        study: optuna.Study | None = None,
    ) -> None:
        if not directions or any(direction not in _DIRECTIONS for direction in directions):
            raise ConfigError(
                f"directions: expected maximize or minimize for each objective, found {directions!r}"
            )
        self._optuna = _optuna()
        self._space = space
        self.study: optuna.Study = self._new_study(directions, seed) if study is None else study
        found = [direction.name.lower() for direction in self.study.directions]
        if found != list(directions):
            raise ConfigError(
                f"study: expected the directions {', '.join(directions)}, found {', '.join(found)}; "
                f"create it with optuna.create_study(directions={list(directions)})"
            )
        self._rng = random.Random(seed)
        self._distributions = {name: self._distribution(d) for name, d in space.dimensions.items()}

    @property
    def at_most(self) -> int | None:
        """Return None: a study may propose a combination again."""
        return None

    def ask(self) -> Proposal:
        """Return the next trial; its number is that of the trial in the study.

        Raises:
            ConfigError: no combination that fulfils the constraints was found.
        """
        for tries in range(_TRIES):
            if tries and tries % _REFUSALS == 0:
                self.study.enqueue_trial(self._encoded(self._allowed()))
            trial = self.study.ask(self._distributions)
            params = self._decoded(trial.params)
            if self._space.allows(params):
                return Proposal(trial.number, params)
            trial.set_user_attr("refused", "a constraint")
            self.study.tell(trial, state=self._optuna.trial.TrialState.PRUNED)
        raise ConfigError(
            f"the study proposed no combination that fulfils the constraints in {_TRIES:,} tries"
        )

    def tell(self, number: int, values: Sequence[float] | None) -> None:
        """Report the objectives of a trial; None, or one that is not a number: it failed."""
        if values is None or any(math.isnan(value) for value in values):
            self.study.tell(number, state=self._optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(number, list(values))

    def _new_study(self, directions: Sequence[str], seed: int) -> Any:
        level = self._optuna.logging.get_verbosity()
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        try:
            sampler = self._optuna.samplers.TPESampler(seed=seed)
            return self._optuna.create_study(directions=list(directions), sampler=sampler)
        finally:
            self._optuna.logging.set_verbosity(level)

    def _distribution(self, dimension: Dimension) -> Any:
        kinds = self._optuna.distributions
        if isinstance(dimension, Choice):
            return kinds.CategoricalDistribution([_label(value) for value in dimension.values])
        if isinstance(dimension, IntRange):
            return kinds.IntDistribution(dimension.low, dimension.high, log=dimension.log)
        return kinds.FloatDistribution(dimension.low, dimension.high, log=dimension.log)

    def _decoded(self, params: dict[str, Any]) -> dict[str, Any]:
        values = {}
        for name, dimension in self._space.dimensions.items():
            value = params[name]
            if isinstance(dimension, Choice):
                labels = [repr(_label(known)) for known in dimension.values]
                value = dimension.values[labels.index(repr(value))]
            values[name] = value
        return values

    def _encoded(self, params: dict[str, Any]) -> dict[str, Any]:
        kinds = self._space.dimensions
        return {n: _label(v) if isinstance(kinds[n], Choice) else v for n, v in params.items()}

    def _allowed(self) -> dict[str, Any]:
        for _ in range(_TRIES):
            params = self._space.draw(self._rng)
            if self._space.allows(params):
                return params
        raise ConfigError(f"no combination in {_TRIES:,} draws fulfils the constraints; narrow the ranges")


def _label(value: Any) -> Any:
    # A study's storage holds only these types; anything else is shown as text.
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"The search by TPE needs {error.name}: pip install 'scorenet[optimize]'"
        ) from error
    return optuna
