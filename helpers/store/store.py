"""The store of an account: what was fetched, in Parquet, and who may write to it."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout

from helpers.core import files
from helpers.core.errors import DataError, LockError, ParameterError
from helpers.store import duck
from helpers.store.days import Days
from helpers.store.erased import Erased, fold
from helpers.store.schema import MEDIAS, SESSIONS, VISITORS

SCHEMA_VERSION = 1
LOCK_SECONDS = 30.0
DIGEST = "SELECT count(*), sum(hash(stored))::VARCHAR FROM ({}) AS stored"
"""Depends on all values of all rows of a query, and not on their order."""


class Store:
    """Files of one account; other accounts have other folders.

    Parameters
    ----------
    folder : Path
        ``outputs/store/<account>``; made when it is first written to.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.visitors_path = folder / "visitors.parquet"
        self.medias_path = folder / "medias.parquet"
        self.engagement_path = folder / "engagement.parquet"
        self.media_stats_path = folder / "media_stats.parquet"
        self.progress_path = folder / "fetch.json"  # how far fetching got
        self.derived = folder / ".shards"  # copies of rows, made again when they are missing
        self.sessions, self.erased = Days(folder), Erased(folder)
        self._digests: tuple[list, list] = ([], [])

    # ---- opening and locks

    def open(self, wistia: str) -> None:
        """Make or check the store before writing; clear what a killed run left half-done.

        Parameters
        ----------
        wistia : str
            Address that the data come from, ``sandbox`` or ``file``.

        Raises
        ------
        ParameterError
            The store was filled from another address.
        DataError
            The store has another schema version.
        """
        known = self._check_version().get("wistia")
        self.sessions.take_over()
        self.erased = Erased(self.folder)  # another process may have written it since
        filled = self.visitors_path.exists() or self.medias_path.exists() or self.days()
        if known not in (None, wistia) and filled:
            what = f"Store {self.folder.name!r} is from {known}, not from {wistia}."
            remedy = "Set WISTIA_BASE_URL as it was, or another VIEWER_PERSONAS_ACCOUNT."
            raise ParameterError(what, remedy=remedy)
        if known != wistia:
            content = {"schema_version": SCHEMA_VERSION, "wistia": wistia}
            files.write_json(self.folder / "store.json", content)
        self.tidy()

    def tidy(self) -> None:
        """Remove what was half-written."""
        for path in [*self.folder.glob(".*.tmp"), *self.sessions.folder.glob(".*.tmp")]:
            path.unlink(missing_ok=True)
        self.sessions.tidy()

    def _check_version(self) -> dict[str, Any]:
        known = files.read_json(self.folder / "store.json")
        version = known.get("schema_version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            what = f"schema_version is {version!r}, and this kit reads {SCHEMA_VERSION}."
            remedy = "Use the kit it was made with, or delete the store to fetch it anew."
            raise DataError(what, where=f"Store {self.folder.name!r}", remedy=remedy)
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
        run_lock = contextlib.nullcontext() if held else self._locked("run.lock", wait)
        with run_lock, self._locked("write.lock", wait):
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
        """Whether a run of the account is in progress now."""
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
        try:
            with FileLock(self.folder / name, is_singleton=True).acquire(timeout=wait):
                yield
        except Timeout:
            what = f"another run is in progress, and still was after {wait:.0f} s."
            where, remedy = f"Account {self.folder.name!r}", "Wait for it to end, then run again."
            raise LockError(what, where=where, remedy=remedy) from None

    # ---- what is there

    def days(self) -> dict[date, dict[str, Any]]:
        """Stored days, oldest first, each with its facts: rows, read_at, pass.

        Raises
        ------
        DataError
            The store has another schema version, or a file of it is damaged.
        """
        self._check_version()
        known = self.sessions.files().values()
        return dict(sorted(stored for facts in known for stored in facts.items()))

    def rows(self) -> int:
        """How many sessions are stored."""
        return sum(facts["rows"] for facts in self.days().values())

    def lists(self) -> dict[str, str]:
        """Queries for visitors and medias; no rows where nothing was fetched."""
        lists = ("visitors", VISITORS, self.visitors_path), ("medias", MEDIAS, self.medias_path)
        return {name: duck.rows(kind, filter(Path.is_file, [path])) for name, kind, path in lists}

    def fingerprint(self, *more: Any) -> str:
        """Names what is stored: another when a row of sessions, visitors or medias changes."""
        paths = [self.visitors_path, self.medias_path, *self.sessions.files()]
        stats = [(path, path.stat()) for path in paths if path.is_file()]
        stamps = [(path, facts.st_size, facts.st_mtime_ns) for path, facts in stats]
        if self._digests[0] != stamps:
            tables = [*self.lists().values(), duck.rows(SESSIONS, self.sessions.files())]
            with self.damage_told(), duck.connect(None, self.folder / ".spill") as connection:
                found = [connection.execute(DIGEST.format(table)).fetchone() for table in tables]
            self._digests = stamps, found
        return hashlib.sha256(json.dumps([more, self._digests[1]]).encode()).hexdigest()[:16]

    @contextlib.contextmanager
    def damage_told(self) -> Iterator[None]:
        """Where an SQL error comes from a damaged file of the store, raise DataError, naming it.

        Where memory was too small, ParameterError names the setting.
        """
        try:
            yield
        except duckdb.OutOfMemoryException:
            remedy = "Set VIEWER_PERSONAS_MEMORY_LIMIT higher, or VIEWER_PERSONAS_SHARDS to 10."
            raise ParameterError("The engine has too little memory.", remedy=remedy) from None
        except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException):
            raise  # of the statement
        except duckdb.Error:
            lists = [self.visitors_path, self.medias_path, *self.derived.glob("*.parquet")]
            for path in [*filter(Path.is_file, lists), *self.sessions.files()]:
                files.read_through(path)
            raise

    # ---- writing

    def drop_days(self, before: date, *, keep: tuple[date, date]) -> int:
        """Remove the sessions of days before `before` and outside `keep`; how many days."""
        gone = {day for day in self.days() if day < before and not keep[0] <= day <= keep[1]}
        with self.damage_told():
            self.sessions.remove(gone)
        return len(gone)

    def settle(self, before: date) -> None:
        """End a fetch: months that ended before a day become one file each."""
        if self.erased.linked:
            self._remove_rows(self.erased.linked)
        with self.damage_told():
            self.sessions.compact(before)

    # ---- people who asked to be erased

    def identify(self, *people: str) -> tuple[set[str], set[str]]:
        """All stored visitor_keys and e-mails (folded) of a person.

        Parameters
        ----------
        *people : str
            E-mails or visitor_keys; from each to the others: key, its e-mails, their keys, ...
        """
        keys = {person.strip() for person in people}
        emails = {fold(person) for person in keys if "@" in person}
        stored = {"sessions": self.sessions.sql(), "visitors": self.lists()["visitors"]}
        with self.damage_told(), duck.connect(None, self.folder / ".spill") as connection:
            known = {"keys": sorted(keys), "emails": sorted(emails)}
            pairs = connection.execute(duck.sql("person").format(**stored), known).fetchall()
        return {key for key, _ in pairs}, emails | {email for _, email in pairs if email}

    def forget(self, *people: str) -> dict[str, int]:
        """Remove a person's rows and keep intake from bringing them back.

        What stays is a keyed hash of e-mails and visitor_keys, which says nothing about a person
        but lets the next fetch recognise them. Wistia's own copy stays at Wistia.

        Parameters
        ----------
        *people : str
            E-mails or visitor_keys of one person.

        Returns
        -------
        dict
            keys, sessions, visitors: how many were removed.
        """
        keys, emails = self.identify(*people)
        self.erased.add(keys | {person.strip() for person in people}, emails)
        return {"keys": len(keys), **self._remove_rows(keys)}

    def _remove_rows(self, keys: set[str]) -> dict[str, int]:
        before = self.rows()
        with self.damage_told():
            self.sessions.remove_rows(keys)
        table = files.read_parquet(self.visitors_path, VISITORS)
        kept = table.filter(~pc.field("visitor_key").isin(pa.array(sorted(keys), pa.string())))
        if len(kept) < len(table):
            files.write_parquet(self.visitors_path, kept)
        return {"sessions": before - self.rows(), "visitors": len(table) - len(kept)}

    def without_forgotten(self, table: pa.Table) -> pa.Table:
        """The rows of `table` (visitor_key, email) that may be stored."""
        pairs = zip(table["visitor_key"].to_pylist(), table["email"].to_pylist(), strict=True)
        return table.filter(pa.array([self.erased.admits(*pair) for pair in pairs], pa.bool_()))
