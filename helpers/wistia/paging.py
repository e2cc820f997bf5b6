"""Numbered pages of a list of unknown length, read side by side with hardly a request wasted.

Pages known to exist are read by all workers while one of them looks for the end: it asks for twice
the highest known page and, once a page lies beyond the end, for the middle of what is left. So
about log2(pages) requests fall on pages that are not there, however many workers there are. Where a
long list is expected, 2, 8 and 64 are asked for at once after page 1.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

WORKERS = 30
"""Requests in flight: 18 of 1.8 s each make 600 a minute; the rest make up for slower ones."""

RUN_AHEAD = 200
"""Pages that may wait in memory for an earlier one that stalls."""

OPENING = (2, 8, 64)
"""Asked for at once after page 1 of a long list, so that all workers are busy from then on."""


class Workers:
    """Threads that several crawls share: the first in line is served first.

    What they do is driven by whoever takes pages from a crawl, in that one's thread.
    """

    def __init__(self, count: int = WORKERS):
        self.line: list[Crawl] = []
        self._count, self._pool = count, ThreadPoolExecutor(count)
        self._flying: dict[Future, tuple[Crawl, int]] = {}

    def step(self) -> None:
        """Give idle threads pages to read, wait for one, hand it to its crawl."""
        while len(self._flying) < self._count and (work := self._next()):
            crawl, number = work
            crawl.take(number)
            self._flying[self._pool.submit(crawl.read, number)] = work
        for future in wait(self._flying, return_when=FIRST_COMPLETED).done:
            crawl, number = self._flying.pop(future)
            crawl.land(number, future)

    def _next(self) -> tuple[Crawl, int] | None:
        # A look for the end comes first: the crawl that is next in line then knows its pages.
        for wanted in (Crawl.probe, lambda crawl: crawl.peek()):
            for crawl in self.line:
                if number := wanted(crawl):
                    return crawl, number
        return None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_) -> None:
        self.close()


class Crawl:
    """Pages 1, 2, ... until one lies past the end, in ascending order.

    Parameters
    ----------
    workers : Workers
    read : callable
        Page number -> page; called in worker threads.
    is_past : callable
        Whether a page lies past the end; all pages after it must do so too.
    last : int, optional
        Read no page after this one; may be raised while the crawl goes on.
    long : bool
        Whether many pages are expected: looks for the end in three places from the start.

    Attributes
    ----------
    known : int
        Highest page known to exist. After the crawl: the last page.
    waiting : dict
        Pages that came before those above them.
    """

    def __init__(
        self,
        workers: Workers,
        read: Callable[[int], Any],
        is_past: Callable[[Any], bool],
        *,
        last: int | None = None,
        long: bool = False,
    ):
        self.read, self.last, self.known = read, last or math.inf, 0
        self._opening = OPENING if long else ()
        self.failed: tuple[int, BaseException] | None = None
        self.waiting: dict[int, Any] = {}
        self._workers, self._is_past = workers, is_past
        self._past: float = math.inf
        self._landed: deque[tuple[int, Any]] = deque()
        self._flying: set[int] = set()
        self._unread, self._given = 1, 0
        self._probing: set[int] = set()
        self._ahead: set[int] = set()  # pages taken out of turn
        workers.line.append(self)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """(number, page) in ascending order.

        A page that fails raises its error after all pages before it were handed over.
        """
        for number, page in self._pages():
            self.waiting[number] = page
            while self._given + 1 in self.waiting:
                self._given += 1
                yield self._given, self.waiting.pop(self._given)
        yield from sorted(self.waiting.items())  # only where the list shrank meanwhile

    def again(self, number: int) -> Any:
        """Read a page once more, while other crawls go on."""
        found = Crawl(self._workers, lambda _: self.read(number), lambda page: False, last=1)
        return next(iter(found))[1]

    def leave(self) -> None:
        """Read no more."""
        if self in self._workers.line:
            self._workers.line.remove(self)

    def probe(self) -> int:
        """The page to ask for next to find the end; 0 while asking, or when it is found."""
        past = min(self._past, self.last + 1)
        if self.failed or past - self.known <= 1:
            return 0
        if self.known == 1 and self._past == math.inf and self._opening:
            return next((p for p in self._opening if p < past and p not in self._probing), 0)
        if self._probing:
            return 0
        return int(min(2 * self.known or 1, (self.known + past) // 2))

    def peek(self) -> int:
        """The next page to read; 0 when there is none for now."""
        if self.failed or self._unread > min(self.known, self._given + RUN_AHEAD):
            return self.probe()
        return self.probe() or self._unread

    def take(self, number: int) -> None:
        """Count a page as being read."""
        if number == self.probe():
            self._probing.add(number)
        self._flying.add(number)
        self._ahead.add(number)
        while self._unread in self._ahead:
            self._ahead.remove(self._unread)
            self._unread += 1

    def land(self, number: int, future: Future) -> None:
        """Take a page that was read, or the error it ended in."""
        self._flying.remove(number)
        self._probing.discard(number)
        if error := future.exception():
            if not self.failed or number < self.failed[0]:
                self.failed = number, error
        elif self._is_past(page := future.result()):
            self._past = min(self._past, number)
        else:
            self.known = max(self.known, number)
            self._landed.append((number, page))

    def _pages(self) -> Iterator[tuple[int, Any]]:
        """(number, page) as they come."""
        try:
            while True:
                while self._landed:
                    yield self._landed.popleft()
                if not self._flying and (self.failed or not self.peek()):
                    break
                self._workers.step()
        finally:
            self.leave()
        if self.failed:
            raise self.failed[1]


class Stretches(Crawl):
    """A crawl whose pages come as they come, from stretches that are each read in ascending order.

    While rows only move down or to the top of the list, none slips through inside a stretch.
    Between two it may, and reading on from the one into the other finds it.

    Attributes
    ----------
    starts : list of int
        After the crawl: first pages of its stretches.
    """

    LEAST = 6  # pages that both halves have when an idle worker takes one half of a stretch

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._after: dict[int, int] = {}  # start of a stretch -> its next page

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return self._pages()

    @property
    def starts(self) -> list[int]:
        return sorted(start for start in self._after if start <= self.known)

    def _left(self, start: int) -> int:
        following = min((other for other in self._after if other > start), default=math.inf)
        return int(min(following, self.known + 1)) - self._after[start]

    def peek(self) -> int:
        if self.failed or self.probe():
            return self.probe()
        for start, after in self._after.items():
            if after - 1 not in self._flying and self._left(start) > 0:
                return after
        start = max(self._after, key=self._left, default=0)
        if not start or self._left(start) < 2 * max(self.LEAST, self.known // 50):
            return 0
        return self._after[start] + (self._left(start) + 1) // 2

    def take(self, number: int) -> None:
        probe = number == self.probe()
        super().take(number)
        start = next((s for s, after in self._after.items() if after == number), number)
        self._after[number if probe else start] = number + 1


def one_by_one(read: Callable[[int], Any], is_past: Callable[[Any], bool], last: float = math.inf):
    """(number, page) in ascending order, none asked for before the one before it came."""
    number = 1
    while number <= last and not is_past(page := read(number)):
        yield number, page
        number += 1
