"""What the times of bars say about a market: other bar sizes, and days on which nobody trades."""

__all__: list[str] = []
