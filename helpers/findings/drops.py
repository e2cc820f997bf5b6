"""Where viewers leave a video: drops beyond its own trend, and what is watched again.

The curve of a video counts, for each cell of its length, the plays that saw it. Plays that leave
do so for good, so neighbouring cells hang together; what is tested is how many leave in a window
of those who were there, beside what the seconds around it let expect.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

WITHIN = 5.0  # seconds in which a drop happens
LEAST_LOST = 0.10  # of the first cell, beyond the trend
OPENING = 5.0  # seconds: who leaves here came by accident; it is named, and is no drop
SETTLED = 3.0  # seconds: most accidents are over, so that the trend can be read from here on
NEARBY = 20.0  # seconds before and after a window, or as many cells as here, that give its trend
NEARBY_CELLS = 10
LEAST_NEARBY = 4  # cells: with fewer there is no trend to compare with
ERROR = 0.05  # chance of a drop in a video that has none, over all its cells
PEAK_TIMES, PEAK_PLAYS = 2, 10  # rewatches beside the video's median, and at least
DROPS = {"media_id": str, "title": str, "second": float, "lost": float, "left": float}
PEAKS = {"media_id": str, "title": str, "second": float, "rewatched": float, "left": float}


def scale_curves(engagement: pd.DataFrame, titles: pd.Series, min_cell: int) -> pd.DataFrame:
    """The curves that may be shown, as shares of a video's first cell.

    Parameters
    ----------
    engagement : DataFrame
        A row for each video and cell, in order: media_id, second (start of the cell), seconds (its
        length), plays that saw it, rewatches of it.
    titles : Series
        Title by media_id.
    min_cell : int
        A video that fewer plays began has no curve.

    Returns
    -------
    DataFrame
        media_id, title, second [s], watching and rewatched [0 to 1, whole percents].
    """
    first = engagement.groupby("media_id")["plays"].transform("first")
    shown = engagement[first >= max(min_cell, 1)]
    first = first[shown.index]
    return pd.DataFrame(
        {
            "media_id": shown["media_id"],
            "title": shown["media_id"].map(titles),
            "second": shown["second"],
            "watching": (shown["plays"] / first).clip(upper=1).round(2),
            "rewatched": (shown["rewatches"] / first).round(2),
        }
    ).reset_index(drop=True)


def find_drops(plays: np.ndarray, cell: float) -> pd.DataFrame:
    """The drops of one video.

    Parameters
    ----------
    plays : array of int
        Plays that saw each cell.
    cell : float
        Length of a cell [s].

    Returns
    -------
    DataFrame, by time
        second (end of the steepest cell; falls that touch or fit into 5 seconds are one), lost and
        left [0 to 1 of the first cell, whole percents].
    """
    watching = np.asarray(plays, float)
    leaving, fallen = -np.diff(watching), np.zeros(max(len(watching) - 1, 0), bool)
    while fall := _clearest_fall(watching, cell, fallen):
        fallen[fall] = True
    rows = []
    for start, end in _stretches(fallen, gap=max(_widest(cell) - 2, 0)):
        second = (start + leaving[start:end].argmax() + 1) * cell
        lost = watching[start] - watching[end]
        rows.append((second, *np.round([lost / watching[0], watching[end] / watching[0]], 2)))
    return pd.DataFrame(rows, columns=["second", "lost", "left"], dtype=float)


def find_peaks(plays: np.ndarray, rewatches: np.ndarray, cell: float) -> pd.DataFrame:
    """What is watched again in one video: twice the median of its cells, and 10 plays or more.

    Returns
    -------
    DataFrame, by time
        second (start of the cell with most rewatches; peaks within 5 seconds are one), rewatched
        and left [0 to 1 of the first cell, whole percents].
    """
    rewatches = np.asarray(rewatches, float)
    high = rewatches >= max(PEAK_TIMES * np.median(rewatches), PEAK_PLAYS)
    rows = []
    for start, end in _stretches(high, gap=_widest(cell)):
        top = start + rewatches[start:end].argmax()
        shares = np.round([rewatches[top] / plays[0], plays[top] / plays[0]], 2)
        rows.append((top * cell, *shares))
    return pd.DataFrame(rows, columns=["second", "rewatched", "left"], dtype=float)


def lost_in_opening(plays: np.ndarray, cell: float) -> float:
    """Share of the first cell that leaves in the first 5 seconds [0 to 1, whole percents]."""
    after = min(math.ceil(OPENING / cell), len(plays) - 1)
    return round(max(1 - plays[after] / plays[0], 0.0), 2)


def _widest(cell: float) -> int:
    """Cells of the widest window: 5 seconds, but one at least; five cells of 1.01 s will do."""
    return max(1, int(WITHIN / cell + 0.05))


def _clearest_fall(watching: np.ndarray, cell: float, fallen: np.ndarray) -> slice | None:
    """The window, of those not yet taken, that is furthest beyond the trend; None if none is."""
    from scipy.stats import skellam

    leaving, least = -np.diff(watching), LEAST_LOST * watching[0]
    first = math.ceil(OPENING / cell)
    cells, clearest, best = len(leaving) - first, 0.0, None
    for width in range(1, _widest(cell) + 1):
        if width > cells:
            break
        fell = watching[first : len(watching) - width] - watching[first + width :]
        for start in first + np.flatnonzero(fell >= least):
            window = slice(start, start + width)
            if fallen[window].any():
                continue
            lost = leaving[window].sum()
            for exposed in (watching[:-1], np.ones(len(leaving))):
                expected, variance = _trend(leaving, exposed, cell, window, fallen)
                joined = (variance + expected) / 2, (variance - expected) / 2
                chance = skellam.sf(lost - 1, *joined) if variance else 1.0
                if lost - expected < least or chance * cells > ERROR:
                    break
            else:
                clear = (lost - expected) / math.sqrt(variance)
                if clear > clearest:
                    clearest, best = clear, window
    return best


def _trend(
    leaving: np.ndarray, exposed: np.ndarray, cell: float, window: slice, fallen: np.ndarray
) -> tuple[float, float]:
    """How many the cells around a window let expect to leave in it, and the variance of that.

    Leaving is a rate of what is `exposed`: of those who are there, or, with ones, of the time. The
    rate is a line through the cells nearby, at least their mean, by weighted least squares; falls
    and the largest rise, such as a jump to the end, are left aside. The variance is that of the
    counting, of those who skip (twice the squares below the line, which no fall enlarges) and of
    the line itself. One more who leaves and one more who skips than were seen are counted, for
    where next to no one does.
    """
    times = (np.arange(len(leaving)) + 0.5) * cell
    reach = max(NEARBY, NEARBY_CELLS * cell)
    nearby = (np.abs(times - times[window].mean()) <= reach) & (times >= SETTLED) & ~fallen
    nearby[window] = False
    rise = np.where(nearby, leaving, 0).argmin()
    nearby[rise] &= leaving[rise] >= 0
    if nearby.sum() < LEAST_NEARBY:
        return 0.0, 0.0
    line = np.stack([np.ones_like(times), (times - times[window].mean()) / reach], axis=1)
    x, weight, left = line[nearby], exposed[nearby], leaving[nearby]
    inside = exposed[window].sum()
    inverse = np.linalg.pinv((x.T * weight) @ x)
    smoother = exposed[window] @ line[window] @ inverse @ x.T
    fitted = np.maximum(x @ (inverse @ x.T @ left), 0) * weight
    one_more = inside / weight.sum()
    expected = max(smoother @ left, one_more * left.sum(), 0.0) + one_more
    below = 2 * (np.minimum(left - fitted, 0) ** 2).sum() - fitted.sum()
    skipping = (max(below, 0.0) + 2) / weight.sum()  # who skips leaves once and comes back once
    of_line = (smoother**2 * (fitted + skipping * weight)).sum() + one_more**2
    return expected, expected + skipping * inside + of_line


def _stretches(chosen: np.ndarray, gap: int) -> list[tuple[int, int]]:
    """Where true cells begin and end; those with up to `gap` others between them are one."""
    places = np.flatnonzero(chosen)
    if not len(places):
        return []
    breaks = np.flatnonzero(np.diff(places) > gap + 1)
    starts, ends = places[np.r_[0, breaks + 1]], places[np.r_[breaks, len(places) - 1]] + 1
    return list(zip(starts.tolist(), ends.tolist(), strict=True))
