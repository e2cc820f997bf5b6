"""Sessions of the store: a closed UTC day is whole or absent, a month that is over is one file.

``sessions/day=2026-06-01/`` holds a day as it was fetched, with its facts in day.json. Days of a
month that is over move to one file, ``sessions/2026-06.parquet``, sorted by visitor_key, their
facts in its metadata. A day that is in both is the one of the folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Collection
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from helpers.core import files
from helpers.core.errors import DataError
from helpers.core.files import open_parquet, read_json, write_json
from helpers.store import duck
from helpers.store.schema import SESSIONS

PART_ROWS = 20_000
"""Rows of a day that are held in memory before they go to a part file."""
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
        Folder of the account; ``sessions`` and what is staged are in it.
    """

    def __init__(self, store: Path):
        self.folder, self.staging = store / "sessions", store / ".staging"
        self._spill = store / ".spill"

    def facts(self) -> Facts:
        """Facts of each stored day, oldest first: rows, read_at, pass.

        Raises
        ------
        DataError
            A file is damaged.
        """
        stored = {day: facts for path in self.months() for day, facts in _facts_of(path).items()}
        stored |= {day: read_json(path / "day.json") for day, path in self._folders().items()}
        return dict(sorted(stored.items()))

    def months(self) -> list[Path]:
        """Files of months, oldest first."""
        found = sorted(self.folder.glob("*.parquet"))
        return [path for path in found if re.fullmatch(r"\d{4}-\d{2}", path.stem)]

    def parts(self) -> list[Path]:
        """Files of days that have a folder, oldest first.

        Raises
        ------
        DataError
            Files of a day are missing.
        """
        return [part for folder in self._folders().values() for part in _parts(folder)]

    def sql(self, paths: list[Path] | None = None) -> str:
        """A query for the sessions of these files, or all, with their UTC day and place (row)."""
        paths = [*self.months(), *self.parts()] if paths is None else paths
        # Quicker than a cast that knows time zones.
        computed = ", make_timestamp(epoch_us(received_at))::DATE AS day"
        computed += ", (file_index::BIGINT << 40) | file_row_number AS row"
        query, folders, where = duck.rows(PLACED, paths, computed), self._folders(), []
        for number, path in enumerate(paths):
            replaced = _facts_of(path).keys() & folders.keys() if path.parent == self.folder else ()
            if replaced:
                where.append(f"(row >> 40 <> {number} OR day NOT IN ({_dates(replaced)}))")
        return f"{query} WHERE {' AND '.join(where)}" if where else query

    def digests(self, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
        """What the rows of each day add up to, whatever their order and files; no empty days."""
        found = {str(day): facts.get("digest", NO_ROWS) for day, facts in self.facts().items()}
        found |= _digests(connection, self.sql(self.parts()))
        return {day: digest for day, digest in found.items() if digest != NO_ROWS}

    def stage(self, day: date) -> StagedDay:
        """Begin to write a day; it takes the old one's place when it is committed."""
        return StagedDay(self.folder / f"day={day}", self.staging)

    def doubt(self, day: date) -> None:
        """Mark a day, just stored, as perhaps incomplete, so that it is read again."""
        path = self.folder / f"day={day}" / "day.json"
        write_json(path, {**read_json(path), "doubted": True})

    def put_back(self) -> None:
        """Put a day back that was killed between two renames."""
        for aside in self.staging.glob("old-day=*"):
            with contextlib.suppress(OSError):
                os.rename(aside, self.folder / aside.name.removeprefix("old-"))

    def remove(self, days: Collection[date]) -> None:
        """Remove days, each at once."""
        for path in self.months():  # first, so that no older copy comes to light
            facts = _facts_of(path)
            kept = {day: known for day, known in facts.items() if day not in days}
            if not kept:
                path.unlink()
            elif len(kept) < len(facts):
                self._write_month(path, [path], kept)
        for day, folder in self._folders().items():
            if day in days:
                self._remove_folder(folder)

    def compact(self, before: date) -> None:
        """Put the days of each month that ended before a day into one file.

        Killed at any moment, it leaves every day whole and once: until its folder is removed, the
        folder counts, and from then on the month, which holds the same rows.
        """
        months: dict[str, list[Path]] = {}
        for day, folder in self._folders().items():
            if f"{day:%Y-%m}" < f"{before:%Y-%m}":
                months.setdefault(f"{day:%Y-%m}", []).append(folder)
        for month, folders in months.items():
            path = self.folder / f"{month}.parquet"
            parts = [part for folder in folders for part in _parts(folder)]
            facts = {d: known for d, known in self.facts().items() if f"{d:%Y-%m}" == month}
            self._write_month(path, [path, *parts] if path.exists() else parts, facts)
            for folder in folders:
                self._remove_folder(folder)

    def remove_rows(self, keys: Collection[str]) -> None:
        """Remove the sessions of these visitor_keys."""
        gone = duck.texts(sorted(keys))
        for path in [*self.months(), *self._folders().values()]:
            parts = [path] if path.suffix else _parts(path)
            mine = f"list_contains({gone}, visitor_key)"
            with duck.connect(SORTING_MEMORY, self._spill) as connection:
                query = duck.rows(SESSIONS, parts)
                if not connection.execute(
                    f"SELECT 1 FROM ({query}) WHERE {mine} LIMIT 1"
                ).fetchall():
                    continue
                if path.suffix:
                    self._write_month(path, parts, _facts_of(path), f"NOT {mine}")
                    continue
                staged = self.stage(date.fromisoformat(path.name.removeprefix("day=")))
                staged.add(connection.sql(f"{query} WHERE NOT {mine}").to_arrow_table())
                staged.commit(**read_json(path / "day.json"))

    def _folders(self) -> dict[date, Path]:
        days = {}
        for path in sorted(self.folder.glob("day=*/day.json")):
            with contextlib.suppress(ValueError):
                days[date.fromisoformat(path.parent.name.removeprefix("day="))] = path.parent
        return days

    def _remove_folder(self, folder: Path) -> None:
        self.staging.mkdir(exist_ok=True)
        aside = self.staging / f"gone-{folder.name}"
        os.replace(folder, aside)  # whole or absent, also when killed here
        shutil.rmtree(aside)

    def _write_month(
        self, path: Path, sources: list[Path], days: Facts, where: str = "true"
    ) -> None:
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


def _dates(days: Collection[date]) -> str:
    return ", ".join(f"DATE '{day}'" for day in sorted(days))


def _parts(folder: Path) -> list[Path]:
    found = sorted(folder.glob("part-*.parquet"))
    if not found and read_json(folder / "day.json").get("rows"):
        raise DataError(
            "the files of its sessions are gone.",
            where=f"Store, {folder.name}",
            expected=f"{read_json(folder / 'day.json')['rows']} rows, as day.json says",
            remedy="Restore them from a backup, or delete the folder and run again.",
        )
    return found


def digest(schema: pa.Schema) -> str:
    """An SQL aggregate that depends on all values of all rows, and not on their order."""
    return f"count(*) || ' ' || coalesce(sum(hash({', '.join(schema.names)})), 0)"


def _digests(connection: duckdb.DuckDBPyConnection, rows: str) -> dict[str, str]:
    query = f"SELECT day::VARCHAR, {digest(SESSIONS)} FROM ({rows}) GROUP BY day"
    return dict(connection.execute(query).fetchall())


def _facts_of(month: Path) -> Facts:
    facts = month.stat()
    return _read_facts(month, facts.st_size, facts.st_mtime_ns)


@lru_cache(256)
def _read_facts(month: Path, *_stamp: int) -> Facts:
    text = (open_parquet(month).metadata.metadata or {}).get(b"days")
    if text is None:
        raise DataError(
            "the facts of its days are gone.",
            where=f"Store, sessions/{month.name}",
            remedy="Restore it from a backup, or delete it and run again.",
        )
    return {date.fromisoformat(day): facts for day, facts in json.loads(text).items()}


class StagedDay:
    """A day being written, in a folder of its own until it is whole.

    Attributes
    ----------
    rows, held : int
        Rows taken so far; of them in memory.
    """

    def __init__(self, folder: Path, staging: Path):
        self._final, self._staged = folder, staging / folder.name
        self._tables: list[pa.Table] = []
        self._parts = self.held = self.rows = 0
        shutil.rmtree(self._staged, ignore_errors=True)

    def add(self, table: pa.Table) -> None:
        """Take rows of the day; many of them go to a file at once."""
        self._tables.append(table)
        self.held += len(table)
        self.rows += len(table)
        if self.held >= PART_ROWS:
            self.spill()

    def spill(self) -> None:
        """Write the rows held in memory to a part file of the staged day."""
        self._staged.mkdir(parents=True, exist_ok=True)
        if self.held:
            path = self._staged / f"part-{self._parts:03d}.parquet"
            pq.write_table(pa.concat_tables(self._tables), path, compression="zstd")
            self._parts += 1
        self._tables, self.held = [], 0

    def commit(self, **facts: Any) -> None:
        """Put the day in its place, whole; `facts` go to its day.json beside ``rows``."""
        self.spill()
        write_json(self._staged / "day.json", {**facts, "rows": self.rows})
        self._final.parent.mkdir(parents=True, exist_ok=True)
        aside = self._staged.with_name(f"old-{self._final.name}")
        if self._final.exists():
            os.replace(self._final, aside)
        os.replace(self._staged, self._final)
        shutil.rmtree(aside, ignore_errors=True)
