"""Simulated plays of one video: a survival process, so that neighbouring cells hang together.

Each play begins at the start (a few further in), leaves at a random time by a smooth hazard, now
and then skips a stretch or watches one again. A planted drop makes just so many of those who are
there leave within a few seconds.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

MOST_CELLS = 1000


@dataclass(frozen=True)
class Video:
    """Length [s], plays, and how its viewers leave.

    ``stay``: share that would see the end; ``shape`` of the Weibull hazard: under 1 most leave
    early, over 1 late; ``bounce``: share that leaves in the first seconds, 3 s on average;
    ``late``: share that begins at a random place; ``skips`` and ``again``: stretches skipped and
    watched again by each play, on average.
    """

    length: int
    plays: int
    stay: float = 0.5
    shape: float = 1.0
    bounce: float = 0.0
    late: float = 0.0
    skips: float = 0.0
    again: float = 0.0

    @property
    def cell(self) -> float:
        return self.length / min(self.length, MOST_CELLS)


def any_video(rng: np.random.Generator, length: int, plays: int) -> Video:
    """A video of the length with a smooth decay, steep or flat, early or late."""
    choices = {
        "stay": [0.02, 0.1, 0.3, 0.6, 0.9],
        "shape": [0.5, 0.75, 1.0, 1.5, 2.5],
        "bounce": [0, 0.15, 0.3],
        "late": [0, 0.05],
        "skips": [0, 0.1, 0.3],
        "again": [0, 0.1, 0.3],
    }
    return Video(length, plays, **{name: rng.choice(of) for name, of in choices.items()})


def simulate(
    video: Video, rng: np.random.Generator, *, drop_at: float | None = None, lost: float = 0.2
) -> pd.DataFrame:
    """One row per cell: second (start of the cell), seconds, plays that saw it, rewatches of it.

    Parameters
    ----------
    drop_at : float, optional
        Within 3 seconds from here `lost` of the plays leave, beside those who leave anyway.
    """
    plays, length, cell = video.plays, video.length, video.cell
    begin = np.where(rng.random(plays) < video.late, rng.uniform(0, length, plays), 0.0)
    # Inverse of the survival function, from the place where the play began.
    passed = (begin / length) ** video.shape
    until = passed + np.log(rng.random(plays)) / np.log(video.stay)
    leave = np.minimum(until ** (1 / video.shape) * length, length)
    gone = rng.random(plays) < video.bounce
    leave[gone] = np.minimum(leave, begin + rng.exponential(3, plays))[gone]
    if drop_at is not None:
        there = np.flatnonzero((begin < drop_at) & (leave > drop_at + 3))
        chosen = rng.choice(there, min(round(lost * plays), len(there)), replace=False)
        leave[chosen] = drop_at + rng.uniform(0, 3, len(chosen))
    count = min(length, MOST_CELLS)
    first = (begin / cell).astype(int)
    last = np.minimum((leave / cell).astype(int), count - 1)
    seen = _cover(first, last + 1, count)
    skippers = np.flatnonzero(rng.random(plays) < video.skips)
    jump = rng.uniform(5, 30, len(skippers))
    start = begin[skippers] + rng.random(len(skippers)) * (leave - begin)[skippers]
    skip_from = (start / cell).astype(int) + 1
    skip_to = np.minimum(((start + jump) / cell).astype(int), last[skippers])
    seen -= _cover(skip_from, np.maximum(skip_from, skip_to), count)
    again = np.flatnonzero(rng.random(plays) < video.again)
    end = begin[again] + rng.random(len(again)) * (leave - begin)[again]
    back = np.maximum(end - rng.uniform(5, 20, len(again)), begin[again])
    rewatched = _cover((back / cell).astype(int), (end / cell).astype(int) + 1, count)
    return pd.DataFrame(
        {"second": np.arange(count) * cell, "seconds": cell, "plays": seen, "rewatches": rewatched}
    )


def _cover(first: np.ndarray, end: np.ndarray, count: int) -> np.ndarray:
    """How many of the stretches [first, end) hold each cell."""
    edges = np.bincount(np.minimum(first, count), minlength=count + 1).astype(np.int64)
    edges -= np.bincount(np.minimum(end, count), minlength=count + 1)
    return edges.cumsum()[:count]
