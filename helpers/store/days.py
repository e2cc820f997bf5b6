"""Sessions of the store: a closed UTC day is whole or absent, a month that is over is one file.

``sessions/2026-06-01.parquet`` holds a day as it was fetched. Days of a month that is over move to
one file, ``sessions/2026-06.parquet``, sorted by visitor_key. The facts of its days stand in the
metadata of each file. Where a day is in a month, a file of its own counts no more.
"""

import json
import shutil
from collections.abc import Collection, Iterable
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from helpers.core import files
from helpers.store import duck
from helpers.store.schema import SESSIONS, columns

SORTING_MEMORY = "1GB"
"""For writing a month; what is more spills to disk."""
DAYS, MONTHS = "????-??-??.parquet", "????-??.parquet"
PLACED = pa.unify_schemas([SESSIONS, columns({"day": "day", "row": "count"})])

Facts = dict[date, dict[str, Any]]


class Days:
    """The sessions of one account.

    Parameters
    ----------
    store : Path
        Folder of the account; ``sessions`` is in it.
    """

    def __init__(self, store: Path):
        self.folder, self._spill = store / "sessions", store / ".spill"

    def files(self) -> dict[Path, Facts]:
        """Each file with the facts of its days: rows, read_at, pass; each day is in one of them.

        Raises
        ------
        DataError
            A file is damaged.
        """
        months = self._read(MONTHS)
        held = {day for facts in months.values() for day in facts}
        own = self._read(DAYS).items()
        return months | {path: facts for path, facts in own if not facts.keys() & held}

    def _read(self, names: str) -> dict[Path, Facts]:
        stats = {path: path.stat() for path in sorted(self.folder.glob(names))}
        return {path: _facts_of(path, f.st_size, f.st_mtime_ns) for path, f in stats.items()}

    def sql(self, paths: Iterable[Path] | None = None) -> str:
        """A query for the sessions of these files, or all, with their UTC day and place (row)."""
        # Quicker than a cast that knows time zones.
        computed = ", make_timestamp(epoch_us(received_at))::DATE AS day"
        computed += ", (file_index::BIGINT << 40) | file_row_number AS row"
        return duck.rows(PLACED, self.files() if paths is None else paths, computed)

    def write(self, day: date, table: pa.Table, **facts: Any) -> None:
        """Put a day in its place, whole; `facts` are kept beside its number of rows."""
        self._remove_from_months([day])
        days = json.dumps({str(day): {**facts, "rows": len(table)}})
        files.write_parquet(self._path(day), table.replace_schema_metadata({"days": days}))

    def remove(self, days: Collection[date]) -> None:
        """Remove days, each at once."""
        for day in days:
            self._path(day).unlink(missing_ok=True)
        self._remove_from_months(days)

    def _remove_from_months(self, days: Collection[date]) -> None:
        for month in {f"{day:%Y-%m}.parquet" for day in days}:
            for path, facts in self._read(month).items():
                kept = {day: known for day, known in facts.items() if day not in days}
                if len(kept) < len(facts):
                    self._rewrite(path, [path], kept)

    def remove_rows(self, keys: Collection[str]) -> None:
        """Remove the sessions of these visitor_keys."""
        self.tidy()
        mine = f"list_contains({duck.texts(sorted(keys))}, visitor_key)"
        for path, facts in self.files().items():
            with duck.connect(SORTING_MEMORY, self._spill) as connection:
                query = f"SELECT 1 FROM ({duck.rows(SESSIONS, [path])}) WHERE {mine} LIMIT 1"
                if connection.execute(query).fetchall():
                    self._rewrite(path, [path], facts, f"NOT {mine}")

    def compact(self, before: date) -> None:
        """Put the days of each month that ended before a day into one file.

        Killed at any moment, it leaves every day whole and once: until the month is there the files
        of its days count, and from then on the month, which holds the same rows.
        """
        months: dict[str, dict[Path, Facts]] = {}
        for path, facts in self.files().items():
            if path.stem[:7] < f"{before:%Y-%m}":
                months.setdefault(path.stem[:7], {})[path] = facts
        for month, sources in months.items():
            whole = self.folder / f"{month}.parquet"
            if list(sources) != [whole]:
                days = {day: known for facts in sources.values() for day, known in facts.items()}
                self._rewrite(whole, list(sources), days)
        self.tidy()

    def tidy(self) -> None:
        """Remove files of days that a month holds."""
        for path in self._read(DAYS).keys() - self.files().keys():
            path.unlink()

    def take_over(self) -> None:
        """Put the days of an earlier version, which had a folder each, into files."""
        for path in sorted(self.folder.glob("day=????-??-??/day.json")):
            parts = [files.read_parquet(part) for part in sorted(path.parent.glob("*.parquet"))]
            day = date.fromisoformat(path.parent.name.removeprefix("day="))
            if not self._path(day).exists():  # else it was killed here
                table = pa.concat_tables(parts or [SESSIONS.empty_table()])
                self.write(day, table, **files.read_json(path))
            shutil.rmtree(path.parent)

    def _path(self, day: date) -> Path:
        return self.folder / f"{day}.parquet"

    def _rewrite(self, path: Path, sources: list[Path], days: Facts, where: str = "true") -> None:
        """Write the days of files to one, or remove it where none are left."""
        if not days:
            path.unlink()
            return
        dates = ", ".join(f"DATE '{day}'" for day in sorted(days))
        rows = f"SELECT * FROM ({self.sql(sources)}) WHERE day IN ({dates}) AND {where}"
        with duck.connect(SORTING_MEMORY, self._spill) as connection:
            counted = connection.execute(f"SELECT day, count(*) FROM ({rows}) GROUP BY day")
            left = dict(counted.fetchall())
            facts = {str(day): known | {"rows": left.get(day, 0)} for day, known in days.items()}
            with files.replace_file(path) as staged:
                connection.execute(
                    f"COPY (SELECT {', '.join(SESSIONS.names)} FROM ({rows}) ORDER BY visitor_key) "
                    f"TO {duck.quoted(staged)} (FORMAT parquet, COMPRESSION zstd, "
                    f"KV_METADATA {{days: {duck.quoted(json.dumps(facts))}}})"
                )


@lru_cache(1024)
def _facts_of(path: Path, *_stamp: int) -> Facts:
    text = (files.open_parquet(path).metadata.metadata or {}).get(b"days")
    if text is None:
        raise files.damaged(path, "the facts of its days are gone")
    return {date.fromisoformat(day): facts for day, facts in json.loads(text).items()}
