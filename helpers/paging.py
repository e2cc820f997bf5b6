"""Numbered pages of a list of unknown length, read side by side with hardly a request wasted.

Pages known to exist are read by all workers while one of them looks for the end: it asks for page
2, 4, 8, ... and, once a page lies beyond the end, for the middle of what is left. So at most about
log2(pages) requests fall on pages that are not there, however many workers there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
WORKERS = 20
"""Requests in flight: 12 of 1.2 s each make 600 a minute; the rest make up for slow ones."""

RUN_AHEAD = 200
"""Pages that may wait in memory for an earlier one that stalls."""


class Crawl:
    """Reads pages 1, 2, ... until one lies past the end.

    Parameters
    ----------
    read : callable
        Page number -> page; called in worker threads.
    is_past : callable
        Whether a page lies past the end; all pages after it must do so too.
    workers : int
        Requests in flight.
    last : int, optional
        Read no page after this one; may be raised while the crawl goes on.

    Attributes
    ----------
    known : int
        Highest page known to exist. After the crawl: the last page.
    starts : list of int
        After :meth:`spread`: first pages of its stretches.
    """

    def __init__(
        self,
        read: Callable[[int], T],
        is_past: Callable[[T], bool],
        *,
        workers: int = WORKERS,
        last: int | None = None,
    ):
        self._read, self._is_past, self._workers = read, is_past, workers
        self.last: float = last or math.inf
        self.known = 0
        self.starts: list[int] = []
        self._past: float = math.inf
        self._probing: int | None = None

    def in_order(self) -> Iterator[tuple[int, T]]:
        """(number, page) in ascending order.

        A page that fails raises its error after all pages before it were handed over.
        """
        waiting: dict[int, T] = {}
        probed: set[int] = set()
        unread, given = 1, 0

        def pick() -> int | None:
            nonlocal unread
            if page := self._probe():
                probed.add(page)
                return page
            while unread in probed:
                unread += 1
            if unread > min(self.known, given + RUN_AHEAD):
                return None
            unread += 1
            return unread - 1

        for number, page in self._pages(pick):
            waiting[number] = page
            while given + 1 in waiting:
                given += 1
                yield given, waiting.pop(given)
        yield from sorted(waiting.items())  # only where the list shrank meanwhile

    def one_by_one(self) -> Iterator[tuple[int, T]]:
        """(number, page) in ascending order, none asked for before the one before it came."""
        number = 1
        while number <= self.last and not self._is_past(page := self._read(number)):
            self.known = number
            yield number, page
            number += 1

    def spread(self, least: int = 6) -> Iterator[tuple[int, T]]:
        """(number, page) as they come, from stretches that are each read in ascending order.

        While rows only move down or to the top of the list, none slips through inside a stretch.
        Between two it may, and reading on from the one into the other finds it.

        Parameters
        ----------
        least : int
            Pages that both halves of a stretch must have before an idle worker takes one of them.
        """
        after: dict[int, int] = {}  # start of a stretch -> its next page
        busy: dict[int, int] = {}  # page in flight -> start of its stretch

        def left(start: int) -> int:
            following = min((other for other in after if other > start), default=math.inf)
            return int(min(following, self.known + 1)) - after[start]

        def pick() -> int | None:
            idle = [start for start in after if start not in busy.values() and left(start) > 0]
            if page := self._probe():
                start = page
            elif idle:
                start = idle[0]
                page = after[start]
            else:
                start = max(after, key=left, default=0)
                if not start or left(start) < 2 * max(least, self.known // 50):
                    return None
                page = start = after[start] + (left(start) + 1) // 2
            after[start], busy[page] = page + 1, start
            return page

        yield from self._pages(pick, landed=busy.pop)
        self.starts = sorted(start for start in after if start <= self.known)

    def _probe(self) -> int | None:
        """The page to ask for next to find the end; None while asking, or when it is found."""
        past = min(self._past, self.last + 1)
        if self._probing or past - self.known <= 1:
            return None
        self._probing = int(min(2 * self.known or 1, (self.known + past) // 2))
        return self._probing

    def _pages(
        self, pick: Callable[[], int | None], landed: Callable[[int], object] = lambda number: None
    ) -> Iterator[tuple[int, T]]:
        """Keep all workers at the pages that `pick` names; (number, page) as they come."""
        flying: dict[Future, int] = {}
        failed: tuple[int, BaseException] | None = None
        pool = ThreadPoolExecutor(self._workers)
        try:
            while True:
                while not failed and len(flying) < self._workers and (number := pick()):
                    flying[pool.submit(self._read, number)] = number
                if not flying:
                    break
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    number = flying.pop(future)
                    landed(number)
                    self._probing = None if number == self._probing else self._probing
                    if error := future.exception():
                        failed = min(failed or (number, error), (number, error), key=lambda f: f[0])
                    elif self._is_past(page := future.result()):
                        self._past = min(self._past, number)
                    else:
                        self.known = max(self.known, number)
                        yield number, page
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if failed:
            raise failed[1]
