"""Visitors into the store: newest first until the last known activity, then the top once more.

The list has no date filter and moves while it is read: whoever plays goes to its top, and all who
were above move down by one. Page after page nobody is missed but who went to the top, which is
therefore read again. A whole list is read in blocks of pages, side by side; who moves down from one
block into the next meanwhile is met when each block is read on to the first row of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice, pairwise, takewhile
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from helpers.core.files import open_parquet, replace_file
from helpers.store import engine
from helpers.store.duck import connect, quoted
from helpers.store.store import VISITORS, Store
from helpers.wistia.client import WORKERS, Page, Wistia, refuse_unusable, side_by_side
from helpers.wistia.rows import RowProblem, to_table

LATE = timedelta(minutes=10)
"""A play shows up within about a minute; so long before the last known activity is read again."""

BLOCK = 10
"""Pages of a block: a whole list is read in the time of so many requests for each of few waves."""


MEMORY_LIMIT = "256MB"  # of what sorts the rows, on disk beyond it
TURN = pa.field("turn", pa.int64())  # of the page that a row was met on: a later one is newer


class VisitorFacts(BaseModel):
    """What became of the visitors; counts are rows unless said otherwise."""

    pages: int = 0
    rows: int = 0  # in the store afterwards
    new: int = 0
    erased: int = 0  # of people who were erased
    unusable: int = 0  # without a visitor_key
    incremental: bool = False  # read until the last known activity
    order_broken: bool = False
    known_until: datetime | None = None  # the next reading begins from there


def update_visitors(
    wistia: Wistia,
    store: Store,
    known_until: datetime | None = None,
    *,
    on_page: Callable[[], Any] = lambda: None,
) -> VisitorFacts:
    """Bring ``visitors.parquet`` up to date; an interrupted reading leaves the old table whole.

    Parameters
    ----------
    wistia : Wistia
    store : Store
        Locked by the caller.
    known_until : datetime, optional
        All who were active before are stored as they are; None: read the whole list.
    on_page : callable, optional
        Called once for each page.

    Raises
    ------
    DataError
        Over 1 % of the rows have no visitor_key.
    """
    reading = _Reading(wistia, store, known_until, on_page)
    if known_until:
        reading.keep(reading.pages_from(1))
    else:
        reading.read_blocks()
    reading.read_top_again()
    reading.write()
    return reading.facts


class _Reading:
    """One reading of the list: the rows met so far, in order, and where it ends."""

    def __init__(self, wistia: Wistia, store: Store, known_until, on_page):
        self.wistia, self.store, self.on_page = wistia, store, on_page
        self.newest: datetime | None = known_until
        self.mark = known_until and known_until - LATE
        self.facts = VisitorFacts(incremental=bool(known_until))
        self.tables: list[pa.Table] = []
        self.problems: list[RowProblem] = []

    def pages_from(self, first: int) -> Iterator[Page]:
        """Pages down to the last known activity."""
        return takewhile(lambda page: not self._is_known(page), self.wistia.visitors(first))

    def _is_known(self, page: Page) -> bool:
        """Whether it lies below the last known activity; only reading all is certain where rows
        are out of order.
        """
        newest = _times(page)[0]
        return bool(self.mark and newest and newest < self.mark and not self.facts.order_broken)

    def keep(self, pages: Iterable[Page]) -> None:
        """Take the rows of pages; what is kept later is newer."""
        for page in pages:
            self.on_page()
            self.facts.pages += 1
            table = to_table(page.rows, VISITORS)
            kept = self.store.without_forgotten(table)
            self.facts.erased += len(table) - len(kept)
            turn = pa.array([self.facts.pages] * len(kept), pa.int64())
            self.tables.append(kept.append_column(TURN, turn))
            self.problems += page.problems
            times = [row.last_active_at for row in page.rows if row.last_active_at]
            if any(later > earlier for earlier, later in pairwise(times)):
                self.facts.order_broken = True
            self.newest = max([*times, self.newest] if self.newest else times, default=None)

    def read_blocks(self) -> None:
        """Read the whole list: one block, then two, four, ... at once, for its end is not known."""
        firsts: list[Page] = []
        with side_by_side() as pool:
            begun, at_once, ended = 0, 1, False
            while not ended:
                for block in pool.map(self._read_block, range(begun, begun + at_once)):
                    firsts += block[:1]
                    ended = ended or len(block) < BLOCK
                    self.keep(block)
                begun, at_once = begun + at_once, min(2 * at_once, WORKERS)
            for pages in pool.map(self._read_on, range(1, len(firsts)), firsts[1:]):
                self.keep(pages)

    def _read_block(self, number: int) -> list[Page]:
        return list(islice(self.wistia.visitors(1 + number * BLOCK), BLOCK))

    def _read_on(self, number: int, first: Page) -> list[Page]:
        """Pages from the beginning of a block on, until its first row is met where it is now."""
        pages, beginning = [], _times(first)[0]
        for page in self.wistia.visitors(1 + number * BLOCK):
            pages.append(page)
            oldest = _times(page)[1]
            if beginning and oldest and oldest < beginning:
                break
        return pages

    def read_top_again(self) -> None:
        """Meet those who played meanwhile; afterwards all is known until the newest activity."""
        known = self.newest
        for page in self.wistia.visitors():
            self.keep([page])
            oldest = _times(page)[1]
            if known is None or (oldest and oldest < known - LATE):
                break

    def write(self) -> None:
        """Put the newest row of each visitor into the table; a full reading replaces it."""
        facts, path = self.facts, self.store.visitors_path
        met = pa.concat_tables([VISITORS.append(TURN).empty_table(), *self.tables])
        refuse_unusable(self.problems, len(met), "visitors")
        keep = facts.incremental or facts.order_broken
        rows = engine.sql("visitors").replace("{keep}", str(keep))
        with connect(MEMORY_LIMIT, self.store.folder / ".spill") as connection:
            connection.register("met", met)
            stored = self.store.lists()["visitors"]
            with self.store.damage_told():
                connection.execute(f"CREATE TEMP TABLE stored AS {stored}")
            facts.new = connection.execute(
                "SELECT count(DISTINCT visitor_key) FROM met ANTI JOIN stored USING (visitor_key)"
            ).fetchone()[0]
            with replace_file(path) as staged:
                connection.execute(f"COPY ({rows}) TO {quoted(staged)} (FORMAT parquet)")
        facts.unusable = len(self.problems)
        facts.rows = open_parquet(path).metadata.num_rows
        facts.known_until = None if facts.order_broken else self.newest


def _times(page: Page) -> tuple[datetime | None, datetime | None]:
    """The newest and the oldest last_active_at of a page."""
    times = [row.last_active_at for row in page.rows if row.last_active_at]
    return max(times, default=None), min(times, default=None)
