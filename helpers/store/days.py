"""Sessions of the store: a closed UTC day is whole or absent, a month that is over is one file.

``sessions/2026-06-01.parquet`` holds a day as it was fetched. Days of a month that is over move to
one file, ``sessions/2026-06.parquet``, sorted by visitor_key. The facts of its days stand in the
metadata of each file. A day that is in two files is the one of its own.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Iterable
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from helpers.core import files
from helpers.core.errors import DataError
from helpers.core.files import open_parquet, read_json
from helpers.store import duck
from helpers.store.schema import SESSIONS

SORTING_MEMORY = "1GB"
"""For writing a month; what is more spills to disk."""
PLACED = SESSIONS.append(pa.field("day", pa.date32())).append(pa.field("row", pa.int64()))
NO_ROWS = "0 of nothing"

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
        """Each file, months before days, with the facts of its days: rows, read_at, pass.

        Raises
        ------
        DataError
            A file is damaged.
        """
        names = [path for path in self.folder.glob("*.parquet") if _NAME.fullmatch(path.stem)]
        return {path: _facts_of(path) for path in sorted(names, key=lambda p: (len(p.stem), p))}

    def facts(self) -> Facts:
        """Facts of each stored day, oldest first."""
        stored = {day: facts for known in self.files().values() for day, facts in known.items()}
        return dict(sorted(stored.items()))

    def sql(self, paths: Iterable[Path] | None = None) -> str:
        """A query for the sessions of these files, or all, with their UTC day and place (row)."""
        stored, where = self.files(), []
        paths = list(stored if paths is None else paths)
        # Quicker than a cast that knows time zones.
        computed = ", make_timestamp(epoch_us(received_at))::DATE AS day"
        computed += ", (file_index::BIGINT << 40) | file_row_number AS row"
        for number, path in enumerate(paths):
            replaced = [day for day in stored[path] if self._path(day) in stored]
            if replaced and path != self._path(replaced[0]):
                where.append(f"(row >> 40 <> {number} OR day NOT IN ({_dates(replaced)}))")
        query = duck.rows(PLACED, paths, computed)
        return f"{query} WHERE {' AND '.join(where)}" if where else query

    def digests(self, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
        """What the rows of each day add up to, whatever their order and files; no empty days."""
        stored = self.files()
        found = {str(day): known.get("digest") for day, known in self.facts().items()}
        new = [
            path for path, days in stored.items() if any("digest" not in d for d in days.values())
        ]
        found |= _digests(connection, self.sql(new))
        return {day: digest for day, digest in found.items() if digest not in (None, NO_ROWS)}

    def write(self, day: date, table: pa.Table, **facts: Any) -> None:
        """Put a day in its place, whole; `facts` are kept beside its number of rows."""
        days = json.dumps({str(day): {**facts, "rows": len(table)}})
        files.write_parquet(self._path(day), table.replace_schema_metadata({"days": days}))

    def remove(self, days: Collection[date]) -> None:
        """Remove days, each at once."""
        for path, facts in self.files().items():  # months first: no older copy comes to light
            kept = {day: known for day, known in facts.items() if day not in days}
            if len(kept) < len(facts):
                self._rewrite(path, [path], kept)

    def remove_rows(self, keys: Collection[str]) -> None:
        """Remove the sessions of these visitor_keys."""
        mine = f"list_contains({duck.texts(sorted(keys))}, visitor_key)"
        for path, facts in self.files().items():
            with duck.connect(SORTING_MEMORY, self._spill) as connection:
                query = f"SELECT 1 FROM ({duck.rows(SESSIONS, [path])}) WHERE {mine} LIMIT 1"
                if connection.execute(query).fetchall():
                    self._rewrite(path, [path], facts, f"NOT {mine}")

    def compact(self, before: date) -> None:
        """Put the days of each month that ended before a day into one file.

        Killed at any moment, it leaves every day whole and once: until it is removed, the file of
        the day counts, and from then on the month, which holds the same rows.
        """
        months: dict[str, list[Path]] = {}
        for path in self.files():
            if path.stem[:7] < f"{before:%Y-%m}":
                months.setdefault(path.stem[:7], []).append(path)
        for month, paths in months.items():
            whole = self.folder / f"{month}.parquet"
            if paths != [whole]:
                facts = {d: known for d, known in self.facts().items() if f"{d:%Y-%m}" == month}
                self._rewrite(whole, paths, facts)
            for path in set(paths) - {whole}:
                path.unlink()

    def take_over(self) -> None:
        """Put the days of an earlier version, which had a folder each, into files."""
        for path in sorted(self.folder.glob("day=????-??-??/day.json")):
            parts = [open_parquet(part).read() for part in sorted(path.parent.glob("*.parquet"))]
            day = date.fromisoformat(path.parent.name.removeprefix("day="))
            if not self._path(day).exists():  # else it was killed here
                self.write(
                    day, pa.concat_tables(parts or [SESSIONS.empty_table()]), **read_json(path)
                )
            shutil.rmtree(path.parent)

    def _path(self, day: date) -> Path:
        return self.folder / f"{day}.parquet"

    def _rewrite(self, path: Path, sources: list[Path], days: Facts, where: str = "true") -> None:
        """Write the days of files to one, or remove it where none are left."""
        if not days:
            path.unlink()
            return
        rows = f"SELECT * FROM ({self.sql(sources)}) WHERE day IN ({_dates(days)}) AND {where}"
        with duck.connect(SORTING_MEMORY, self._spill) as connection:
            digests, facts = _digests(connection, rows), {}
            for day, known in days.items():
                digest = digests.get(str(day), NO_ROWS)
                facts[str(day)] = {**known, "rows": int(digest.split()[0]), "digest": digest}
            with files.replace_file(path) as staged:
                connection.execute(
                    f"COPY (SELECT {', '.join(SESSIONS.names)} FROM ({rows}) ORDER BY visitor_key) "
                    f"TO {duck.quoted(staged)} (FORMAT parquet, COMPRESSION zstd, "
                    f"KV_METADATA {{days: {duck.quoted(json.dumps(facts))}}})"
                )


_NAME = re.compile(r"\d{4}-\d{2}(-\d{2})?")


def _dates(days: Collection[date]) -> str:
    return ", ".join(f"DATE '{day}'" for day in sorted(days))


def digest(schema: pa.Schema) -> str:
    """An SQL aggregate that depends on all values of all rows, and not on their order."""
    return f"count(*) || ' ' || coalesce(sum(hash({', '.join(schema.names)})), 0)"


def _digests(connection: duckdb.DuckDBPyConnection, rows: str) -> dict[str, str]:
    query = f"SELECT day::VARCHAR, {digest(SESSIONS)} FROM ({rows}) GROUP BY day"
    return dict(connection.execute(query).fetchall())


def _facts_of(path: Path) -> Facts:
    facts = path.stat()
    return _read_facts(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(1024)
def _read_facts(path: Path, *_stamp: int) -> Facts:
    text = (open_parquet(path).metadata.metadata or {}).get(b"days")
    if text is None:
        raise DataError(
            "the facts of its days are gone.",
            where=f"Store, sessions/{path.name}",
            remedy="Restore it from a backup, or delete it and run again.",
        )
    return {date.fromisoformat(day): facts for day, facts in json.loads(text).items()}
