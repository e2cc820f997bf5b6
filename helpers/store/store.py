"""The store of an account: what was fetched, in Parquet, and who may write to it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout

from helpers.core import files
from helpers.core.errors import DataError, LockError, ParameterError
from helpers.core.files import open_parquet, read_json, write_json
from helpers.store import duck
from helpers.store.days import Days, StagedDay, digest
from helpers.store.erased import Erased, fold
from helpers.store.schema import MEDIAS, SESSIONS, VISITORS

__all__ = ["MEDIAS", "SESSIONS", "VISITORS", "StagedDay", "Store"]

SCHEMA_VERSION = 1
LOCK_SECONDS = 30.0
OF_THE_STATEMENT = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException,
                    duckdb.ConversionException, duckdb.OutOfMemoryException)  # fmt: skip
"""SQL errors that no file is to blame for."""


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
        self.sessions, self.erased = Days(folder), Erased(folder)
        self._linked: set[str] = set()

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
        self.folder.mkdir(parents=True, exist_ok=True)
        known = self._check_version()
        filled = self.visitors_path.exists() or self.medias_path.exists() or bool(self.days())
        if known.get("wistia", wistia) != wistia and filled:
            raise ParameterError(
                f"it was filled from {known['wistia']}, not from {wistia}.",
                where=f"Store of account {self.folder.name!r}",
                remedy="Two addresses never mix: set WISTIA_BASE_URL as it was, or choose another "
                "VIEWER_PERSONAS_ACCOUNT for the new address.",
            )
        if known.get("wistia") != wistia:
            content = {"schema_version": SCHEMA_VERSION, "wistia": wistia}
            write_json(self.folder / "store.json", content)
        self.sessions.put_back()
        self.tidy()

    def tidy(self) -> None:
        """Remove everything staged."""
        shutil.rmtree(self.staging, ignore_errors=True)

    def _check_version(self) -> dict[str, Any]:
        known = read_json(self.folder / "store.json")
        version = known.get("schema_version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            raise DataError(
                f"schema_version is {version!r}, and this kit reads {SCHEMA_VERSION}.",
                where=f"Store of account {self.folder.name!r}",
                remedy="Use the kit it was made with, or delete "
                f"store/{self.folder.name} under the outputs folder to fetch it anew.",
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
        lock = FileLock(self.folder / name, is_singleton=True)
        try:
            lock.acquire(timeout=wait)
        except Timeout:
            raise LockError(
                f"another run is in progress, and still was after {wait:.0f} s.",
                where=f"Account {self.folder.name!r}",
                remedy="One run at a time writes a store; wait for it to end, then run again.",
            ) from None
        try:
            yield
        finally:
            lock.release()

    # ---- what is there

    def days(self) -> dict[date, dict[str, Any]]:
        """Stored days, oldest first, each with its facts: rows, read_at, pass.

        Raises
        ------
        DataError
            The store has another schema version, or a file of it is damaged.
        """
        self._check_version()
        return self.sessions.facts()

    def list_sql(self, schema: pa.Schema, path: Path) -> str:
        """A query for visitors or medias; no rows where nothing was fetched."""
        return duck.rows(schema, [path] if path.is_file() else [])

    def fingerprint(self, *more: Any) -> str:
        """Names what is stored: another when a row of sessions, visitors or medias changes."""
        paths = [self.visitors_path, self.medias_path]
        paths += [*self.sessions.months(), *self.sessions.parts()]
        stamps = [(path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths
                  if path.is_file()]  # fmt: skip
        if getattr(self, "_stamps", None) != stamps:
            with self.damage_told(), duck.connect(None, self.folder / ".spill") as connection:
                lists = [
                    connection.execute(f"SELECT {digest(schema)} FROM ({query})").fetchall()
                    for schema, query in (
                        (VISITORS, self.list_sql(VISITORS, self.visitors_path)),
                        (MEDIAS, self.list_sql(MEDIAS, self.medias_path)),
                    )
                ]
                self._digests = [*lists, self.sessions.digests(connection)]
            self._stamps = stamps
        return hashlib.sha256(json.dumps([more, self._digests]).encode()).hexdigest()[:16]

    @contextlib.contextmanager
    def damage_told(self) -> Iterator[None]:
        """Where an SQL error comes from a damaged file of the store, raise DataError, naming it."""
        try:
            yield
        except duckdb.Error as error:
            if not isinstance(error, OF_THE_STATEMENT):
                self.check_files()
            raise

    def check_files(self) -> None:
        """Read every file of the store.

        Raises
        ------
        DataError
            One of them is damaged; it is named.
        """
        lists = [self.visitors_path, self.medias_path, *self.derived.glob("*.parquet")]
        for path in [*filter(Path.is_file, lists), *self.sessions.months(), *self.sessions.parts()]:
            files.read_through(path)

    def state(self) -> dict[str, Any]:
        """How far fetching got; empty at first."""
        return read_json(self.folder / "fetch.json")

    def save_state(self, state: dict[str, Any]) -> None:
        """Remember how far fetching got."""
        write_json(self.folder / "fetch.json", state)

    # ---- writing

    def stage(self, day: date) -> StagedDay:
        """Begin to write a day; it takes the old one's place when it is committed."""
        return self.sessions.stage(day)

    def doubt(self, days: Iterable[date]) -> None:
        """Mark days, just stored, as perhaps incomplete, so that they are read again."""
        for day in days:
            self.sessions.doubt(day)

    def drop_days(self, before: date, *, keep: tuple[date, date]) -> int:
        """Remove the sessions of days before `before` and outside `keep`; how many days."""
        gone = {day for day in self.days() if day < before and not keep[0] <= day <= keep[1]}
        with self.damage_told():
            self.sessions.remove(gone)
        return len(gone)

    def settle(self, before: date) -> None:
        """End a fetch: months that ended before a day become one file each."""
        if self._linked:
            self._remove_rows(self._linked)
        with self.damage_told():
            self.sessions.compact(before)

    def replace(self, path: Path, table: pa.Table) -> None:
        """Put `table` in the place of the Parquet file `path`, at once."""
        files.write_parquet(path, table)

    # ---- people who asked to be erased

    def identify(self, *people: str) -> tuple[set[str], set[str]]:
        """All stored visitor_keys and e-mails (folded) of a person.

        Parameters
        ----------
        *people : str
            E-mails or visitor_keys; from each to the others: key, its e-mails, their keys, ...
        """
        visitors = self.list_sql(VISITORS, self.visitors_path)
        stored = f"({self.sessions.sql()}) UNION ALL BY NAME ({visitors})"
        wanted = {person.strip() for person in people}
        with self.damage_told(), duck.connect(None, self.folder / ".spill") as connection:
            pairs = connection.execute(
                f"SELECT DISTINCT visitor_key, email FROM ({stored}) WHERE contains(email, '@') "
                f"OR list_contains({duck.texts(wanted)}, visitor_key)"
            ).fetchall()
        by_email: dict[str, set[str]] = {}
        by_key: dict[str, set[str]] = {}
        for key, email in pairs:
            folded = {fold(email)} if email and "@" in email else set()
            by_key.setdefault(key, set()).update(folded)
            for address in folded:
                by_email.setdefault(address, set()).add(key)
        keys = wanted & by_key.keys()
        emails = {fold(person) for person in wanted if "@" in person}
        while True:
            more_emails = set().union(emails, *(by_key[key] for key in keys))
            more_keys = set().union(keys, *(by_email.get(email, set()) for email in more_emails))
            if (more_keys, more_emails) == (keys, emails):
                return keys, emails
            keys, emails = more_keys, more_emails

    def keys_of(self, person: str) -> set[str]:
        """Every stored visitor_key of a person, by e-mail (in any case) or visitor_key."""
        return self.identify(person)[0]

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

    def remember(self, person: str) -> int:
        """Take back the requests to erase a person; how many there were."""
        return self.erased.remove(person)

    def _remove_rows(self, keys: set[str]) -> dict[str, int]:
        before, visitors = sum(facts["rows"] for facts in self.days().values()), 0
        with self.damage_told():
            self.sessions.remove_rows(keys)
        if self.visitors_path.is_file():
            table = open_parquet(self.visitors_path).read()
            gone = pc.is_in(table["visitor_key"], pa.array(sorted(keys), pa.string()))
            kept = table.filter(pc.invert(gone))
            visitors = len(table) - len(kept)
            if visitors:
                self.replace(self.visitors_path, kept)
        after = sum(facts["rows"] for facts in self.days().values())
        return {"sessions": before - after, "visitors": visitors}

    def without_forgotten(self, table: pa.Table) -> pa.Table:
        """The rows of `table` (visitor_key, email) that may be stored.

        A new visitor_key with the e-mail of an erased person is that person's from then on.
        """
        if not self.erased:
            return table
        pairs = zip(table["visitor_key"].to_pylist(), table["email"].to_pylist(), strict=True)
        kept = []
        for key, email in pairs:
            kept.append(not self.erased.has(key, email))
            if not kept[-1] and not self.erased.has(key):
                self.erased.link(key, email)
                self._linked.add(key)
        return table.filter(pa.array(kept, pa.bool_()))
