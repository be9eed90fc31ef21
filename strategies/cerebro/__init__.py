"""What a strategy meets in a user's own Cerebro: other datas, indicators and overridden methods; panels of a plot."""

__all__: list[str] = []
