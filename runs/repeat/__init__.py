"""Run a stored backtest again: from its own config.toml, or to prove that it gives the same."""

__all__: list[str] = []
