"""Shards: the viewers of an account split by a hash of their key, each part asked on its own.

What a viewer did needs the rows of that viewer alone. So the sessions (one row per event_key) are
split once into files by ``hash(visitor_key)``, and the statements of the stages, the very same
``.sql`` files, run on each shard in an embedded DuckDB of its own: one after another in this
process, which bounds its memory, or side by side on a Dask cluster (:mod:`.dask_cluster`).
"""

import itertools
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from helpers.core.parameters import Window
from helpers.core.settings import Settings
from helpers.store import duck, engine
from helpers.store.store import Store

ROWS_OF_A_SHARD = 5_000_000
"""Sessions of a shard unless VIEWER_PERSONAS_SHARDS says how many shards there are."""
MOST_OPEN = 16
"""Shards that a process keeps open; one that was closed is asked all its statements again."""


def over_store(settings: Settings, store: Store, window: Window, **choice: Any) -> engine.Engine:
    """Like :func:`.engine.over_store`; on a Dask cluster or in shards when settings say so.

    Raises what :class:`.dask_cluster.Cluster` raises.
    """
    whole = engine.over_store(settings, store, window, **choice)
    if settings.dask:
        from helpers.store.dask_cluster import cluster

        workers = cluster(settings.dask)
        count = settings.shards or max(workers.count, -(-store.rows() // ROWS_OF_A_SHARD))
        ask = partial(workers.ask, ask_shard)
    elif settings.shards:
        count, room = settings.shards, (settings.memory_limit, store.folder / ".spill")
        ask = partial(map, lambda task: ask_shard(*task, *room))  # one after another
    else:
        return whole
    home = f"{_shared(settings, store)}/{store.fingerprint()}-{count}"
    return ShardedEngine(whole, ShardFolder(home, count), ask)


def remove(settings: Settings, store: Store) -> None:
    """Remove what was made of an account's rows: it holds copies of them."""
    shutil.rmtree(store.derived, ignore_errors=True)
    if settings.dask_path:
        ShardFolder(_shared(settings, store), 0).remove()


def _shared(settings: Settings, store: Store) -> str:
    """The folder that all workers see; the store's own unless VIEWER_PERSONAS_DASK_PATH is set."""
    path = settings.dask_path
    return f"{path.rstrip('/')}/{store.folder.name}" if path else str(store.derived)


@dataclass(frozen=True)
class ShardFolder:
    """Where shards lie: a folder, by path or by a URL that fsspec knows (``s3://bucket/folder``).

    A table is a folder of Parquet files by shard. An empty file beside it says that it is whole:
    what a killed process left has none, and is made again.
    """

    home: str
    count: int

    @property
    def files(self) -> fsspec.AbstractFileSystem:
        return fsspec.url_to_fs(self.home)[0] if "://" in self.home else fsspec.filesystem("file")

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection read and write here."""
        if "://" in self.home:
            connection.register_filesystem(self.files)

    def remove(self, name: str = "") -> None:
        """Remove a table, or all."""
        path = f"{self.home}/{name}".rstrip("/")
        if self.files.exists(path):
            self.files.rm(path, recursive=True)

    def split(self, connection: duckdb.DuckDBPyConnection, table: str, name: str) -> None:
        """Write a table's rows by shard; all of them to each shard where they are of no viewer."""
        self.remove(name)
        target, options = f"{self.home}/{name}", "FORMAT parquet, COMPRESSION lz4"
        by_viewer = "visitor_key" in connection.table(table).columns
        for number in range(self.count):
            self.files.makedirs(f"{target}/shard={number}", exist_ok=True)
            path = duck.quoted(f"{target}/shard={number}/rows.parquet")
            connection.execute(f"COPY (FROM {table} {'LIMIT 0' * by_viewer}) TO {path} ({options})")
        if by_viewer:
            rows = f"SELECT *, (hash(visitor_key) % {self.count})::INTEGER AS shard FROM {table}"
            options += ", PARTITION_BY (shard), OVERWRITE_OR_IGNORE"
            connection.execute(f"COPY ({rows}) TO {duck.quoted(target)} ({options})")
        self.files.touch(f"{target}.whole")

    def rows(self, name: str) -> str:
        """A table as SQL, of the shard that a connection is for."""
        root = duck.quoted(f"{duck.as_pattern(self.home)}/{name}/shard=")
        where = f"{root} || getvariable('shard') || '/*.parquet'"
        return f"read_parquet({where}, hive_partitioning = false)"


class ShardedEngine(engine.Engine):
    """Tables of sessions in shards; lists and tables of viewers in this process too.

    Parameters
    ----------
    whole : engine.Engine
        Asks all rows in this process.
    ask : callable
        Gives what :func:`ask_shard` answers to each of these tasks, in their order.
    """

    def __init__(self, whole: engine.Engine, folder: ShardFolder, ask: Callable):
        super().__init__(whole.connection, whole.selection)
        self.folder, self._ask_shards = folder, ask
        self._whole, self._asker, self._steps = whole, uuid.uuid4().hex, []
        whole._made.add("plays")  # they are made here
        folder.attach(self.connection)
        for table in ("visitors", "medias"):
            self._split(table, table)

    def define(self, statements: str, params: dict[str, Any] | None = None) -> None:
        self._prepare(statements)
        self._steps.append((statements, params))

    def query(self, query: str, params: dict[str, Any] | None = None) -> pd.DataFrame:
        if "plays" in engine.parts_in(query):
            self._prepare("plays")
        return self._whole.rows(query, params)

    def show(self, table: str, path: Path) -> None:
        super().show(table, path)
        self._split(table, f"table-{path.stat().st_size}-{path.stat().st_mtime_ns}")

    def export(self, query: str, path: Path) -> None:
        tables = self._ask(query)
        first = next(tables)
        with pq.ParquetWriter(path, first.schema, compression="zstd") as file:
            for table in itertools.chain([first], tables):  # one in memory at a time
                file.write_table(table)

    def _make_sessions(self) -> None:
        self._split("all_sessions", "all_sessions")
        self._steps.append((self.selection.statements, None))

    def _split(self, table: str, name: str) -> None:
        """Let each shard see its rows of a table of this process; a name stands for the rows."""
        with FileLock(self.selection.store.derived / "split.lock"):
            if not self.folder.files.exists(f"{self.folder.home}/{name}.whole"):
                self._whole._prepare(table)
                self.folder.split(self.connection, table, name)
        view = f"CREATE OR REPLACE TEMP VIEW {table} AS FROM {self.folder.rows(name)}"
        self._steps.append((view, None))

    def _gather(self, query: str, params: dict[str, Any] | None = None) -> pa.Table:
        return pa.concat_tables(self._ask(query, params))

    def _ask(self, query: str, params: dict[str, Any] | None = None) -> Iterator[pa.Table]:
        self._prepare(query)
        asked = (self._asker, self._steps, query, params)
        tasks = [(self.folder, number, *asked) for number in range(self.folder.count)]
        with self._told():
            yield from self._ask_shards(tasks)


@lru_cache(MOST_OPEN)
class _Shard:
    """An open shard of this process: whose statements it has carried out, and how many of them."""

    def __init__(self, folder: ShardFolder, number: int):
        self.asker, self.done, self.lock = "", 0, threading.Lock()


def ask_shard(
    folder: ShardFolder, number: int, asker: str, steps: list, query: str, params: Any, *room: Any
) -> pa.Table:
    """Carry out what a shard lacks of the steps (statements, parameters), then a query.

    A worker that takes over from a dead one begins with the first step: nothing is lost. Its room
    is a memory limit and a spill folder, see :func:`.duck.connect`.
    """
    shard = _Shard(folder, number)
    with shard.lock:
        if shard.asker != asker:
            shard.asker, shard.done = asker, 0
            shard.connection = duck.connect(*room)
            shard.connection.execute(f"SET threads = 1; SET VARIABLE shard = {number}")
            folder.attach(shard.connection)
        for statements, values in steps[shard.done :]:
            shard.connection.execute(statements, values)
            shard.done += 1
        return shard.connection.sql(query, params=params).to_arrow_table()
