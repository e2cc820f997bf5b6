"""Shards: the viewers of an account split by a hash of their key, each part asked on its own.

What a viewer did needs the rows of that viewer alone. So the sessions (one row per event_key) are
split once into files by ``hash(visitor_key)``, and the statements of the stages, the very same
``.sql`` files, run on each shard in an embedded DuckDB of its own: one after another in this
process, which bounds its memory, or side by side on a Dask cluster (:mod:`.dask_cluster`).
"""

from __future__ import annotations

import json
import shutil
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import duckdb
import fsspec
import pandas as pd
import pyarrow as pa
from filelock import FileLock

from helpers.core.parameters import Window
from helpers.core.settings import Settings
from helpers.store import engine
from helpers.store.engine import Engine, Room, Selection, quoted
from helpers.store.store import Store

ROWS_OF_A_SHARD = 5_000_000
"""Sessions of a shard unless VIEWER_PERSONAS_SHARDS says how many shards there are."""
MOST_OPEN = 16
"""Shards that a process keeps open; one that was closed is asked all its statements again."""


def over_store(settings: Settings, store: Store, window: Window, **choice: Iterable[str]) -> Engine:
    """Like :func:`.engine.over_store`; on a Dask cluster or in shards when settings say so.

    Parameters
    ----------
    **choice
        media_ids, exclude_domains; see there.

    Raises
    ------
    ParameterError
        Dask is not installed.
    ServiceError
        The cluster does not answer, or does not fit this kit.
    """
    workers: Workers = OneByOne(Room(str(store.folder / ".spill"), settings.memory_limit))
    if settings.dask:
        from helpers.store.dask_cluster import cluster

        workers = cluster(settings.dask)
    elif not settings.shards:
        return engine.over_store(settings, store, window, **choice)
    rows = sum(day["rows"] for day in store.days().values())
    count = settings.shards or max(workers.count, -(-rows // ROWS_OF_A_SHARD))
    selection = Selection(store, window, **{name: tuple(of) for name, of in choice.items()})
    home = f"{_shared(settings, store)}/{store.fingerprint()}-{count}"
    return ShardedEngine(settings, selection, workers, Place(home, count))


def remove(settings: Settings, store: Store) -> None:
    """Remove what was made of an account's rows: it holds copies of them."""
    shutil.rmtree(store.derived, ignore_errors=True)
    if settings.dask_path:
        Place(_shared(settings, store)).remove("")


def _shared(settings: Settings, store: Store) -> str:
    """The folder that all workers see; the store's own unless VIEWER_PERSONAS_DASK_PATH is set."""
    path = settings.dask_path
    return f"{path.rstrip('/')}/{store.folder.name}" if path else str(store.derived)


class Workers(Protocol):
    """Who works on shards: ``count`` of them can be at work side by side."""

    count: int

    def run(self, what: str, function: Callable, tasks: Sequence[tuple]) -> list:
        """``function(*task, room=Room)`` of each task, in their order."""


class OneByOne:
    """This process, one shard after another."""

    count = 1

    def __init__(self, room: Room):
        self._room = room

    def run(self, what: str, function: Callable, tasks: Sequence[tuple]) -> list:
        return [function(*task, room=self._room) for task in tasks]


@dataclass(frozen=True)
class Place:
    """Where shards lie: a folder, by path or by a URL that fsspec knows (``s3://bucket/folder``).

    A table is a folder of Parquet files, by shard if it has a visitor_key. A text file names the
    folder once it is whole: what a killed process left is not named, and made again.
    """

    home: str
    shards: int = 1

    @property
    def files(self) -> fsspec.AbstractFileSystem:
        remote = "://" in self.home
        return fsspec.url_to_fs(self.home)[0] if remote else fsspec.filesystem("file")

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection read and write here."""
        if "://" in self.home:
            connection.register_filesystem(self.files)
        self.files.makedirs(self.home, exist_ok=True)

    def remove(self, name: str) -> None:
        path = f"{self.home}/{name}".rstrip("/")
        if self.files.exists(path):
            self.files.rm(path, recursive=True)

    def remove_others(self) -> None:
        """Remove what was made of an earlier state of the store, or for another count of shards."""
        parent, _, own = self.home.rpartition("/")
        for row in self.files.ls(parent, detail=True) if self.files.exists(parent) else []:
            name = row["name"].rstrip("/").rpartition("/")[2]
            if row["type"] == "directory" and name != own:
                Place(parent).remove(name)

    def folder_of(self, table: str) -> str | None:
        """The folder that holds a table, None until it is whole."""
        path = f"{self.home}/{table}.json"
        return json.loads(self.files.cat_file(path)) if self.files.exists(path) else None

    def name(self, table: str, folder: str) -> None:
        self.files.pipe_file(f"{self.home}/{table}.json", json.dumps(folder).encode())

    def split(self, connection: duckdb.DuckDBPyConnection, query: str, table: str) -> str:
        """Write a query's rows by shard, unless that was done before; the folder they lie in."""
        folder = self.folder_of(table)
        if folder is None:
            folder, columns = uuid.uuid4().hex, connection.sql(query).columns
            shard = f"(hash(visitor_key) % {self.shards})::INTEGER"
            by = shard if "visitor_key" in columns else "-1"
            target = f"{self.home}/{folder}"
            self.files.makedirs(target, exist_ok=True)
            _copy(connection, f"FROM ({query}) LIMIT 0", f"{target}/empty.parquet")
            connection.execute(
                f"COPY (SELECT *, {by} AS shard FROM ({query})) TO {quoted(target)} "
                "(FORMAT parquet, COMPRESSION lz4, PARTITION_BY (shard), OVERWRITE_OR_IGNORE)"
            )
            self.name(table, folder)
        return folder

    def rows(self, folder: str, number: int | None = None) -> str:
        """A table as SQL: of one shard, or of all."""
        root = f"{self.home}/{folder}"
        start = len(self.files._strip_protocol(root)) + 1
        names = sorted(path[start:] for path in self.files.find(root))
        wanted = ("empty.parquet", "shard=-1", f"shard={number}")
        return engine.parquet(
            *(f"{root}/{name}" for name in names
              if number is None or name.partition("/")[0] in wanted)
        )  # fmt: skip


def _copy(connection: duckdb.DuckDBPyConnection, query: str, path: str) -> None:
    connection.execute(f"COPY ({query}) TO {quoted(path)} (FORMAT parquet, COMPRESSION lz4)")


# ---- asking the shards


@dataclass(frozen=True)
class Step:
    """A statement that every shard carries out; with a folder, ``text`` names the table in it."""

    text: str
    params: Any = None
    folder: str = ""

    def carry_out(self, connection: duckdb.DuckDBPyConnection, place: Place, number: int) -> None:
        if not self.folder:
            connection.execute(self.text, self.params)
            return
        rows = place.rows(self.folder, number)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {self.text} AS FROM {rows}")


@dataclass
class _Open:
    """An open shard, and how many of its steps it has carried out."""

    asker: str
    connection: duckdb.DuckDBPyConnection
    done: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


_open: OrderedDict[tuple[Place, int], _Open] = OrderedDict()
_open_lock = threading.Lock()


def _shard(place: Place, number: int, asker: str, room: Room) -> _Open:
    with _open_lock:
        shard = _open.pop((place, number), None)
        if shard is None or shard.asker != asker:
            spill = Path(room.spill) / f"shard-{uuid.uuid4().hex}"
            connection = engine.connect(room.memory_limit, spill)
            connection.execute("SET threads = 1")
            place.attach(connection)
            shard = _Open(asker, connection)
        _open[place, number] = shard
        while len(_open) > MOST_OPEN:
            _open.popitem(last=False)  # closed once nobody uses it any more
    return shard


def _ask(
    place: Place, number: int, asker: str, steps: list[Step], query: str, params: Any, folder: str,
    *, room: Room,
) -> pa.Table | None:  # fmt: skip
    """Carry out what a shard lacks of the steps, then a query, into a folder if one is named.

    A worker that takes over from a dead one begins with the first step: nothing is lost.
    """
    shard = _shard(place, number, asker, room)
    with shard.lock:
        for step in steps[shard.done :]:
            step.carry_out(shard.connection, place, number)
            shard.done += 1
        if not folder:
            return shard.connection.sql(query, params=params).to_arrow_table()
        target = f"{place.home}/{folder}/shard={number}"
        place.files.makedirs(target, exist_ok=True)
        _copy(shard.connection, query, f"{target}/data.parquet")
        return None


class ShardedEngine(Engine):
    """Tables of sessions in shards; lists and tables of viewers here too."""

    def __init__(self, settings: Settings, selection: Selection, workers: Workers, place: Place):
        store = selection.store
        super().__init__(engine.connect(settings.memory_limit, store.folder / ".spill"), selection)
        engine.show_lists(self.connection, store)
        self._whole = Engine(self.connection, selection)  # asks the sessions in this process
        self._whole._made.add("plays")
        self._asker, self._steps = uuid.uuid4().hex, []
        self.place, self.workers = place, workers
        store.derived.mkdir(mode=0o700, exist_ok=True)
        with FileLock(store.derived / "split.lock"):
            if place.folder_of("all_sessions") is None:
                place.remove_others()
            place.attach(self.connection)
            for table in ("visitors", "medias"):
                self._split(table, f"FROM {table}")

    def define(self, statements: str, params: dict[str, Any] | None = None) -> None:
        self._prepare(statements)
        self._steps.append(Step(statements, params))

    each = define

    def query(self, query: str, params: dict[str, Any] | None = None) -> pd.DataFrame:
        parts = engine.parts_in(query)
        self._make(parts - {"sessions"})
        self._whole._make(parts & {"sessions"})
        with self._damage_told():
            return self.connection.execute(query, params).df()

    def show(self, table: str, path: Path) -> None:
        super().show(table, path)
        self._split(table, f"FROM {table}", _stamp(path))

    def export(self, query: str, path: Path, *, order_by: str = "") -> None:
        folder = uuid.uuid4().hex
        self._prepare(query)
        self._ask(path.stem, query, folder=folder)
        self._whole.export(f"FROM {self.place.rows(folder)}", path, order_by=order_by)
        self.place.name(_stamp(path), folder)

    def share(self, table: str) -> None:
        self._split(table, f"FROM {table}", uuid.uuid4().hex)

    def _make_sessions(self) -> None:
        with FileLock(self.selection.store.derived / "split.lock"):
            if self.place.folder_of("all_sessions") is None:
                self._whole._make({"sessions"})
            self._split("all_sessions", "FROM all_sessions")
        self._steps.append(Step(self.selection.statements))

    def _split(self, table: str, query: str, name: str = "") -> None:
        folder = self.place.split(self.connection, query, name or table)
        self._steps.append(Step(table, folder=folder))

    def _gather(self, query: str, params: dict[str, Any] | None) -> pa.Table:
        self._prepare(query)
        return pa.concat_tables(self._ask(query, query, params))

    def _ask(self, what: str, query: str, params: Any = None, *, folder: str = "") -> list:
        tasks = [
            (self.place, number, self._asker, self._steps, query, params, folder)
            for number in range(self.place.shards)
        ]
        return self.workers.run(what, _ask, tasks)


def _stamp(path: Path) -> str:
    facts = path.stat()
    return f"table-{facts.st_size}-{facts.st_mtime_ns}"
