"""Visitors into the store: newest first until the last known activity, then a second look.

The list has no date filter and moves while it is read: who plays goes to its top, and everybody
who stood above moves down by one. Nobody is lost all the same: each stretch of pages is read in
ascending order, so that a row moving down is met; who moved to the top is met by a second look;
and when somebody moved, each stretch is read on into the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from helpers.store.engine import quoted
from helpers.store.store import PART_ROWS, VISITORS, Store
from helpers.wistia.client import Page, Wistia
from helpers.wistia.paging import WORKERS, Stretches, Workers, one_by_one

LATE = timedelta(minutes=10)
"""A play shows up within about a minute; so much before a mark is read again."""

LOOKS = 4


class _OrderBroken(Exception):
    """last_active_at rises down the list: nothing but reading all of it is certain."""


def sweep(
    wistia: Wistia,
    store: Store,
    connection: duckdb.DuckDBPyConnection,
    *,
    known_until: datetime | None = None,
    on_page: Callable[[], Any] = lambda: None,
) -> dict[str, Any]:
    """Bring ``visitors.parquet`` up to date; an interrupted sweep leaves the old table whole.

    Parameters
    ----------
    wistia : Wistia
    store : Store
        Locked by the caller.
    connection : DuckDBPyConnection
    known_until : datetime, optional
        Everybody active before is stored as they are; None: read the whole list.
    on_page : callable, optional
        Called once for each page.

    Returns
    -------
    dict
        pages, new, changed, rows (in the table afterwards), moved (met at the top by a later
        look), erased, complete (bool), incremental (bool), order_broken (bool), and
        known_until (ISO 8601) for the next sweep.
    """
    try:
        return _Sweep(wistia, store, connection, known_until, on_page).run()
    except _OrderBroken:
        return _Sweep(wistia, store, connection, None, on_page, ordered=False).run()


class _Sweep:
    def __init__(self, wistia, store, connection, known_until, on_page, *, ordered=True):
        self.wistia, self.store, self.connection = wistia, store, connection
        self.on_page, self.ordered = on_page, ordered
        self.known_until = known_until
        self.mark = known_until and known_until - LATE
        self.spool = _Spool(store)
        self.firsts: dict[int, tuple[str, datetime | None]] = {}  # page -> its first row
        self.facts: dict[str, Any] = {"pages": 0, "moved": 0, "erased": 0}

    def run(self) -> dict[str, Any]:
        top = None
        with Workers() as workers:
            full = not self.mark
            crawl = Stretches(workers, self.wistia.visitors, self._is_past, long=full)
            for number, page in crawl:
                top = top or _active(page)[0]
                self.firsts[number] = page.table["visitor_key"][0].as_py(), _active(page)[0]
                self._keep(page, look=1)
        self._check_order(crawl)
        # Nobody newer than the mark: whoever was the newest is gone at Wistia.
        top = self._look_again(crawl, top) or self.known_until
        counts = self._merge()
        return {
            **self.facts,
            **counts,
            "complete": True,
            "incremental": self.mark is not None,
            "order_broken": not self.ordered,
            "known_until": top.isoformat() if top and self.ordered else None,
        }

    def _is_past(self, page: Page) -> bool:
        if page.is_empty:
            return True
        first = _active(page)[0]
        return bool(self.mark and first and first < self.mark)

    def _keep(self, page: Page, *, look: int) -> None:
        self.on_page()
        self.facts["pages"] += 1
        times = page.table["last_active_at"].drop_null().cast(pa.int64()).to_numpy()
        if self.ordered and (times[1:] > times[:-1]).any():
            raise _OrderBroken
        kept = self.store.without_forgotten(page.table)
        self.facts["erased"] += len(page.table) - len(kept)
        self.spool.add(kept, look)

    def _check_order(self, crawl: Stretches) -> None:
        """Within a stretch rows that move down never rise above the first of the page before."""
        for number in self.firsts.keys() - set(crawl.starts):
            before, active = self.firsts[number - 1][1], self.firsts[number][1]
            if self.ordered and before and active and active > before:
                raise _OrderBroken

    def _look_again(self, crawl: Stretches, top: datetime | None) -> datetime | None:
        """Meet those who played meanwhile; the newest activity up to which all is known."""
        if top is None:
            return None
        for look in range(2, LOOKS + 1):
            since, top = top, None
            for _, page in one_by_one(self.wistia.visitors, lambda page: page.is_empty):
                active = _active(page)
                top = top or active[0]
                self._keep(page, look=look)
                if active[1] and active[1] < since - LATE:
                    break
            top = top or since
            moved = self._met_first_in(look)
            self.facts["moved"] += moved
            if not moved:
                break
            if look == 2:
                self._read_on(crawl)
        return top

    def _met_first_in(self, look: int) -> int:
        return self.connection.execute(
            f"""
            SELECT count(*) FROM (
                SELECT visitor_key, last_active_at FROM {self.spool.rows()}
                GROUP BY ALL HAVING min(look) = {look}
            )
            """
        ).fetchone()[0]

    def _read_on(self, crawl: Stretches) -> None:
        """Read on from the end of each stretch until its follower's first row, and at the end."""
        ends = [*crawl.starts[1:], crawl.known + 1]
        with ThreadPoolExecutor(WORKERS) as pool:
            for pages in pool.map(self._pages_on, ends):
                for page in pages:
                    self._keep(page, look=LOOKS + 1)

    def _pages_on(self, start: int) -> list[Page]:
        key, active = self.firsts.get(start, (None, None))
        pages = []
        while not self._is_past(page := self.wistia.visitors(start + len(pages))):
            pages.append(page)
            last = _active(page)[1]
            met = key in page.table["visitor_key"].to_pylist()
            if (met and self._still(page, key, active)) or (active and last and last < active):
                break
        return pages

    @staticmethod
    def _still(page: Page, key: str, active: datetime | None) -> bool:
        """Whether `key` stands on the page as it did: who moved to the top stands there no more."""
        rows = page.table.filter(pc.equal(page.table["visitor_key"], key))
        return active in rows["last_active_at"].to_pylist()

    def _merge(self) -> dict[str, int]:
        """Put the newest row of each visitor into the table; a full sweep replaces it."""
        fresh, old = self.spool.folder / "fresh.parquet", self.store.visitors_path
        sql = self.connection.execute
        sql(
            f"""
            CREATE OR REPLACE TEMP TABLE met_again AS
            SELECT hash(visitor_key) AS key_hash FROM {self.spool.rows()}
            GROUP BY ALL HAVING count(*) > 1
            """
        )
        sql(
            f"""
            COPY (
                SELECT * EXCLUDE (look) FROM {self.spool.rows()}
                WHERE hash(visitor_key) NOT IN (FROM met_again)
                UNION ALL BY NAME
                SELECT * EXCLUDE (look, place) FROM (
                    SELECT *, row_number() OVER (
                        PARTITION BY visitor_key ORDER BY last_active_at DESC NULLS LAST, look DESC
                    ) AS place
                    FROM {self.spool.rows()} WHERE hash(visitor_key) IN (FROM met_again)
                ) WHERE place = 1
            ) TO {quoted(fresh)} (FORMAT parquet, COMPRESSION zstd)
            """
        )
        for name, path in (("fresh", fresh), ("old", old if old.exists() else fresh)):
            sql(f"CREATE OR REPLACE TEMP VIEW {name} AS FROM read_parquet({quoted(path)})")
        rows, new, changed = "fresh", None, 0
        if old.exists():
            new, differ = sql(
                """
                SELECT
                    (SELECT count(*) FROM fresh ANTI JOIN old USING (visitor_key)),
                    (SELECT count(*) FROM (FROM fresh EXCEPT FROM old))
                """
            ).fetchone()
            changed = differ - new
            if self.mark or not self.ordered:
                rows = "(FROM fresh UNION ALL BY NAME FROM old ANTI JOIN fresh USING (visitor_key))"
        merged = self.spool.folder / "merged.parquet"
        sql(
            f"COPY (FROM {rows} ORDER BY visitor_key) TO {quoted(merged)} "
            "(FORMAT parquet, COMPRESSION zstd)"
        )
        merged.replace(old)
        total = pq.read_metadata(old).num_rows
        return {"new": total if new is None else new, "changed": changed, "rows": total}


class _Spool:
    """Rows as they are met, in files, with the look that met them."""

    def __init__(self, store: Store):
        self.folder = store.staging / "visitors"
        store.tidy()
        self.folder.mkdir(parents=True)
        self._tables: list[pa.Table] = []
        self._files: list[str] = []

    def add(self, table: pa.Table, look: int) -> None:
        self._tables.append(table.append_column("look", pa.array([look] * len(table), pa.int8())))
        if sum(len(held) for held in self._tables) >= PART_ROWS:
            self._write()

    def _write(self) -> None:
        schema = VISITORS.append(pa.field("look", pa.int8()))
        path = self.folder / f"part-{len(self._files):04d}.parquet"
        pq.write_table(pa.concat_tables([schema.empty_table(), *self._tables]), path)
        self._tables = []
        self._files.append(str(path))

    def rows(self) -> str:
        """All rows so far, as SQL."""
        if self._tables or not self._files:
            self._write()
        return f"read_parquet([{', '.join(quoted(path) for path in self._files)}])"


def _active(page: Page) -> tuple[datetime | None, datetime | None]:
    """last_active_at of the first and the last row that have one."""
    times = page.table["last_active_at"].drop_null()
    return (times[0].as_py(), times[-1].as_py()) if len(times) else (None, None)
