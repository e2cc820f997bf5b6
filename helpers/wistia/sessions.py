"""Sessions into the store: lists of days read side by side, each day whole or absent."""

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby, islice
from typing import Any

from helpers.core import clock
from helpers.core.errors import DataError
from helpers.core.progress import progress
from helpers.store.facts import SessionFacts, refuse_unusable
from helpers.store.schema import SESSIONS
from helpers.store.store import Store
from helpers.wistia.client import WORKERS, Page, Wistia, side_by_side
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


@dataclass
class _List:
    """Days that follow each other, the pages of their sessions, and what was met so far."""

    days: list[date]
    pages: Iterator[Page]
    to_store: set[date]
    begun: datetime
    pages_read: int = 0
    rows: dict[tuple, Session] = field(default_factory=dict)
    problems: list[tuple[date, RowProblem]] = field(default_factory=list)


class SessionReader:
    """Reads the sessions that a store lacks.

    Parameters
    ----------
    wistia : Wistia
    store : Store
        Locked by the caller.
    pass_number : int
        Days that were stored with this number are not read again.
    recent : date
        Days from here on are read again by every pass.

    Attributes
    ----------
    facts : SessionFacts
    """

    def __init__(self, wistia: Wistia, store: Store, *, pass_number: int, recent: date):
        self.wistia, self.store = wistia, store
        self.pass_number, self.recent = pass_number, recent
        self.facts = SessionFacts()
        self.refused: dict[date, DataError] = {}
        self._rows_before = {day: known["rows"] for day, known in store.days().items()}

    def days_to_read(self, start: date, end: date) -> list[date]:
        """Days of the window that are missing, recent, or were read while young."""
        stored = self.store.days()
        window = [start + n * ONE_DAY for n in range((end - start).days + 1)]
        return [day for day in window if not self._is_done(day, stored.get(day, {}))]

    def _is_done(self, day: date, stored: dict[str, Any]) -> bool:
        if day in self.refused or stored.get("pass") == self.pass_number:
            return True  # a refused day is told at the end
        if day >= self.recent or not stored.get("read_at"):
            return False
        return datetime.fromisoformat(stored["read_at"]).date() >= day + ONE_DAY + SETTLES

    def read(self, start: date, end: date) -> None:
        """Read the days that need it from `start` to `end`.

        Raises
        ------
        DataError
            Sessions broke a rule; their days are not stored, all others are.
        """
        days = self.days_to_read(start, end)
        with side_by_side() as pool, progress("sessions", "day", len(days)) as bar:
            while days:
                lists = self._lists(days)
                first = islice(lists, WORKERS)
                asked = {pool.submit(next, listed.pages, None): listed for listed in first}
                while asked:
                    for answer in wait(asked, return_when=FIRST_COMPLETED).done:
                        listed = asked.pop(answer)
                        if not self._goes_on(listed, answer.result()):
                            listed = next(lists, None)
                        if listed:
                            asked[pool.submit(next, listed.pages, None)] = listed
                    bar.update(self.facts.days - bar.n)
                days = self.days_to_read(start, end)
        if self.refused:
            raise self._refusal()

    def _lists(self, days: list[date]) -> Iterator[_List]:
        """The days as lists of about `PAGES` pages each, by how full the newest page is."""
        # Days that follow each other lie at one distance from their place.
        runs = groupby(enumerate(days), key=lambda placed: placed[1] - placed[0] * ONE_DAY)
        spans = [[day for _, day in run] for _, run in runs]
        page = next(self.wistia.sessions(spans[-1][0], spans[-1][-1]), Page())
        times, size = [row.received_at for row in page.rows], len(days)
        if len(times) + len(page.problems) >= self.wistia.per_page and times:
            size = 1 + PAGES * (max(times) - min(times)) // ONE_DAY
        for span in reversed(spans):
            for end in range(len(span), 0, -size):
                part = span[max(0, end - size) : end]
                yield _List(part, self.wistia.sessions(part[0], part[-1]), set(part), clock.now())

    def _goes_on(self, listed: _List, page: Page | None) -> bool:
        """Take a page of a list, newest first, and store each day once the list is below it."""
        if page is None:
            self._store_down_to(listed, listed.days[0] - ONE_DAY)
            return False
        self._take(listed, page)
        if page.rows:
            self._store_down_to(listed, min(map(_day, page.rows)))
        listed.pages_read += 1
        return listed.pages_read < MOST_PAGES or len(listed.days) == 1

    def _take(self, listed: _List, page: Page) -> None:
        new = {_identity(row): row for row in page.rows if _identity(row) not in listed.rows}
        listed.rows |= new
        days = [_day(row) for row in new.values()]
        # Anew, where a row came late and out of order.
        listed.to_store |= set(days).intersection(listed.days)
        self.facts.pages += 1
        self.facts.repeated += len(page.rows) - len(new)
        self.facts.outside += sum(day not in listed.days for day in days)
        near = _day(page.rows[0]) if page.rows else listed.days[-1]
        # One without a time is put to the day it stands beside.
        listed.problems += [(problem.day or near, problem) for problem in page.problems]

    def _store_down_to(self, listed: _List, day: date) -> None:
        for passed in sorted(known for known in listed.to_store if known > day):
            listed.to_store.remove(passed)
            try:
                self._store_day(listed, passed)
            except DataError as error:
                self.refused[passed] = error
                if len(self.refused) > TOO_MANY_REFUSED:
                    raise self._refusal() from None

    def _store_day(self, listed: _List, day: date) -> None:
        problems, where = [p for of, p in listed.problems if of == day], f"Wistia: day {day}"
        for problem in problems:
            if problem.name == "percent_viewed":
                what, wanted = f"{problem.what}.", "a share from 0 to 1"
                raise DataError(what, where=where, expected=wanted, remedy=UNIT_CHANGED)
        rows = [row for row in listed.rows.values() if _day(row) == day]
        refuse_unusable(problems, len(rows), where)
        table = self.facts.without_erased(self.store, to_table(rows, SESSIONS))
        facts = {"read_at": listed.begun.isoformat(), "pass": self.pass_number}
        self.store.sessions.write(day, table, unusable=len(problems), **facts)
        self.facts.days += 1
        self.facts.rows += len(table)
        self.facts.new += max(0, len(table) - self._rows_before.get(day, 0))
        self.facts.unusable += len(problems)

    def _refusal(self) -> DataError:
        """The newest refused day, and how many more there are."""
        newest, more = self.refused[max(self.refused)], len(self.refused) - 1
        newest.what += f" {more} more days were refused." if more else ""
        return newest


def _day(row: Session) -> date:
    return row.received_at.date()


def _identity(row: Session) -> tuple:
    return row.event_key, row.visitor_key, row.media_id, row.received_at
