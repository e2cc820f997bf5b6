"""Where viewers leave a video: drops beyond its own trend, and what is watched again.

The curve of a video counts, for each cell of its length, the plays that saw it. Plays that leave
do so for good, so neighbouring cells hang together; what is tested is how many leave in a window
of those who were there, beside what the seconds around it let expect.
"""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from helpers.findings.section import Section, make_section

WITHIN = 5.0  # seconds in which a drop happens
LEAST_LOST = 0.10  # of the first cell, beyond the trend
OPENING = 5.0  # seconds: who leaves here came by accident; it is named, and is no drop
SETTLED = 3.0  # seconds: most accidents are over, so that the trend can be read from here on
NEARBY = 20.0  # seconds before and after a window, or as many cells as here, that give its trend
NEARBY_CELLS = 10
LEAST_NEARBY = 4  # cells: with fewer there is no trend to compare with
ERROR = 0.05  # chance of a drop in a video that has none, over all its cells
PEAK_TIMES, PEAK_PLAYS = 2, 10  # rewatches beside the video's median, and at least
MOST_POINTS = 100  # of a curve in the report; the whole one is in retention.csv
MOST_WORDS = 3  # drops that are named in the finding


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
    curves = engagement.assign(
        title=engagement["media_id"].map(titles),
        watching=(engagement["plays"] / first).clip(upper=1).round(2),
        rewatched=(engagement["rewatches"] / first).round(2),
    )
    columns = ["media_id", "title", "second", "watching", "rewatched"]
    return curves.loc[first >= max(min_cell, 1), columns].reset_index(drop=True)


def list_places(
    find: Callable, engagement: pd.DataFrame, titles: pd.Series, min_cell: int
) -> pd.DataFrame:
    """The drops, or peaks, of all videos that have a curve.

    Parameters
    ----------
    find : callable
        :func:`find_drops` or :func:`find_peaks`.
    engagement, titles, min_cell
        As of :func:`scale_curves`.

    Returns
    -------
    DataFrame
        media_id, title, and the columns of `find`.
    """
    found = [find(np.ones(1), np.zeros(1), 1.0).assign(media_id="")]  # no rows: the columns
    for media_id, cells in engagement.groupby("media_id", sort=False):
        plays, rewatches = cells["plays"].to_numpy(), cells["rewatches"].to_numpy()
        if plays[0] >= max(min_cell, 1):
            found.append(find(plays, rewatches, cells["seconds"].iloc[0]).assign(media_id=media_id))
    frame = pd.concat(found, ignore_index=True).set_index("media_id")
    frame.insert(0, "title", frame.index.map(titles))
    return frame.reset_index()


def describe_retention(
    curves: pd.DataFrame, drops: pd.DataFrame, peaks: pd.DataFrame, videos: pd.DataFrame
) -> Section:
    """Where viewers leave, the largest drops first.

    Parameters
    ----------
    curves, drops, peaks : DataFrame
        See :func:`scale_curves` and :func:`list_places`.
    videos : DataFrame
        A row for each video that has a curve: media_id, title, seconds, plays, play_rate [0 to 1],
        hours_watched, opening [lost in it, 0 to 1], cluster, usual_percent [0 to 100].

    Returns
    -------
    Section
        The drops. Parts: curves (thinned), peaks, videos_watched.
    """
    drops = drops.sort_values("lost", ascending=False, kind="stable", ignore_index=True)
    known = videos.fillna({"cluster": "none"}).dropna(axis="columns", how="all")
    parts = {
        "curves": make_section("curves", _thin_out(curves)),
        "peaks": make_section("peaks", peaks),
        "videos_watched": make_section("videos_watched", known),
    }
    return make_section("retention", drops, parts, videos=len(videos), most=MOST_WORDS)


def _thin_out(curves: pd.DataFrame) -> pd.DataFrame:
    """Of each curve about a hundred points, and its last."""
    cells = curves.groupby("media_id")["second"]
    step = np.ceil(cells.transform("size") / MOST_POINTS)
    last = ~curves["media_id"].duplicated(keep="last")
    kept = (cells.cumcount() % step == 0) | last
    return curves.loc[kept, ["media_id", "title", "second", "watching"]]


def find_drops(plays: np.ndarray, rewatches: np.ndarray, cell: float) -> pd.DataFrame:
    """The drops of one video.

    Parameters
    ----------
    plays, rewatches : array of int
        Plays that saw each cell; how often it was watched again, which makes no drop.
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
        rows.append((top * cell, *np.round([rewatches[top] / plays[0], plays[top] / plays[0]], 2)))
    return pd.DataFrame(rows, columns=["second", "rewatched", "left"], dtype=float)


def _widest(cell: float) -> int:
    """Cells of the widest window: 5 seconds, but one at least; five cells of 1.01 s will do."""
    return max(1, int(WITHIN / cell + 0.05))


def _clearest_fall(watching: np.ndarray, cell: float, fallen: np.ndarray) -> slice | None:
    """The window, of those not yet taken, that is furthest beyond the trend; None if none is."""
    first, least = math.ceil(OPENING / cell), LEAST_LOST * watching[0]
    windows = [
        slice(start, start + width)
        for width in range(1, _widest(cell) + 1)
        for start in range(first, len(watching) - width)
        if watching[start] - watching[start + width] >= least
        and not fallen[start : start + width].any()
    ]
    beyond = [_beyond_trend(watching, cell, window, fallen) for window in windows]
    return windows[int(np.argmax(beyond))] if any(beyond) else None


def _beyond_trend(watching: np.ndarray, cell: float, window: slice, fallen: np.ndarray) -> float:
    """Standard deviations that a window loses beyond the trend; 0 where that is no drop.

    Leaving goes with those who are there or, where all leave by a date, with the time: the loss
    is beyond both.
    """
    from scipy.stats import skellam

    leaving, beyond = -np.diff(watching), math.inf
    lost, cells = leaving[window].sum(), len(leaving) - math.ceil(OPENING / cell)
    for exposed in (watching[:-1], np.ones(len(leaving))):
        expected, variance = _trend(leaving, exposed, cell, window, fallen)
        if not variance or lost - expected < LEAST_LOST * watching[0]:
            return 0.0
        # Who leaves and comes back are both counted: the difference of two Poisson counts.
        chance = skellam.sf(lost - 1, (variance + expected) / 2, (variance - expected) / 2)
        if chance * cells > ERROR:
            return 0.0
        beyond = min(beyond, (lost - expected) / math.sqrt(variance))
    return beyond


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
    runs = np.split(places, np.flatnonzero(np.diff(places) > gap + 1) + 1)
    return [(int(run[0]), int(run[-1]) + 1) for run in runs if len(run)]
