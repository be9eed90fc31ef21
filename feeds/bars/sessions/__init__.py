"""What the times of bars say about a market: other bar sizes, and days on which nobody trades."""

from .spacing import Stretch, other_sizes, rests_at_weekends

__all__ = ["Stretch", "other_sizes", "rests_at_weekends"]
