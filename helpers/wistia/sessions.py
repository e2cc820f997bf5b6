"""Sessions into the store: closed days side by side, each whole or absent, none twice."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any

import duckdb
import pyarrow as pa

from helpers.core import clock
from helpers.core.errors import DataError
from helpers.store.store import StagedDay, Store
from helpers.wistia.client import Page, Wistia
from helpers.wistia.paging import RUN_AHEAD, WORKERS, Crawl, Workers, one_by_one

SETTLES = timedelta(days=3)
"""Sessions of a day may still grow or come late for so long: such days are read again."""

LONG = timedelta(days=30)
"""A longer stretch than this is a first pull, of many pages if the account has many sessions."""

DEEPEST_PAGE = 1000
"""Deeper pages than this were never seen to work, so the window begins anew below it."""

CAREFUL_PAGES = 100
"""After so many pages read one by one, a list that moved may have come to rest."""

TOO_MANY_REFUSED = 3  # days: no odd row any more, the unit or the format has changed
HELD_ROWS = 100_000
ONE_DAY = timedelta(days=1)


class _Again(Exception):
    """What was read of this stretch may be incomplete: its doubted days are read again."""


class SessionReader:
    """Reads the sessions that a store lacks.

    Parameters
    ----------
    wistia : Wistia
    store : Store
        Locked by the caller.
    connection : DuckDBPyConnection
        Compares days that are read again with what was stored.
    pass_number : int
        Days that bear it are done.
    today : date
        First UTC day that is not closed.
    recent : date
        Days from here on are read again by every pass.
    on_day : callable, optional
        Called once for each day that is done.

    Attributes
    ----------
    facts : dict
        pages, rows, new, changed, repeated (by moving pages), outside, erased, days_read,
        read_again (stretches that moved while they were read), order_broken, refused_days.
    """

    def __init__(
        self,
        wistia: Wistia,
        store: Store,
        connection: duckdb.DuckDBPyConnection,
        *,
        pass_number: int,
        today: date,
        recent: date,
        on_day=lambda: None,
    ):
        self.wistia, self.store, self.connection = wistia, store, connection
        self.pass_number, self.today, self.recent = pass_number, today, recent
        self.on_day = on_day
        self.refused: dict[date, str] = {}
        names = "pages rows new changed repeated outside erased days_read read_again refused_days"
        self.facts: dict[str, Any] = {"order_broken": False, **dict.fromkeys(names.split(), 0)}
        self._moves: Counter[date] = Counter()

    def todo(self, start: date, end: date) -> set[date]:
        """Days of the window that are missing, doubted, recent, or were read while young."""
        stored = self.store.days()
        window = (start + n * ONE_DAY for n in range((min(end, self.today) - start).days + 1))
        return {day for day in window if not self._is_done(day, stored.get(day))}

    def _is_done(self, day: date, about: dict[str, Any] | None) -> bool:
        if day in self.refused:
            return True  # and told at the end
        if about is None or about.get("doubted"):
            return False
        if about.get("pass") == self.pass_number:
            return True
        settled = datetime.combine(day + ONE_DAY, time(), UTC) + SETTLES
        read_at = about.get("read_at")
        return day < self.recent and bool(read_at) and datetime.fromisoformat(read_at) >= settled

    def read(self, start: date, end: date) -> None:
        """Read what is to do from `start` to `end`, newest first.

        Raises
        ------
        DataError
            Sessions broke a rule; their days are not stored, all others are.
        """
        with Workers() as workers:
            stretch = None
            while (todo := self.todo(start, end)) and len(self.refused) <= TOO_MANY_REFUSED:
                newest = oldest = max(todo)
                while oldest - ONE_DAY in todo and newest < self.today:
                    oldest -= ONE_DAY
                if stretch and (stretch.oldest, stretch.newest) != (oldest, newest):
                    stretch.crawl.leave()
                    stretch = None
                careful = newest >= self.today or self._moves[newest] >= 2
                stretch = stretch or _Stretch(self, workers, oldest, newest)
                try:
                    stretch = stretch.read(careful=careful)
                except _Again:
                    self._moves[newest] += 1
                    stretch = stretch.below
        self._raise_refused()

    def _raise_refused(self) -> None:
        self.facts["refused_days"] = len(self.refused)
        if self.refused:
            more = f" {len(self.refused) - 1} more days were refused." * (len(self.refused) > 1)
            raise DataError(self.refused[max(self.refused)] + more)


class _Stretch:
    """Days that follow each other, read as one list from its newest session to its oldest."""

    def __init__(self, reader: SessionReader, workers: Workers, oldest: date, newest: date):
        self.reader, self.store, self.facts = reader, reader.store, reader.facts
        self.oldest, self.newest, self.next = oldest, newest, newest
        self.begun = clock.now()
        self.whole = self.facts["order_broken"]
        self.careful = False
        self.staged: dict[date, StagedDay] = {}
        self.stored: list[tuple[date, int]] = []  # day, page at which it was whole
        self.workers = workers
        last = None if self.whole else DEEPEST_PAGE
        long = newest - oldest > LONG
        self.crawl = Crawl(workers, self._page, _is_past, last=last, long=long)
        self.below: _Stretch | None = None

    def read(self, *, careful: bool) -> _Stretch | None:
        """Store its days, down to its oldest or as deep as pages go.

        Parameters
        ----------
        careful : bool
            One page after another: of a list that moves, so that nothing slips through.

        Returns
        -------
        The stretch that follows, if reading it has begun.
        """
        self.careful, last = careful, None
        limit = CAREFUL_PAGES if careful else DEEPEST_PAGE
        pages = one_by_one(self._page, _is_past) if careful else self.crawl
        if careful:
            self.crawl.leave()
        try:
            for number, page in pages:
                self.facts["pages"] += 1
                self.reader.refused = page.refused | self.reader.refused
                self._take(self._without_repeats(last, page), number, last)
                last = page
                if len(self.reader.refused) > TOO_MANY_REFUSED:
                    return None
                self._begin_below()
                if number >= limit and not self.whole:
                    if self.stored:
                        self._check_end(last)
                        return self.below
                    self.crawl.last = number + DEEPEST_PAGE  # of a single day there is more
            self._check_end(last)
            self._store_down_to(self.oldest - ONE_DAY, last.number if last else 0)
            return None
        finally:
            self.crawl.leave()

    def _check_end(self, last: Page | None) -> None:
        """A late session pushes one off the last page; no page after it would repeat that one."""
        if self.careful or not last or last.number == 1:
            return
        if not self.crawl.again(last.number).table.equals(last.table):
            self._again(last.number)

    def _begin_below(self) -> None:
        """Once the deepest page is here, begin with the days that lie below it."""
        deepest = self.crawl.waiting.get(DEEPEST_PAGE)
        if self.below or self.whole or deepest is None or not len(deepest.table):
            return
        reached = deepest.table["received_at"][-1].as_py().date()
        if self.oldest <= reached < self.newest:
            self.below = _Stretch(self.reader, self.workers, self.oldest, reached)

    def _page(self, number: int) -> Page:
        return self.reader.wistia.sessions(number, start=self.oldest, end=self.newest)

    def _is_as_before(self, page: Page) -> bool:
        return self._page(page.number).table.equals(page.table)

    def _without_repeats(self, last: Page | None, page: Page) -> pa.Table:
        """The page's rows without those of the page before it, which only moving pages repeat."""
        before = set(_identities(last.table)) if last else ()
        again = [row in before for row in _identities(page.table)]
        if not any(again):
            return page.table
        if not self.careful:
            if self._is_as_before(last) and self._is_as_before(page):
                return page.table  # nothing moved: the service holds the row twice
            self._again(page.number)
        self.facts["repeated"] += sum(again)
        return page.table.filter(pa.array([not seen for seen in again]))

    def _again(self, number: int, *, reach: int = WORKERS + RUN_AHEAD) -> None:
        """Doubt the days read lately: while pages moved, rows between two of them were missed."""
        self.store.doubt(day for day, at in self.stored if at >= number - reach)
        self.facts["read_again"] += 1
        raise _Again

    def _take(self, table: pa.Table, number: int, last: Page | None) -> None:
        """Put rows to their days, and store the days that are whole by now."""
        times = table["received_at"]
        if last and len(last.table):
            times = pa.chunked_array([last.table["received_at"].chunk(0)[-1:], *times.chunks])
        moments = times.cast(pa.int64()).to_numpy()
        if not self.whole and (moments[1:] > moments[:-1]).any():
            self.facts["order_broken"] = True  # from now on a window is whole at its end only
            self._again(number, reach=number)
        days = table["received_at"].cast(pa.date32()).to_pylist()
        at = 0
        for day, rows in groupby(days):
            count = len(list(rows))
            piece = table.slice(at, count)
            at += count
            if not self.oldest <= day <= self.newest:
                self.facts["outside"] += count
                continue
            if not self.whole:
                self._store_down_to(day, number)
            kept = self.store.without_forgotten(piece)
            self.facts["erased"] += count - len(kept)
            self._staged(day).add(kept)
        if self.whole and sum(day.held for day in self.staged.values()) > HELD_ROWS:
            for day in self.staged.values():
                day.spill()

    def _staged(self, day: date) -> StagedDay:
        if day not in self.staged:
            self.staged[day] = self.store.stage(day)
        return self.staged[day]

    def _store_down_to(self, day: date, number: int) -> None:
        """Store the days above `day`: the list has passed below them."""
        while self.next > day:
            staged = self._staged(self.next)
            if self.next not in self.reader.refused:
                self._compare(staged)
                staged.commit(read_at=self.begun.isoformat(), **{"pass": self.reader.pass_number})
                self.stored.append((self.next, number))
                self.facts["days_read"] += 1
                self.facts["rows"] += staged.rows
                self.reader.on_day()
            del self.staged[self.next]
            self.next -= ONE_DAY

    def _compare(self, staged: StagedDay) -> None:
        """Count the rows that are new or changed against what was stored of the day."""
        staged.spill()
        if not staged.replaces or not staged.rows:
            self.facts["new"] += staged.rows
            return
        new, changed = self.reader.connection.execute(
            """
            SELECT
                count(*) FILTER (old.event_key IS NULL),
                count(*) FILTER (old.percent_viewed <> new.percent_viewed)
            FROM read_parquet(?, hive_partitioning = false) new
            LEFT JOIN (
                SELECT event_key, visitor_key, max(percent_viewed) AS percent_viewed
                FROM read_parquet(?, hive_partitioning = false) GROUP BY ALL
            ) old USING (event_key, visitor_key)
            """,
            [staged.parts, staged.replaces],
        ).fetchone()
        self.facts["new"] += new
        self.facts["changed"] += changed


def _is_past(page: Page) -> bool:
    return page.is_empty


def _identities(table: pa.Table) -> list[tuple]:
    names = ("event_key", "visitor_key", "media_id", "received_at")
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))
