"""Sessions into the store: lists of days read side by side, each day whole or absent."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby, islice
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from helpers.core import clock
from helpers.core.errors import DataError
from helpers.store.store import SESSIONS, Store
from helpers.wistia.client import Page, Wistia, refuse_unusable, side_by_side
from helpers.wistia.rows import RowProblem, Session, to_table

SETTLES = timedelta(days=3)
"""Sessions of a day may still grow or come late for so long: such days are read again."""

PAGES = 20
"""Of a list: so the request that finds its end is one in twenty."""

MOST_PAGES = 4 * PAGES
"""A list that is longer than expected is left here; the days not reached make new lists."""

UNIT_CHANGED = "Its unit may have changed: it is refused, not rescaled. Other days are kept."
TOO_MANY_REFUSED = 3  # days: no odd row any more, the unit or the format has changed
ONE_DAY = timedelta(days=1)


class SessionFacts(BaseModel):
    """What became of the sessions; counts are rows unless said otherwise."""

    pages: int = 0
    rows: int = 0
    new: int = 0  # more than were stored of the same days
    repeated: int = 0  # met twice while pages moved
    outside: int = 0  # of a day that was not asked for
    unusable: int = 0  # without an id or a time
    erased: int = 0  # of people who were erased
    days: int = 0  # stored


@dataclass
class _List:
    """Days that follow each other, and what was met of them so far."""

    oldest: date
    newest: date
    to_store: set[date]
    begun: datetime = field(default_factory=clock.now)
    met: set[tuple] = field(default_factory=set)
    tables: dict[date, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    problems: dict[date, list[RowProblem]] = field(default_factory=lambda: defaultdict(list))


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

    Attributes
    ----------
    facts : SessionFacts
    """

    def __init__(
        self, wistia: Wistia, store: Store, *, pass_number: int, today: date, recent: date
    ):
        self.wistia, self.store = wistia, store
        self.pass_number, self.today, self.recent = pass_number, today, recent
        self.facts = SessionFacts()
        self.refused: dict[date, DataError] = {}
        self._rows_before: dict[date, int] = {}
        self._lock, self._ended = threading.Lock(), False

    def days_to_read(self, start: date, end: date) -> list[date]:
        """Days of the window that are missing, recent, or were read while young."""
        stored = self.store.days()
        window = _days(start, min(end, self.today))
        return [day for day in window if not self._is_done(day, stored.get(day, {}))]

    def _is_done(self, day: date, stored: dict[str, Any]) -> bool:
        if day in self.refused or stored.get("pass") == self.pass_number:
            return True  # a refused day is told at the end
        settled = datetime.combine(day + ONE_DAY, time(), UTC) + SETTLES
        read_at = stored.get("read_at")
        return day < self.recent and bool(read_at) and datetime.fromisoformat(read_at) >= settled

    def read(
        self, start: date, end: date, on_days: Callable[[int], Any] = lambda stored: None
    ) -> None:
        """Read the days that need it from `start` to `end`; `on_days` hears how many are stored.

        Raises
        ------
        DataError
            Sessions broke a rule; their days are not stored, all others are.
        """
        self._rows_before = {day: known["rows"] for day, known in self.store.days().items()}
        try:
            with side_by_side() as pool:
                while days := self.days_to_read(start, end):
                    lists = [pool.submit(self._read_list, listed) for listed in self._lists(days)]
                    for done in as_completed(lists):
                        done.result()
                        on_days(self.facts.days)
        finally:
            with self._lock:
                self._ended = True  # whatever still comes in is too late to be stored
        if self.refused:
            raise self._refusal()

    def _lists(self, days: list[date]) -> list[_List]:
        """The days as lists of about `PAGES` pages each, by how full the newest page is."""
        oldest, missing = days[-1], set(days)
        while oldest - ONE_DAY in missing:
            oldest -= ONE_DAY
        page = next(self.wistia.sessions(oldest, days[-1]), Page())
        times = [row.received_at for row in page.rows]
        longest = timedelta.max
        if len(times) + len(page.problems) >= self.wistia.per_page and times:
            longest = PAGES * (max(times) - min(times))
        spans: list[list[date]] = []  # newest first; oldest and newest day of each
        for day in reversed(days):
            follows = spans and spans[-1][0] - day == ONE_DAY
            if follows and spans[-1][1] - day < longest:
                spans[-1][0] = day
            else:
                spans.append([day, day])
        return [_List(oldest, newest, set(_days(oldest, newest))) for oldest, newest in spans]

    def _read_list(self, listed: _List) -> None:
        """Read a list from its newest session on, and store each day once it is whole."""
        pages = self.wistia.sessions(listed.oldest, listed.newest)
        most, number = MOST_PAGES if listed.oldest < listed.newest else None, 0
        for number, page in enumerate(islice(pages, most), 1):  # noqa: B007
            with self._lock:
                if self._ended:
                    return
                self._take(listed, page)
                times = [row.received_at for row in page.rows]
                if times:
                    self._store_down_to(listed, min(times).date())
        with self._lock:
            if number != most and not self._ended:
                self._store_down_to(listed, listed.oldest - ONE_DAY)

    def _take(self, listed: _List, page: Page) -> None:
        """Put the rows of a page to their days."""
        rows = [row for row in page.rows if _identity(row) not in listed.met]
        listed.met.update(map(_identity, rows))
        self.facts.pages += 1
        self.facts.repeated += len(page.rows) - len(rows)
        for day, of_day in groupby(rows, key=lambda row: row.received_at.date()):
            table = to_table(list(of_day), SESSIONS)
            if not listed.oldest <= day <= listed.newest:
                self.facts.outside += len(table)
                continue
            kept = self.store.without_forgotten(table)
            self.facts.erased += len(table) - len(kept)
            listed.tables[day].append(kept)
            listed.to_store.add(day)  # anew, where a row came late and out of order
        near = page.rows[0].received_at.date() if page.rows else listed.newest
        for problem in page.problems:  # one without a time is put to the day it stands beside
            listed.problems[problem.day or near].append(problem)

    def _store_down_to(self, listed: _List, day: date) -> None:
        """Store the days above `day`: the list has passed below them."""
        for passed in sorted(known for known in listed.to_store if known > day):
            listed.to_store.remove(passed)
            try:
                self._store_day(listed, passed)
            except DataError as error:
                self.refused[passed] = error
                if len(self.refused) > TOO_MANY_REFUSED:
                    raise self._refusal() from None

    def _store_day(self, listed: _List, day: date) -> None:
        tables, problems = listed.tables[day], listed.problems[day]
        for problem in problems:
            if problem.name == "percent_viewed":
                raise DataError(
                    f"{problem.what}.",
                    where=f"Wistia: day {day}",
                    expected="a share from 0 to 1",
                    remedy=UNIT_CHANGED,
                )
        rows = sum(map(len, tables))
        refuse_unusable(problems, rows, f"day {day}")
        facts = {"read_at": listed.begun.isoformat(), "pass": self.pass_number}
        table = pa.concat_tables([SESSIONS.empty_table(), *tables])
        self.store.sessions.write(day, table, unusable=len(problems), **facts)
        self.facts.days += 1
        self.facts.rows += rows
        self.facts.new += max(0, rows - self._rows_before.get(day, 0))
        self.facts.unusable += len(problems)

    def _refusal(self) -> DataError:
        """The newest refused day, and how many more there are."""
        first, more = self.refused[max(self.refused)], len(self.refused) - 1
        what = f"{first.what} {more} more days were refused." if more else first.what
        return DataError(what, where=first.where, expected=first.expected, remedy=first.remedy)


def _days(start: date, end: date) -> list[date]:
    return [start + n * ONE_DAY for n in range((end - start).days + 1)]


def _identity(row: Session) -> tuple:
    return row.event_key, row.visitor_key, row.media_id, row.received_at
