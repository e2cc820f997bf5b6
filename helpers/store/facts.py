"""What became of the rows that a video host gave, and how many of them may be unusable."""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
from pydantic import BaseModel

from helpers.core.errors import DataError
from helpers.store.store import Store

UNUSABLE_SHARE = 0.01
"""Of the rows of a day, or of a list: so many may lack an id or a time, and one always may."""

FORMAT_CHANGED = "The service's format may have changed: nothing was guessed. Look for a newer kit."


class Facts(BaseModel):
    """What became of a list; counts are rows unless said otherwise."""

    pages: int = 0
    rows: int = 0
    repeated: int = 0  # met twice while pages moved
    outside: int = 0  # of a day that was not asked for
    erased: int = 0  # of people who were erased
    unusable: int = 0  # without an id or a time

    @property
    def dropped(self) -> int:
        """Rows that were read and not stored."""
        return self.repeated + self.outside + self.erased + self.unusable

    def without_erased(self, store: Store, table: pa.Table) -> pa.Table:
        """The rows of a page that may be stored; the others are counted."""
        kept = store.without_forgotten(table)
        self.erased += len(table) - len(kept)
        return kept


class SessionFacts(Facts):
    """What became of the sessions; ``new`` are rows more than were stored of the same days."""

    new: int = 0
    days: int = 0  # stored


class VisitorFacts(Facts):
    """What became of the visitors; ``rows`` are those in the store afterwards."""

    incremental: bool = False  # read until the last known activity
    order_broken: bool = False
    known_until: datetime | None = None  # the next reading begins from there


class MediaFacts(Facts):
    """What became of the videos."""

    readable: bool = True  # the token may read them


def refuse_unusable(problems: Sequence[DataError], usable: int, where: str) -> None:
    """Do without a few rows that have no id or time.

    Raises
    ------
    DataError
        They are over 1 % of the rows, and more than one.
    """
    total = usable + len(problems)
    if len(problems) > max(1, UNUSABLE_SHARE * total):
        what = f"{len(problems)} of {total} rows have no usable id or time: {problems[0].what}."
        remedy = f"{FORMAT_CHANGED} None of these rows is stored."
        raise DataError(what, where=where, expected=f"at most {UNUSABLE_SHARE:.0%}", remedy=remedy)
