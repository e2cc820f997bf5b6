"""The store of an account: what was fetched, in Parquet, each closed UTC day whole or absent."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from helpers.core.errors import DataError, LockError, ParameterError
from helpers.core.files import read_json, replace_file, write_json

SCHEMA_VERSION = 1
LOCK_SECONDS = 30.0
PART_ROWS = 20_000
"""Rows of a day that are held in memory before they go to a part file."""


def _schema(required: dict[str, pa.DataType], optional: dict[str, pa.DataType]) -> pa.Schema:
    return pa.schema(
        [pa.field(name, kind, nullable=False) for name, kind in required.items()]
        + [pa.field(name, kind) for name, kind in optional.items()]
    )


def _texts(names: str) -> dict[str, pa.DataType]:
    return dict.fromkeys(names.split(), pa.string())


_TIME = pa.timestamp("us", tz="UTC")
SESSIONS = _schema(
    {
        **_texts("event_key visitor_key media_id"),
        "received_at": _TIME,
        "percent_viewed": pa.float64(),
    },
    {
        **_texts("media_name email country region city org page utm_source utm_medium"),
        **_texts("utm_campaign utm_term utm_content conversion_type browser platform"),
        "mobile": pa.bool_(),
    },
)
VISITORS = _schema(
    _texts("visitor_key"),
    {
        "created_at": _TIME,
        "last_active_at": _TIME,
        "load_count": pa.int64(),
        "play_count": pa.int64(),
        **_texts("name email org_name org_title browser platform"),
        "mobile": pa.bool_(),
    },
)
MEDIAS = _schema(
    _texts("media_id"),
    {**_texts("name"), "duration": pa.float64(), **_texts("folder type"), "created": _TIME},
)


class Store:
    """Files of one account; other accounts have other folders.

    Parameters
    ----------
    folder : Path
        ``outputs/store/<account>``; made when it is first written to.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.staging = folder / ".staging"
        self.visitors_path = folder / "visitors.parquet"
        self.medias_path = folder / "medias.parquet"
        self.engagement_path = folder / "engagement.parquet"
        self.media_stats_path = folder / "media_stats.parquet"
        self.derived = folder / ".shards"  # copies of rows, made again when they are missing

    # ---- opening and locks

    def open(self, wistia: str) -> None:
        """Make or check the store before writing; clear what a killed run left half-done.

        Parameters
        ----------
        wistia : str
            Address that the data come from, or ``sandbox``.

        Raises
        ------
        ParameterError
            The store was filled from another address.
        DataError
            The store has another schema version.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        known = self._check_version()
        filled = self.visitors_path.exists() or self.medias_path.exists() or bool(self.days())
        if known.get("wistia", wistia) != wistia and filled:
            raise ParameterError(
                f"Store of account {self.folder.name!r}: it was filled from {known['wistia']}, not "
                f"from {wistia}. Two addresses never mix: set WISTIA_BASE_URL as it was, or choose "
                "another VIEWER_PERSONAS_ACCOUNT for the new address."
            )
        if known.get("wistia") != wistia:
            write_json(
                self.folder / "store.json", {"schema_version": SCHEMA_VERSION, "wistia": wistia}
            )
        for aside in self.staging.glob("old-day=*"):  # killed between two renames
            with contextlib.suppress(OSError):
                os.rename(aside, self._day_folder(aside.name.removeprefix("old-day=")))
        self.tidy()

    def tidy(self) -> None:
        """Remove everything staged."""
        shutil.rmtree(self.staging, ignore_errors=True)

    def _check_version(self) -> dict[str, Any]:
        known = read_json(self.folder / "store.json")
        version = known.get("schema_version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            raise DataError(
                f"Store of account {self.folder.name!r}: schema_version is {version!r}, and this "
                f"kit reads {SCHEMA_VERSION}. Use the kit it was made with, or delete "
                f"store/{self.folder.name} under the outputs folder to fetch it anew."
            )
        return known

    @contextlib.contextmanager
    def lock(self, wait: float = LOCK_SECONDS) -> Iterator[None]:
        """Hold the account for writing: store and ledger have one writer at a time.

        A kernel that the runner started finds the run's lock held for it (environment
        ``VIEWER_PERSONAS_LOCK=held``) and takes only the writer's.

        Raises
        ------
        LockError
            Another process holds it after `wait` seconds.
        """
        held = os.environ.get("VIEWER_PERSONAS_LOCK") == "held"
        with contextlib.ExitStack() as stack:
            for name in ("write.lock",) if held else ("run.lock", "write.lock"):
                stack.enter_context(self._locked(name, wait))
            yield

    @contextlib.contextmanager
    def run_lock(self, wait: float = LOCK_SECONDS) -> Iterator[None]:
        """Hold the account for a whole run, once no kernel of a dead run writes any more.

        Raises
        ------
        LockError
            Another process holds it after `wait` seconds.
        """
        with self._locked("run.lock", wait):
            with self._locked("write.lock", wait):
                pass
            yield

    def is_held(self) -> bool:
        """Whether a run works on the account now."""
        if not (self.folder / "run.lock").exists():
            return False
        try:
            with self._locked("run.lock", 0):
                return False
        except LockError:
            return True

    @contextlib.contextmanager
    def _locked(self, name: str, wait: float) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / name, is_singleton=True)
        try:
            lock.acquire(timeout=wait)
        except Timeout:
            raise LockError(
                f"Account {self.folder.name!r}: another run works on it and still did after "
                f"{wait:.0f} s. One run at a time writes a store; wait for it to end, then run "
                "again."
            ) from None
        try:
            yield
        finally:
            lock.release()

    # ---- what is there

    def days(self) -> dict[date, dict[str, Any]]:
        """Stored days, oldest first, each with its day.json: rows, read_at, pass.

        Raises
        ------
        DataError
            The store has another schema version.
        """
        self._check_version()
        found = {}
        for path in sorted(self.folder.glob("sessions/day=*/day.json")):
            with contextlib.suppress(ValueError):
                found[date.fromisoformat(path.parent.name.removeprefix("day="))] = read_json(path)
        return found

    def fingerprint(self, *more: Any) -> str:
        """Names what is stored now; another once a day, the visitors or the medias change."""
        files = [path for path in (self.visitors_path, self.medias_path) if path.is_file()]
        stamps = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
        days = [(str(day), facts) for day, facts in self.days().items()]
        return hashlib.sha256(json.dumps([more, stamps, days]).encode()).hexdigest()[:16]

    def session_files(self) -> list[Path]:
        """The Parquet files of all stored sessions, oldest first."""
        folders = (self._day_folder(day) for day in self.days())
        return [part for folder in folders for part in sorted(folder.glob("part-*.parquet"))]

    def state(self) -> dict[str, Any]:
        """How far fetching got; empty at first."""
        return read_json(self.folder / "fetch.json")

    def save_state(self, state: dict[str, Any]) -> None:
        """Remember how far fetching got."""
        write_json(self.folder / "fetch.json", state)

    def _day_folder(self, day: date | str) -> Path:
        return self.folder / "sessions" / f"day={day}"

    # ---- days

    def stage(self, day: date) -> StagedDay:
        """Begin to write a day; it takes the old one's place when it is committed."""
        return StagedDay(self._day_folder(day), self.staging)

    def doubt(self, days: Iterable[date]) -> None:
        """Mark stored days as perhaps incomplete, so that they are read again."""
        for day in days:
            path = self._day_folder(day) / "day.json"
            write_json(path, {**read_json(path), "doubted": True})

    def drop_days(self, before: date, *, keep: tuple[date, date]) -> int:
        """Let go of the sessions of days before `before` and outside `keep`; how many days."""
        gone = [day for day in self.days() if day < before and not keep[0] <= day <= keep[1]]
        for day in gone:
            aside = self.staging / f"gone-{day}"
            self.staging.mkdir(exist_ok=True)
            os.replace(self._day_folder(day), aside)  # whole or absent, also when killed here
            shutil.rmtree(aside)
        return len(gone)

    def replace(self, path: Path, table: pa.Table) -> None:
        """Put `table` in the place of the Parquet file `path`, at once."""
        with replace_file(path) as staged:
            pq.write_table(table, staged, compression="zstd")

    # ---- people who asked to be forgotten

    def _mark(self, kind: str, value: str) -> str:
        return hmac.new(self._erase_key, f"{kind}:{value}".encode(), hashlib.sha256).hexdigest()

    @cached_property
    def _erase_key(self) -> bytes:
        path = self.folder / "erased.key"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
        return path.read_bytes()

    def keys_of(self, person: str) -> set[str]:
        """Every stored visitor_key of an e-mail (in any case), or the visitor_key itself."""
        wanted, keys = person.strip().casefold(), set()
        for path in [*self.folder.glob("sessions/day=*/part-*.parquet"), self.visitors_path]:
            if not path.exists():
                continue
            for batch in pq.ParquetFile(path).iter_batches(columns=["visitor_key", "email"]):
                for key, email in zip(*(batch[name].to_pylist() for name in (0, 1)), strict=True):
                    if key == person.strip() or (email or "").strip().casefold() == wanted:
                        keys.add(key)
        return keys

    def forget(self, person: str) -> dict[str, int]:
        """Remove a person's rows and keep intake from bringing them back.

        What stays is a keyed hash of e-mail and visitor_keys, which says nothing about a person
        but lets the next fetch recognise them. Wistia's own copy stays at Wistia.

        Parameters
        ----------
        person : str
            E-mail (all visitor_keys that ever bore it) or visitor_key.

        Returns
        -------
        dict
            keys, sessions, visitors: how many were removed.
        """
        keys = self.keys_of(person)
        known = set(read_json(self.folder / "erased.json").get("hashes", []))
        marks = {self._mark("visitor", key) for key in keys | {person.strip()}}
        if "@" in person:
            marks.add(self._mark("email", person.strip().casefold()))
        write_json(self.folder / "erased.json", {"hashes": sorted(known | marks)})
        sessions = 0
        for day in self.folder.glob("sessions/day=*"):
            dropped = sum(_filter_file(path, keys) for path in sorted(day.glob("part-*.parquet")))
            if dropped:
                about = read_json(day / "day.json")
                write_json(day / "day.json", {**about, "rows": about["rows"] - dropped})
            sessions += dropped
        visitors = _filter_file(self.visitors_path, keys) if self.visitors_path.exists() else 0
        return {"keys": len(keys), "sessions": sessions, "visitors": visitors}

    def is_forgotten(self, visitor_key: str, email: str | None = None) -> bool:
        """Whether this visitor_key or e-mail belongs to a person who was erased."""
        hashes = self._forgotten
        return bool(hashes) and (
            self._mark("visitor", visitor_key) in hashes
            or bool(email) and self._mark("email", email.strip().casefold()) in hashes
        )  # fmt: skip

    @property
    def _forgotten(self) -> frozenset[str]:
        path = self.folder / "erased.json"
        stamp = path.stat().st_mtime_ns if path.exists() else 0
        if getattr(self, "_forgotten_at", None) != stamp:
            self._forgotten_at = stamp
            self._forgotten_now = frozenset(read_json(path).get("hashes", []))
        return self._forgotten_now

    def without_forgotten(self, table: pa.Table) -> pa.Table:
        """The rows of `table` (visitor_key, email) that may be stored."""
        if not self._forgotten:
            return table
        pairs = zip(table["visitor_key"].to_pylist(), table["email"].to_pylist(), strict=True)
        return table.filter(pa.array([not self.is_forgotten(*pair) for pair in pairs], pa.bool_()))


class StagedDay:
    """A day being written, in a folder of its own until it is whole.

    Attributes
    ----------
    rows, held : int
        Rows taken so far; of them in memory.
    parts, replaces : list of str
        Files written so far; files of the stored day that this one will replace.
    """

    def __init__(self, folder: Path, staging: Path):
        self._final, self._staged = folder, staging / folder.name
        self._tables: list[pa.Table] = []
        self.held = self.rows = 0
        self.parts: list[str] = []
        self.replaces = sorted(str(path) for path in folder.glob("part-*.parquet"))
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
            path = self._staged / f"part-{len(self.parts):03d}.parquet"
            pq.write_table(pa.concat_tables(self._tables), path, compression="zstd")
            self.parts.append(str(path))
        self._tables, self.held = [], 0

    def commit(self, **about: Any) -> None:
        """Put the day in its place, whole; `about` goes to its day.json beside ``rows``."""
        self.spill()
        write_json(self._staged / "day.json", {"rows": self.rows, **about})
        self._final.parent.mkdir(parents=True, exist_ok=True)
        aside = self._staged.with_name(f"old-{self._final.name}")
        if self._final.exists():
            os.replace(self._final, aside)
        os.replace(self._staged, self._final)
        shutil.rmtree(aside, ignore_errors=True)


def _filter_file(path: Path, keys: set[str]) -> int:
    """Rewrite a Parquet file without the rows of these visitor_keys; how many were dropped."""
    file = pq.ParquetFile(path)
    gone = pa.array(sorted(keys), pa.string())
    if not any(
        pc.any(pc.is_in(batch["visitor_key"], gone)).as_py()
        for batch in file.iter_batches(columns=["visitor_key"])
    ):
        return 0
    kept = 0
    with (
        replace_file(path) as staged,
        pq.ParquetWriter(staged, file.schema_arrow, compression="zstd") as writer,
    ):
        for batch in file.iter_batches():
            rest = batch.filter(pc.invert(pc.is_in(batch["visitor_key"], gone)))
            writer.write_batch(rest)
            kept += len(rest)
    return file.metadata.num_rows - kept
