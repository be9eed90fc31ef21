"""Optimisation: a search by Optuna against a random one, sets per second by executor, and the ratio to `optstrategy`.

python benchmarks/study.py [choice|speed|ray] [--bars 17520] [--trials 200]

- choice: Optuna (TPE) and a random search, 200 trials each, on three simulated markets whose planted edge differs, some
  seeds each, one model. The score is the Sharpe ratio of the best trial on held-out bars that neither has seen.
- speed: trials per second of Cerebro (serial, two processes), of the compiled replay, of plain `optstrategy`, all in
  this run, on the same bars; equal results are asserted.
- ray: trials that wait half a second, on one and on two Ray nodes of this machine: its cores are no limit then.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import backtrader as bt
import numpy as np

from feeds import BarsData, load_bars, to_arrays
from runs.backtest import strategy_defaults, trading_start
from runs.executors import Executor, ProcessExecutor, RayExecutor, SerialExecutor
from runs.markets import LoadOptions
from runs.optimize import OptunaSampler, RandomSampler, SearchSpace, Study, TrialSetup
from runs.optimize.request import DEFAULT_SPACE
from runs.settings import Account
from runs.study import CerebroEvaluator, Evaluator, Outcome, ReplayEvaluator, Settings
from runs.study.outcome import METRICS
from runs.study.span import split
from runs.train import train
from scorenet import ModelConfig, ScoreModel
from strategies import PerpetualBroker, ScoreStrategy, Sharpe, precompute

MARKETS = ("edge=0.15", "edge=0.08", "edge=0.04")
GRID = {"density_quantile": (0.0, 0.05, 0.2), "cooldown": (0, 12)}
NEEDS = [("forward", False)]


def model_of(market: str, folder: Path) -> ScoreModel:
    """Return a quick model of three simulated years before the traded ones."""
    out = folder / market
    if not out.exists():
        brief = {"forward.horizon": 24, "state.steps": 300, "density.steps": 300, "forward.steps": 300}
        source = f"simulated:planted?seed=1&bars=26000&{market}"
        train([source], out, ModelConfig().with_values(**brief), LoadOptions(progress=False))
    return ScoreModel.load(out)


def setup_of(
    model: ScoreModel, market: str, bars: int, seed: int, holdout: str
) -> tuple[TrialSetup, TrialSetup | None]:
    """Return the setups of the search and of the held-out bars."""
    frame = load_bars(f"simulated:planted?seed={seed}&bars={bars}&{market}")
    start = trading_start(model, [frame], None)
    spans = split([frame], start, holdout)
    setup = TrialSetup(
        frames=spans.seen, account=Account(), params=strategy_defaults(), model=model, start=start
    )
    later = None if spans.held_out is None else setup.from_time((frame,), spans.held_out)
    return setup, later


def choice(args: argparse.Namespace, folder: Path) -> None:
    """Print the held-out Sharpe ratios of the best of both searches."""
    print("market       seed   in the search: optuna  random     held out: optuna  random")
    found: dict[str, list[float]] = {"optuna": [], "random": []}
    model = model_of(MARKETS[0], folder)
    for market in MARKETS:
        for seed in range(2, 2 + args.seeds):
            setup, later = setup_of(model, market, args.bars, seed, "0.33")
            assert later is not None
            scores = {}
            for name in found:
                space = SearchSpace.parse(DEFAULT_SPACE)
                sampler: Any = (
                    OptunaSampler(space, seed=seed) if name == "optuna" else RandomSampler(space, seed)
                )
                study = Study(space, ReplayEvaluator.prepare(setup, NEEDS), sampler).run(args.trials)
                assert study.best is not None
                (judged,) = ReplayEvaluator.prepare(later, NEEDS).evaluate([study.settings(study.best)])
                scores[name] = (study.best["metrics"]["sharpe_ratio"], judged.metrics["sharpe_ratio"])
                found[name].append(judged.metrics["sharpe_ratio"] or 0.0)
            (a, b), (c, d) = scores["optuna"], scores["random"]
            print(f"{market:12s} {seed:4d} {a:23.2f} {c:7.2f} {b:20.2f} {d:7.2f}", flush=True)
    wins = sum(o > r for o, r in zip(found["optuna"], found["random"], strict=True))
    print(
        f"median held-out Sharpe ratio: optuna {median(found['optuna']):.2f}, random {median(found['random']):.2f}; "
        f"optuna is better in {wins} of {len(found['optuna'])} searches of {args.trials} trials"
    )


def speed(args: argparse.Namespace, folder: Path) -> None:
    """Print sets per second of every way to run the same trials."""
    model = model_of(MARKETS[0], folder)
    setup, _ = setup_of(model, MARKETS[0], args.bars, 2, "0")
    texts = [f"{name}={','.join(map(str, values))}" for name, values in GRID.items()]
    space = SearchSpace.parse(texts)
    cerebro = CerebroEvaluator.prepare(setup, NEEDS)
    base = _optstrategy(setup)

    def show(name: str, rate: float) -> None:
        print(f"{name:42s} {rate:10.2f} sets/s {rate / base:10.1f} x optstrategy", flush=True)

    show("optstrategy, one core", base)
    ways: list[tuple[str, Evaluator, Executor]] = [
        ("cerebro, serial", cerebro, SerialExecutor()),
        ("cerebro, 2 processes", cerebro, ProcessExecutor(2)),
    ]
    wanted = None
    for name, evaluator, executor in ways:
        begun = time.perf_counter()
        study = Study(space, evaluator, executor=executor).run()
        show(name, study.n_trials / (time.perf_counter() - begun))
        wanted = study.trials if wanted is None else wanted
        assert wanted.equals(study.trials), name
    replay = ReplayEvaluator.prepare(setup, NEEDS)
    begun = time.perf_counter()
    quick = Study(space, replay).run()
    print(f"first replay, compilation or its cache included: {time.perf_counter() - begun:.1f} s")
    assert wanted is not None
    np.testing.assert_allclose(quick.trials["total_return"], wanted["total_return"], rtol=1e-9)
    many = Study(SearchSpace.parse(DEFAULT_SPACE), replay, RandomSampler(SearchSpace.parse(DEFAULT_SPACE)))
    begun = time.perf_counter()
    many.run(args.sets)
    show(f"replay, {args.sets:,} sets, journal included", args.sets / (time.perf_counter() - begun))


@dataclass(frozen=True)
class Waiting:
    """Trials that wait in place of computing, with the bars and outputs of real ones on board."""

    real: CerebroEvaluator
    seconds: float
    batch: int = 1

    def evaluate(self, batch: Sequence[Settings], floors: Sequence[float] = ()) -> Sequence[Outcome]:
        """Return an outcome of the usual size for each trial."""
        time.sleep(self.seconds * len(batch))
        metrics = dict.fromkeys(METRICS, 0.5)
        return [Outcome(metrics | {"turnover": float(s["cooldown"])}, np.zeros(730)) for s in batch]


def ray_nodes(args: argparse.Namespace, folder: Path) -> None:
    """Print the time of the same trials on one and on two Ray nodes of one CPU each."""
    from ray.cluster_utils import Cluster

    model = model_of(MARKETS[0], folder)
    setup, _ = setup_of(model, MARKETS[0], args.bars, 2, "0")
    space = SearchSpace.parse([f"cooldown={','.join(map(str, range(80)))}"])
    evaluator = Waiting(CerebroEvaluator.prepare(setup, NEEDS), 0.5)
    tables = []
    for nodes in (1, 2):
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        for _ in range(nodes):
            cluster.add_node(num_cpus=1)
        begun: list[float] = []
        executor = RayExecutor(address=cluster.address)
        study = Study(space, evaluator, executor=executor)
        study.run(told=lambda study, row, begun=begun: begun.append(time.perf_counter()))
        first = 2 * nodes  # the workers have started and read the evaluator
        rate = (len(begun) - first) / (begun[-1] - begun[first - 1])
        tables.append(study.trials)
        print(
            f"{nodes} node(s): {rate:.2f} trials of 0.5 s a second, {rate / (2 * nodes):.0%} of the possible",
            flush=True,
        )
        cluster.shutdown()
    assert tables[0].equals(tables[1])


def _optstrategy(setup: TrialSetup) -> float:
    """Return the sets per second of Backtrader's own optimiser, outputs computed beforehand."""
    (frame,) = setup.frames
    assert setup.model is not None
    precompute(setup.model, to_arrays(frame) | {"timestamp": frame["timestamp"].to_numpy()})
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(PerpetualBroker(cash=10_000))
    cerebro.adddata(BarsData(dataname=frame))
    cerebro.optstrategy(ScoreStrategy, model=[setup.model], **GRID)
    cerebro.addanalyzer(Sharpe, _name="sharpe")
    begun = time.perf_counter()
    return len(cerebro.run(maxcpus=1)) / (time.perf_counter() - begun)


def main() -> None:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=["choice", "speed"], help="choice, speed, ray")
    parser.add_argument("--bars", type=int, default=17_520)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", type=int, default=5_000)
    parser.add_argument("--models", help="a folder that keeps the models for the next run")
    args = parser.parse_args()
    parts = {"choice": choice, "speed": speed, "ray": ray_nodes}
    with TemporaryDirectory() as temporary:
        for part in args.parts:
            parts[part](args, Path(args.models or temporary))


if __name__ == "__main__":
    main()
