"""Sessions into the store: closed days side by side, each whole or absent, none twice."""

from __future__ import annotations

import contextlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby, pairwise
from typing import Any

from pydantic import BaseModel

from helpers.core import clock
from helpers.core.errors import DataError
from helpers.store.store import SESSIONS, StagedDay, Store
from helpers.wistia.client import IS_EMPTY, Page, Wistia, refuse_unusable
from helpers.wistia.paging import WORKERS, read_pages
from helpers.wistia.rows import RowProblem, Session, to_table

SETTLES = timedelta(days=3)
"""Sessions of a day may still grow or come late for so long: such days are read again."""

DEEPEST_PAGE = 1000
"""Deeper pages than this were never seen to work: the days below are read as another list."""

TOO_MANY_REFUSED = 3  # days: no odd row any more, the unit or the format has changed
UNORDERED_DAYS = 30  # read as one list where rows are out of order, to bound the memory
ONE_DAY = timedelta(days=1)


class _ListMoved(Exception):
    """Rows moved between pages while a list was read, so that one may have been missed."""


class SessionFacts(BaseModel):
    """What became of the sessions; counts are rows unless said otherwise."""

    pages: int = 0
    rows: int = 0
    new: int = 0  # more than were stored of the same days
    repeated: int = 0  # met twice while pages moved
    outside: int = 0  # of a day that was not asked for
    unusable: int = 0  # without an id or a time
    erased: int = 0  # of people who were erased
    days_read: int = 0
    days_refused: int = 0
    lists_read_again: int = 0  # because they moved while they were read
    order_broken: bool = False


class SessionReader:
    """Reads the sessions that a store lacks.

    Parameters
    ----------
    wistia : Wistia
    store : Store
        Locked by the caller.
    pass_number : int
        Days that were stored with this number are not read again.
    today : date
        First UTC day that is not over.
    recent : date
        Days from here on are read again by every pass.
    on_day : callable, optional
        Called once for each day that is stored.

    Attributes
    ----------
    facts : SessionFacts
    """

    def __init__(
        self,
        wistia: Wistia,
        store: Store,
        *,
        pass_number: int,
        today: date,
        recent: date,
        on_day: Callable[[], Any] = lambda: None,
    ):
        self.wistia, self.store, self.on_day = wistia, store, on_day
        self.pass_number, self.today, self.recent = pass_number, today, recent
        self.facts = SessionFacts()
        self.stored: dict[date, tuple[int, int]] = {}  # day -> rows, unusable rows
        self.refused: dict[date, DataError] = {}
        self._moves: Counter[date] = Counter()

    def days_to_read(self, start: date, end: date) -> set[date]:
        """Days of the window that are missing, doubted, recent, or were read while young."""
        stored = self.store.days()
        window = (start + n * ONE_DAY for n in range((min(end, self.today) - start).days + 1))
        return {day for day in window if not self._is_done(day, stored.get(day))}

    def _is_done(self, day: date, stored: dict[str, Any] | None) -> bool:
        if day in self.refused:
            return True  # and told at the end
        if stored is None or stored.get("doubted"):
            return False
        if stored.get("pass") == self.pass_number:
            return True
        settled = datetime.combine(day + ONE_DAY, time(), UTC) + SETTLES
        read_at = stored.get("read_at")
        return day < self.recent and bool(read_at) and datetime.fromisoformat(read_at) >= settled

    def read(self, start: date, end: date) -> None:
        """Read the days that need it from `start` to `end`, newest first.

        Raises
        ------
        DataError
            Sessions broke a rule; their days are not stored, all others are.
        """
        before = {day: known.get("rows", 0) for day, known in self.store.days().items()}
        try:
            while days := self.days_to_read(start, end):
                self._read_list(*self._newest_days(days))
        finally:
            rows = {day: rows for day, (rows, _) in self.stored.items()}
            self.facts.days_read, self.facts.days_refused = len(rows), len(self.refused)
            self.facts.rows = sum(rows.values())
            self.facts.new = sum(max(0, rows[day] - before.get(day, 0)) for day in rows)
            self.facts.unusable = sum(unusable for _, unusable in self.stored.values())
        if self.refused:
            raise self._refusal()

    def _read_list(self, oldest: date, newest: date) -> None:
        one_by_one = newest >= self.today or self._moves[newest] >= 2
        listed = _SessionList(self, oldest, newest, workers=1 if one_by_one else WORKERS)
        try:
            listed.read()
        except _ListMoved:
            self._moves[newest] += 1
            self.facts.lists_read_again += 1
            self.store.doubt(listed.stored)

    def refuse(self, day: date, error: DataError) -> None:
        """Leave a day out, and say so at the end; at once where that happens to many."""
        self.refused.setdefault(day, error)
        if len(self.refused) > TOO_MANY_REFUSED:
            raise self._refusal()

    def _refusal(self) -> DataError:
        first, more = self.refused[max(self.refused)], len(self.refused) - 1
        what = f"{first.what} {more} more days were refused." if more else first.what
        return DataError(what, where=first.where, expected=first.expected, remedy=first.remedy)

    def _newest_days(self, days: set[date]) -> tuple[date, date]:
        """Oldest and newest of the newest days that follow each other.

        Today, and the recent days of a long stretch, are lists of their own: rows still come to
        them, and would move all others.
        """
        newest = oldest = max(days)
        most = UNORDERED_DAYS if self.facts.order_broken else math.inf
        while oldest - ONE_DAY in days and newest < self.today and (newest - oldest).days < most:
            oldest -= ONE_DAY
        if oldest < self.recent - SETTLES and newest >= self.recent:
            oldest = self.recent
        return oldest, newest


class _SessionList:
    """Days that follow each other, read as one list from the newest session to the oldest."""

    def __init__(self, reader: SessionReader, oldest: date, newest: date, *, workers: int):
        self.reader, self.store, self.facts = reader, reader.store, reader.facts
        self.oldest, self.newest, self.workers = oldest, newest, workers
        self.begun = clock.now()
        self.in_order = not self.facts.order_broken
        self.next = newest  # the day to store next
        self.staged: dict[date, StagedDay] = {}
        self.unusable: dict[date, list[RowProblem]] = defaultdict(list)
        self.stored: list[date] = []

    def read(self) -> None:
        """Store its days, down to the oldest or as deep as pages go."""
        limited = self.in_order and self.oldest < self.newest
        deepest = DEEPEST_PAGE if limited else math.inf
        before = page = None
        pages = read_pages(self._read_page, IS_EMPTY, deepest=deepest, workers=self.workers)
        with contextlib.closing(pages):
            for _, page in pages:
                if page.is_empty:
                    break
                self.facts.pages += 1
                self._take(page, before)
                before = page
        self._check_end(before, page)
        if page.is_empty:
            self._store_down_to(self.oldest - ONE_DAY)
        elif not self.stored:  # there is more of the newest day: it is read alone
            _SessionList(self.reader, self.newest, self.newest, workers=self.workers).read()

    def _read_page(self, number: int) -> Page:
        return self.reader.wistia.sessions(number, start=self.oldest, end=self.newest)

    def _check_end(self, before: Page | None, last: Page) -> None:
        """A late session pushes one off the last page; no page after it would repeat that one."""
        if self.workers == 1 or before is None or before.number == 1:
            return
        full = last.is_empty and before.size == self.reader.wistia.per_page
        if not self._is_as_before(last if full else before):
            raise _ListMoved

    def _is_as_before(self, page: Page) -> bool:
        return self._read_page(page.number).rows == page.rows

    def _take(self, page: Page, before: Page | None) -> None:
        """Put the rows of a page to their days, and store the days that are whole by now."""
        rows = self._drop_repeats(page, before)
        times = [row.received_at for row in [*(before.rows[-1:] if before else ()), *rows]]
        if self.in_order and any(later > earlier for earlier, later in pairwise(times)):
            self.facts.order_broken = True  # from now on days are whole at the end of a list only
            raise _ListMoved
        day = times[0].date() if times else self.newest  # of rows without a time
        for problem in page.problems:
            self._note_problem(problem, problem.day or day)
        for day, of_day in groupby(rows, key=lambda row: row.received_at.date()):
            of_day = list(of_day)
            if not self.oldest <= day <= self.newest:
                self.facts.outside += len(of_day)
                continue
            if self.in_order:
                self._store_down_to(day)
            table = to_table(of_day, SESSIONS)
            kept = self.store.without_forgotten(table)
            self.facts.erased += len(table) - len(kept)
            self._stage(day).add(kept)

    def _drop_repeats(self, page: Page, before: Page | None) -> Sequence[Session]:
        """The page's rows without those of the page before it, which only moving pages repeat."""
        known = {_identity(row) for row in before.rows} if before else ()
        rows = [row for row in page.rows if _identity(row) not in known]
        repeated = len(page.rows) - len(rows)
        if repeated and self.workers > 1:
            if self._is_as_before(before) and self._is_as_before(page):
                return page.rows  # nothing moved: the service holds the row twice
            raise _ListMoved
        self.facts.repeated += repeated
        return rows

    def _note_problem(self, problem: RowProblem, day: date) -> None:
        if problem.name != "percent_viewed":
            self.unusable[day].append(problem)
            return
        error = DataError(
            f"{problem}.",
            where=f"Wistia: day {day}",
            expected="a share from 0 to 1",
            remedy="Its unit may have changed, so it is refused rather than rescaled: nothing of "
            "that day is stored, other days are kept. Ask Wistia's support, or look for a newer "
            "kit.",
        )
        self.reader.refuse(day, error)

    def _stage(self, day: date) -> StagedDay:
        if day not in self.staged:
            self.staged[day] = self.store.stage(day)
        return self.staged[day]

    def _store_down_to(self, day: date) -> None:
        """Store the days above `day`: the list has passed below them."""
        while self.next > day:
            staged = self._stage(self.next)
            try:
                refuse_unusable(self.unusable[self.next], staged.rows, f"day {self.next}")
            except DataError as error:
                self.reader.refuse(self.next, error)
            if self.next not in self.reader.refused:
                self._store(self.next, staged)
            del self.staged[self.next]
            self.next -= ONE_DAY

    def _store(self, day: date, staged: StagedDay) -> None:
        unusable = len(self.unusable[day])
        staged.commit(
            read_at=self.begun.isoformat(), unusable=unusable, **{"pass": self.reader.pass_number}
        )
        self.stored.append(day)
        self.reader.stored[day] = staged.rows, unusable
        self.reader.on_day()


def _identity(row: Session) -> tuple:
    return row.event_key, row.visitor_key, row.media_id, row.received_at
