"""Which parts of a video its sessions watched: the curve that belongs to their shares.

A session that watched a share of a video watched the first part of it, so that all cells added up
are the sessions' shares added up. Of the videos in ``catalogue.MARKS`` some seconds are planted:

- At a *drop*, sessions whose share ends within an eighth of the length before or after it leave at
  this second. Who watched less than that skipped a piece before, who watched more saw a piece
  later on: the sum stays. On the default account 18 to 26 of 100 plays leave there at once.
- At a *peak*, a quarter of those who watch it watch it again, and fewer two seconds around it.
"""

import itertools
import zlib
from collections.abc import Iterable

MOST_CELLS = 1000
REACH = 1 / 8  # of the length
USUAL, PEAK = 40, 4  # one in so many watches again


def cells_of(seconds: float | None) -> int:
    """Cells of a video: one a second, and at most 1,000; none of an image."""
    return min(int(seconds or 0), MOST_CELLS)


def watching(
    sessions: Iterable[tuple[str, float]], seconds: float | None, drops: Iterable[float] = ()
) -> list[int]:
    """How many sessions watched each cell.

    Parameters
    ----------
    sessions : iterable of (str, float)
        What tells a session from the others, and its share, 0 to 1.
    seconds : float, optional
        Length of the video.
    drops : iterable of float
        Seconds at which sessions leave.
    """
    cells = cells_of(seconds)
    change = [0] * (cells + 1)
    at = [round(second / seconds * cells) for second in drops]
    for number, (name, share) in enumerate(sessions):
        luck = zlib.crc32(f"{name} {number}".encode()) / 2**32
        for start, end in _watched(int(share * cells + 0.5), cells, at, luck):
            change[start] += 1
            change[end] -= 1
    return list(itertools.accumulate(change[:cells]))


def _watched(count: int, cells: int, drops: list[int], luck: float) -> list[tuple[int, int]]:
    """The pieces, from and to, of a session that watched so many cells."""
    near = [drop for drop in drops if 0 < abs(drop - count) <= cells * REACH]
    if not near or not count:
        return [(0, count)]
    drop = min(near, key=lambda drop: abs(drop - count))
    piece = abs(drop - count)
    if count < drop:  # skipped a piece, and left at the drop
        skip = 1 + int(luck * (count - 1))
        return [(0, skip), (skip + piece, drop)]
    later = drop + 1 + int(luck * (cells - drop - piece - 1))
    return [(0, drop), (later, later + piece)]


def rewatched(watching: list[int], seconds: float | None, peaks: Iterable[float] = ()) -> list[int]:
    """How often each cell was watched again."""
    at = [round(second / seconds * len(watching)) for second in peaks]
    near = [min((abs(cell - peak) for peak in at), default=9) for cell in range(len(watching))]
    return [
        count // (PEAK * (1 + distance) if distance <= 2 else USUAL)
        for count, distance in zip(watching, near, strict=True)
    ]
