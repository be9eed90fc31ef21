"""What stderr shows: colour, progress."""
