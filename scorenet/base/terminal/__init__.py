"""What stderr shows: colour, progress."""

__all__: list[str] = []
