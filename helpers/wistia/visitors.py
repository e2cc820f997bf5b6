"""Visitors into the store: newest first until the last known activity, then the top once more.

The list has no date filter and moves while it is read: whoever plays goes to its top, and all who
were above move down by one. So it is read in blocks of pages, side by side, each in ascending
order: a row that moves down inside a block is met. Afterwards the top is read again, for those who
went there, and if there are any, each block is read on to the first row of the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any

import duckdb
import pyarrow as pa
from pydantic import BaseModel

from helpers.core.files import open_parquet, replace_file
from helpers.store import engine
from helpers.store.duck import quoted
from helpers.store.store import VISITORS, Store
from helpers.wistia.client import IS_EMPTY, Page, Wistia, refuse_unusable
from helpers.wistia.paging import WORKERS, read_pages
from helpers.wistia.rows import RowProblem, to_table

LATE = timedelta(minutes=10)
"""A play shows up within about a minute; so long before the last known activity is read again."""

BLOCK = 10
"""Pages of a block: with 30 workers a list of 300 pages is read in the time of ten requests."""

BLOCKS_AT_ONCE = 8
"""Begun before it is known how long a list is that is read whole."""

_TURN = pa.field("turn", pa.int64())  # of the page that a row was met on: a later one is newer


class _OrderBroken(Exception):
    """last_active_at rises down the list: only reading all of it is certain."""


class VisitorFacts(BaseModel):
    """What became of the visitors; counts are rows unless said otherwise."""

    pages: int = 0
    rows: int = 0  # in the store afterwards
    new: int = 0
    moved: int = 0  # went to the top while the list was read
    erased: int = 0  # of people who were erased
    unusable: int = 0  # without a visitor_key
    complete: bool = False
    incremental: bool = False  # read until the last known activity
    order_broken: bool = False
    known_until: str | None = None  # ISO 8601; the next reading begins from there


def update_visitors(
    wistia: Wistia,
    store: Store,
    connection: duckdb.DuckDBPyConnection,
    *,
    known_until: datetime | None = None,
    on_page: Callable[[], Any] = lambda: None,
) -> VisitorFacts:
    """Bring ``visitors.parquet`` up to date; an interrupted reading leaves the old table whole.

    Parameters
    ----------
    wistia : Wistia
    store : Store
        Locked by the caller.
    connection : DuckDBPyConnection
        Holds the rows meanwhile, on disk beyond its memory limit.
    known_until : datetime, optional
        All who were active before are stored as they are; None: read the whole list.
    on_page : callable, optional
        Called once for each page.

    Raises
    ------
    DataError
        Over 1 % of the rows have no visitor_key.
    """
    try:
        return _VisitorList(wistia, store, connection, known_until, on_page).update()
    except _OrderBroken:
        return _VisitorList(wistia, store, connection, None, on_page).update()


class _VisitorList:
    def __init__(self, wistia, store, connection, known_until, on_page):
        self.wistia, self.store, self.connection = wistia, store, connection
        self.on_page, self.newest = on_page, known_until
        self.mark = known_until and known_until - LATE
        self.facts = VisitorFacts(incremental=self.mark is not None)
        self.near_top: set[tuple] = set()  # visitor_key, last_active_at
        self.block_starts: dict[int, Page | None] = {}
        self.problems: list[RowProblem] = []
        for name in ("met", "old"):
            self._make_table(name, VISITORS.append(_TURN).empty_table())

    def _make_table(self, name: str, rows: pa.Table) -> None:
        self.connection.register("rows", rows)
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM rows")

    def update(self) -> VisitorFacts:
        # Before all others: whoever plays after this answer is met when the top is read again.
        first = self.wistia.visitors(1)
        if not self._is_past(first):
            self.newest = _times(first)[0] or self.newest
            self._keep(first)
            self._read_blocks()
            self._read_top_again()
            if self.facts.moved:
                self._read_on()
        self._write()
        if self.newest and not self.facts.order_broken:
            self.facts.known_until = self.newest.isoformat()
        self.facts.complete = True
        return self.facts

    def _is_past(self, page: Page) -> bool:
        newest = _times(page)[0]
        return page.is_empty or bool(self.mark and newest and newest < self.mark)

    def _read_blocks(self) -> None:
        blocks = read_pages(
            self._read_block,
            lambda block: len(block) < BLOCK,
            at_once=1 if self.mark else BLOCKS_AT_ONCE,
        )
        for number, block in blocks:
            self.block_starts[_start(number)] = block[0] if block else None
            for page in block:
                self._keep(page)
            for earlier, later in pairwise(_times(page)[0] for page in block):
                # Rows that move down never come above the first row of the page before.
                self._check_order(earlier, later)

    def _read_block(self, number: int) -> list[Page]:
        pages = map(self.wistia.visitors, range(_start(number), _start(number + 1)))
        return list(takewhile(lambda page: not self._is_past(page), pages))

    def _check_order(self, earlier: datetime | None, later: datetime | None) -> None:
        if earlier and later and later > earlier:
            self.facts.order_broken = True
            if self.mark:
                raise _OrderBroken

    def _keep(self, page: Page) -> None:
        self.on_page()
        for earlier, later in pairwise(row.last_active_at for row in page.rows):
            self._check_order(earlier, later)
        self.near_top |= self._near_top(page)
        table = to_table(page.rows, VISITORS)
        kept = self.store.without_forgotten(table)
        self.facts.pages += 1
        self.problems += page.problems
        self.facts.erased += len(table) - len(kept)
        turns = pa.array([self.facts.pages] * len(kept), pa.int64())
        self.connection.register("rows", kept.append_column(_TURN, turns))
        self.connection.execute("INSERT INTO met FROM rows")

    def _near_top(self, page: Page) -> set[tuple]:
        since = self.newest and self.newest - LATE
        rows = ((row.visitor_key, row.last_active_at) for row in page.rows)
        return {(key, at) for key, at in rows if since and at and at >= since}

    def _read_top_again(self) -> None:
        """Meet those who played meanwhile; afterwards all is known until the newest activity."""
        newest = None
        for _, page in read_pages(self.wistia.visitors, IS_EMPTY, workers=1):
            newest = newest or _times(page)[0]
            self.facts.moved += len(self._near_top(page) - self.near_top)
            self._keep(page)
            last = _times(page)[1]
            if self.newest is None or (last and last < self.newest - LATE):
                break
        self.newest = newest or self.newest

    def _read_on(self) -> None:
        """Read on from the end of each block until the first row of the next one."""
        with ThreadPoolExecutor(WORKERS) as pool:
            for pages in pool.map(self._pages_on, list(self.block_starts)[1:]):
                for page in pages:
                    self._keep(page)

    def _pages_on(self, number: int) -> list[Page]:
        """Pages from here on until the row that was the first of this page is met where it was."""
        block, pages = self.block_starts[number], []
        wanted = block.rows[0] if block and block.rows else None
        while not self._is_past(page := self.wistia.visitors(number + len(pages))):
            pages.append(page)
            last = _times(page)[1]
            if wanted and (wanted in page.rows or _is_older(last, wanted.last_active_at)):
                break
        return pages

    def _write(self) -> None:
        """Put the newest row of each visitor into the table; a full reading replaces it."""
        path, sql = self.store.visitors_path, self.connection.execute
        with self.store.damage_told():
            sql(f"INSERT INTO old SELECT *, 0 FROM ({self.store.list_sql(VISITORS, path)})")
        refuse_unusable(self.problems, sql("SELECT count(*) FROM met").fetchone()[0], "visitors")
        new = "SELECT count(DISTINCT visitor_key) FROM met ANTI JOIN old USING (visitor_key)"
        self.facts.new = sql(new).fetchone()[0]
        keep = bool(self.mark) or self.facts.order_broken
        with replace_file(path) as staged:
            rows = engine.sql("visitors").replace("{keep}", str(keep))
            sql(f"COPY ({rows}) TO {quoted(staged)} (FORMAT parquet, COMPRESSION zstd)")
        self.facts.unusable = len(self.problems)
        self.facts.rows = open_parquet(path).metadata.num_rows


def _start(block: int) -> int:
    return 2 + (block - 1) * BLOCK


def _times(page: Page) -> tuple[datetime | None, datetime | None]:
    """The newest and the oldest last_active_at of a page."""
    times = [row.last_active_at for row in page.rows if row.last_active_at]
    return max(times, default=None), min(times, default=None)


def _is_older(moment: datetime | None, than: datetime | None) -> bool:
    return bool(moment and than and moment < than)
