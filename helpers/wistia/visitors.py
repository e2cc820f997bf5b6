"""Visitors into the store: newest first until the last known activity, then the top once more.

The list has no date filter and moves while it is read: whoever plays goes to its top, and all who
were above move down by one. Page after page nobody is missed but who went to the top, which is
therefore read again. A whole list is read in blocks of pages, side by side; who moves down from one
block into the next meanwhile is met when each block is read on to the first row of the next.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice, pairwise

import pyarrow as pa

from helpers.core.files import replace_file
from helpers.core.progress import progress
from helpers.store import duck
from helpers.store.facts import VisitorFacts, refuse_unusable
from helpers.store.schema import VISITORS
from helpers.store.store import Store
from helpers.wistia.client import WORKERS, Page, Wistia, side_by_side
from helpers.wistia.rows import RowProblem, to_table

LATE = timedelta(minutes=10)
"""A play shows up within about a minute; so long before the last known activity is read again."""

BLOCK = 10
"""Pages of a block: a whole list is read in the time of so many requests for each of few waves."""

MEMORY_LIMIT = "256MB"  # of what sorts the rows, on disk beyond it
TURN = pa.field("turn", pa.int64())  # of the page that a row was met on: a later one is newer


class VisitorReader:
    """Brings ``visitors.parquet`` up to date; an interrupted reading leaves the old table whole.

    Parameters
    ----------
    wistia : Wistia
    store : Store
        Locked by the caller.
    known_until : datetime, optional
        All who were active before are stored as they are; None: read the whole list.

    Attributes
    ----------
    facts : VisitorFacts
    """

    def __init__(self, wistia: Wistia, store: Store, known_until: datetime | None = None):
        self.wistia, self.store, self.newest = wistia, store, known_until
        self.facts = VisitorFacts(incremental=bool(known_until))
        self.tables: list[pa.Table] = []
        self.problems: list[RowProblem] = []

    def read(self) -> VisitorFacts:
        """Read what is new, and write the table.

        Raises
        ------
        DataError
            Over 1 % of the rows have no visitor_key.
        """
        with progress("visitors", "page") as self.bar:
            if self.facts.incremental:
                self._keep(self._top())
            if not self.facts.incremental or self.facts.order_broken:  # only all is certain
                self._read_blocks()
            # Those who played meanwhile; afterwards all is known until the newest activity.
            self._keep(self._top())
        self._write()
        return self.facts

    def _top(self) -> Iterator[Page]:
        """Pages from the top until one reaches below the newest activity that is known, or one."""
        known = self.newest and self.newest - LATE
        return islice(self._pages_down_to(known), None if known else 1)

    def _pages_down_to(self, moment: datetime | None, first: int = 1) -> Iterator[Page]:
        """Pages from the one named until one reaches below a moment, or to the end of the list."""
        for page in self.wistia.visitors(first):
            yield page
            if moment and any(time < moment for time in _times(page)):
                return

    def _keep(self, pages: Iterable[Page]) -> None:
        """Take the rows of pages; what is kept later is newer."""
        for page in pages:
            self.bar.update()
            self.facts.pages += 1
            kept = self.facts.without_erased(self.store, to_table(page.rows, VISITORS))
            self.tables.append(kept.append_column(TURN, pa.repeat(self.facts.pages, len(kept))))
            self.problems += page.problems
            times = _times(page)
            self.facts.order_broken |= any(later > earlier for earlier, later in pairwise(times))
            self.newest = max([*times, self.newest] if self.newest else times, default=None)

    def _read_blocks(self) -> None:
        """Read the whole list: one block, then two, four, ... at once, for its end is not known."""
        firsts: list[Page] = []
        with side_by_side() as pool:
            begun, at_once, ended = 0, 1, False
            while not ended:
                for block in pool.map(self._read_block, range(begun, begun + at_once)):
                    # An empty block after a full one: rows may have moved down into it since.
                    firsts += block[:1] or ([] if ended else [Page()])
                    ended = ended or len(block) < BLOCK
                    self._keep(block)
                begun, at_once = begun + at_once, min(2 * at_once, WORKERS)
            for pages in pool.map(self._read_on, range(1, len(firsts)), firsts[1:]):
                self._keep(pages)

    def _read_block(self, number: int) -> list[Page]:
        return list(islice(self.wistia.visitors(1 + number * BLOCK), BLOCK))

    def _read_on(self, number: int, first: Page) -> list[Page]:
        """Pages from the beginning of a block on, until its first row is met where it is now."""
        return list(self._pages_down_to(max(_times(first), default=None), 1 + number * BLOCK))

    def _write(self) -> None:
        """Put the newest row of each visitor into the table; a full reading replaces it."""
        facts = self.facts
        met = pa.concat_tables([VISITORS.append(TURN).empty_table(), *self.tables])
        refuse_unusable(self.problems, len(met), "Wistia: visitors")
        keep = facts.incremental or facts.order_broken
        query = duck.sql("visitors").format(keep=keep, stored=self.store.lists()["visitors"])
        with duck.connect(MEMORY_LIMIT, self.store.folder / ".spill") as connection:
            connection.register("met", met)
            with self.store.damage_told(), replace_file(self.store.visitors_path) as staged:
                copied = connection.execute(
                    f"COPY ({query}) TO {duck.quoted(staged)} (FORMAT parquet)"
                )
                facts.rows = copied.fetchall()[0][0]
        facts.unusable = len(self.problems)
        facts.known_until = None if facts.order_broken else self.newest


def _times(page: Page) -> list[datetime]:
    return [row.last_active_at for row in page.rows if row.last_active_at]
