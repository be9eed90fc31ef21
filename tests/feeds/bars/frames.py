"""Frames and strategies (hypothesis) that the tests of feeds share."""

import numpy as np
import pandas as pd
from hypothesis import strategies as st

HOUR = 3_600_000
START = 1_704_067_200_000  # 2024-01-01T00:00:00Z


def frame_of(opens, highs, lows, closes, volumes, *, start=START, step=HOUR):
    return pd.DataFrame(
        {
            "timestamp": start + step * np.arange(len(opens), dtype=np.int64),
            "open": np.asarray(opens, dtype=float),
            "high": np.asarray(highs, dtype=float),
            "low": np.asarray(lows, dtype=float),
            "close": np.asarray(closes, dtype=float),
            "volume": np.asarray(volumes, dtype=float),
        }
    )


def small_frame(bars=5, *, start=START, step=HOUR):
    """Return bars whose numbers can be checked by eye: opens 100, 101, ... closes one higher."""
    opens = 100.0 + np.arange(bars)
    return frame_of(opens, opens + 2, opens - 1, opens + 1, 10.0 + np.arange(bars), start=start, step=step)


@st.composite
def valid_frames(draw, min_bars=2, max_bars=30):
    bars = draw(st.integers(min_bars, max_bars))
    price = st.floats(1e-9, 1e9)
    corners = [sorted(draw(st.tuples(price, price, price, price))) for _ in range(bars)]
    up = draw(st.lists(st.booleans(), min_size=bars, max_size=bars))
    volumes = draw(st.lists(st.floats(0, 1e12), min_size=bars, max_size=bars))
    start = HOUR * draw(st.integers(130_000, 700_000))
    return frame_of(
        [c[1] if rises else c[2] for c, rises in zip(corners, up, strict=True)],
        [c[3] for c in corners],
        [c[0] for c in corners],
        [c[2] if rises else c[1] for c, rises in zip(corners, up, strict=True)],
        volumes,
        start=start,
    )
