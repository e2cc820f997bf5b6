"""Numbered pages of a list of unknown length, read side by side with few requests wasted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Page = TypeVar("Page")

WORKERS = 30
"""Requests in flight: 18 of 1.8 s each make 600 a minute; the rest make up for slower ones."""

RUN_AHEAD = 200
"""Pages that may wait in memory for an earlier one that stalls."""


def read_pages(
    read: Callable[[int], Page],
    is_last: Callable[[Page], bool],
    *,
    deepest: float = math.inf,
    workers: int = WORKERS,
    at_once: int = 1,
) -> Iterator[tuple[int, Page]]:
    """Read pages 1, 2, ... until one is the last, and hand them over in ascending order.

    Where the list ends is not known, so no more pages are asked for beyond the highest that is
    known to exist than half of its number: of a list of n pages at most n / 2 requests, and at
    most `workers`, fall beyond its end.

    Parameters
    ----------
    read : callable
        Page number -> page; called in threads.
    is_last : callable
        Whether no page follows this one.
    deepest : float
        Read no page after this one.
    workers : int
        Requests in flight; with 1 no page is asked for before the one before it came.
    at_once : int
        So many requests may leave before the first answer.

    Yields
    ------
    (number, page), also of the last page. A page that fails raises its error after all pages before
    it were handed over.
    """
    futures: dict[int, Future] = {}
    flying: set[int] = set()
    asked = given = highest = 0
    pool = ThreadPoolExecutor(workers)
    try:
        while given < deepest:
            ahead = min(workers, max(at_once, highest // 2, 1))
            while asked < min(deepest, highest + ahead, given + RUN_AHEAD):
                asked += 1
                futures[asked] = pool.submit(read, asked)
                flying.add(asked)
            wait((futures[number] for number in flying), return_when=FIRST_COMPLETED)
            for number in [number for number in flying if futures[number].done()]:
                flying.remove(number)
                if futures[number].exception() or is_last(futures[number].result()):
                    deepest = min(deepest, number)
                else:
                    highest = max(highest, number)
            while given < deepest and given + 1 in futures and given + 1 not in flying:
                given += 1
                yield given, futures.pop(given).result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
