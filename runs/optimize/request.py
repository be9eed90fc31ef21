"""What `scorenet optimize` was asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scorenet import ConfigError
from scorenet.base.did_you_mean import did_you_mean

from ..executors import Executor, executor_of
from ..markets import LoadOptions

__all__ = ["DEFAULT_SPACE", "Request", "SearchOptions"]

SAMPLERS = ("grid", "random", "optuna")
EVALUATORS = ("auto", "replay", "cerebro")
_LAST_SEED = 2**32 - 1  # Optuna takes no larger one

DEFAULT_SPACE = (
    "confidence_threshold=0..0.8",
    "density_quantile=0..0.3",
    "forecast_window=1..48",
    "rebalance_band=0..0.4",
    "cooldown=0..24",
)
"""What is searched by --trials alone: how strong, how familiar, how long held, how often changed."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """The options that `optimize` and `walkforward` have in common, by their names there."""

    bars: Sequence[str]
    out: str
    grid: Sequence[str] = ()
    space: Sequence[str] = ()
    constraints: Sequence[str] = ()
    trials: int | None = None
    sampler: str | None = None
    evaluator: str = "auto"
    seed: int = 0
    executor: str = "serial"
    workers: int | None = None
    ray_address: str | None = None
    device: str = "auto"
    threads: int | None = None
    resume: bool = False
    config: str | None = None
    pairs: Sequence[str] = ()
    signal: str | None = None
    load: LoadOptions = field(default_factory=LoadOptions)

    @property
    def sampler_name(self) -> str:
        """Return the sampler: every combination of a grid, or random draws where a number of trials is given."""
        return self.sampler or ("grid" if self.trials is None else "random")

    @property
    def replay_threads(self) -> int | None:
        """Return the threads of a replay: all cores (None), unless several workers share them."""
        return None if self.executor == "serial" else 1

    def new_executor(self) -> Executor:
        """Return the executor of the command.

        Raises:
            ConfigError, ModuleNotFoundError: as `executor_of`.
        """
        return executor_of(self.executor, self.workers, self.ray_address)

    def check_names(self) -> None:
        """Check the sampler, the evaluator and what they take, before hours of training and not after them.

        Raises:
            ConfigError: a name is unknown, and the message suggests the nearest; or a number is impossible.
        """
        if self.trials is not None and self.trials < 1:
            raise ConfigError(f"--trials: expected at least 1, found {self.trials}")
        if not 0 <= self.seed <= _LAST_SEED:
            raise ConfigError(f"--seed: expected a number from 0 to {_LAST_SEED:,}, found {self.seed}")
        for name, value, known in (
            ("sampler", self.sampler_name, SAMPLERS),
            ("evaluator", self.evaluator, EVALUATORS),
        ):
            if value not in known:
                raise ConfigError(
                    f"--{name}: expected {', '.join(known)}, found {value!r}{did_you_mean(value, known)}"
                )


@dataclass(frozen=True, kw_only=True)
class Request(SearchOptions):
    """The options of `scorenet optimize`, by their names there.

    Raises:
        ConfigError: two of them contradict each other.
    """

    model: str | None
    objectives: Sequence[str] = ("sharpe_ratio",)
    ahead: int = 8
    prune: bool = False
    holdout: str = "0.25"
    confirm: int = 5
    strategy: str | None = None
    command: Sequence[str] = ("scorenet", "optimize")

    def __post_init__(self) -> None:
        self.check_names()
        if not self.grid and not self.space and self.trials is None:
            raise ConfigError(
                "expected what to search: --grid key=v1,v2,... for every combination, or --trials N with --space "
                "key=low..high"
            )
        if self.sampler_name != "grid" and self.trials is None:
            raise ConfigError(f"--sampler {self.sampler_name} needs --trials N")
        if self.confirm < 1:
            raise ConfigError(f"--confirm: expected at least 1, found {self.confirm}")
        if self.model is None and self.strategy is None:
            raise ConfigError(
                "expected --model MODEL_DIR; only a --strategy without a model can do without it"
            )

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Return the texts of the settings to search."""
        own = (*self.grid, *self.space)
        if own or self.strategy is not None:
            return own
        return DEFAULT_SPACE
