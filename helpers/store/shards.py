"""Shards: the viewers of an account split by a hash of their key, each part asked on its own.

What a viewer did needs the rows of that viewer alone. So the store is split once into files by
``hash(visitor_key)``, and the statements of the stages, the very same ``.sql`` files, run on each
shard in an embedded DuckDB of its own: one after another in this process, which bounds its memory,
or side by side on the workers of a Dask cluster (:mod:`.dask_cluster`). Only a repeated
event_key may lie in two shards; those few rows are found by ``hash(event_key)`` while splitting.
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
import pyarrow as pa
from filelock import FileLock

from helpers.core.parameters import Window
from helpers.core.settings import Settings
from helpers.store import engine
from helpers.store.engine import Engine, Room, quoted
from helpers.store.store import SESSIONS, Store

ROWS_OF_A_SHARD = 5_000_000
"""Sessions of a shard unless VIEWER_PERSONAS_SHARDS says how many shards there are."""
ROWS_OF_A_READ = 2_000_000
"""Sessions that are split at a time, as far as days allow."""
MOST_OPEN = 16
"""Shards that a process keeps open; one that was closed is asked all its statements again."""
UNUSED = "browser, platform, utm_term, utm_content"
"""Columns of the store that no statement reads."""


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
    if settings.dask:
        from helpers.store.dask_cluster import cluster

        workers: Workers = cluster(settings.dask)
    elif settings.shards:
        workers = Here(Room(str(store.folder / ".spill"), settings.memory_limit))
    else:
        return engine.over_store(settings, store, window, **choice)
    place = _split_store(settings, store, workers)
    setup = engine.sessions_sql(window, **choice)
    return ShardedEngine(settings, store, workers, place, setup)


def remove(settings: Settings, store: Store) -> None:
    """Remove all shards of an account: they hold copies of its rows."""
    shutil.rmtree(store.derived, ignore_errors=True)
    if settings.dask_path:
        _shared(settings, store).remove("")


class Workers(Protocol):
    """Who works on shards."""

    count: int
    """How many can be at work side by side."""

    def run(self, what: str, function: Callable, tasks: Sequence[tuple]) -> list:
        """``function(*task, room=Room)`` of each task, in their order."""


class Here:
    """This process, one shard after another."""

    count = 1

    def __init__(self, room: Room):
        self._room = room

    def run(self, what: str, function: Callable, tasks: Sequence[tuple]) -> list:
        return [function(*task, room=self._room) for task in tasks]


@dataclass(frozen=True)
class Files:
    """A folder, by path or by a URL that fsspec knows, such as ``s3://bucket/folder``."""

    home: str

    @property
    def is_remote(self) -> bool:
        return "://" in self.home

    def at(self, name: str) -> str:
        return f"{self.home}/{name}"

    def new(self, name: str) -> str:
        """Path of a file to write."""
        folder = self.at(name).rpartition("/")[0]
        if self.is_remote:
            self.filesystem().makedirs(folder, exist_ok=True)
        else:
            Path(folder).mkdir(parents=True, exist_ok=True)
        return self.at(name)

    def filesystem(self) -> Any:
        import fsspec

        return fsspec.url_to_fs(self.home)[0]

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection read and write here."""
        if self.is_remote:
            connection.register_filesystem(self.filesystem())

    def text(self, name: str) -> str | None:
        """What a file says; None where there is none."""
        files = self.filesystem()
        return files.cat_file(self.at(name)).decode() if files.exists(self.at(name)) else None

    def write(self, name: str, text: str) -> None:
        self.filesystem().pipe_file(self.new(name), text.encode())

    def remove(self, name: str) -> None:
        files, path = self.filesystem(), self.at(name).rstrip("/")
        if files.exists(path):
            files.rm(path, recursive=True)


@dataclass(frozen=True)
class Place:
    """Where the shards lie, and how many there are."""

    files: Files
    shards: int

    def connect(self, room: Room) -> duckdb.DuckDBPyConnection:
        """A database for one task, which is one thread's work."""
        spill = Path(room.spill) / f"shard-{uuid.uuid4().hex}"
        connection = engine.connect(room.memory_limit, spill)
        connection.execute("SET threads = 1")
        self.files.attach(connection)
        return connection

    def copy(self, connection: duckdb.DuckDBPyConnection, query: str, name: str) -> None:
        target = quoted(self.files.new(name))
        connection.execute(f"COPY ({query}) TO {target} (FORMAT parquet, COMPRESSION lz4)")

    def copy_by_shard(
        self, connection: duckdb.DuckDBPyConnection, table: str, name: str, by: str = "visitor_key"
    ) -> None:
        """Write the rows of each shard to ``name`` with its number in place of ``{}``."""
        for shard in range(self.shards):
            rows = f"SELECT * FROM {table} WHERE hash({by}) % {self.shards} = {shard}"
            self.copy(connection, rows, name.format(shard))

    def rows(self, pattern: str) -> str:
        return engine.parquet_rows(quoted(self.files.at(pattern)))

    def parquet(self, pattern: str) -> str:
        return f"read_parquet({quoted(self.files.at(pattern))})"


# ---- splitting the store: each step is a task of one worker, over files that the step before left


def _split_store(settings: Settings, store: Store, workers: Workers) -> Place:
    """Split what the store holds by now, unless that was done before."""
    days = store.days()
    rows = sum(day.get("rows", 0) for day in days.values())
    count = settings.shards or max(workers.count, -(-rows // ROWS_OF_A_SHARD))
    shared = _shared(settings, store)
    place = Place(Files(shared.at(store.fingerprint(count))), count)
    store.derived.mkdir(mode=0o700, exist_ok=True)
    with FileLock(store.derived / "split.lock"):
        if place.files.text("ready.json") is None:
            _keep_days_only(shared)
            _split(settings, place, workers, store, _reads(store, shared))
            place.files.write("ready.json", "{}")
    return place


def _shared(settings: Settings, store: Store) -> Files:
    """The folder that all workers see; the store's own unless VIEWER_PERSONAS_DASK_PATH is set."""
    if not settings.dask_path:
        return Files(str(store.derived))
    return Files(f"{settings.dask_path.rstrip('/')}/{store.folder.name}")


def _keep_days_only(files: Files) -> None:
    system = files.filesystem()
    for path in system.ls(files.home, detail=False) if system.exists(files.home) else []:
        last = str(path).rstrip("/").rpartition("/")[2]
        if last not in ("days", "split.lock"):
            files.remove(last)


def _reads(store: Store, shared: Files) -> list[list[str]]:
    """Files of sessions, in groups that are read at a time, as the workers see them."""
    days = store.days()
    if shared.is_remote or Path(shared.home).parent != store.folder:
        _bring(store, shared, days)
        home = shared.at("days")
    else:
        home = str(store.folder / "sessions")
    groups, size = [[]], 0
    for day, facts in days.items():
        parts = sorted((store.folder / "sessions" / f"day={day}").glob("part-*.parquet"))
        if size and size + facts.get("rows", 0) > ROWS_OF_A_READ:
            groups.append([])
            size = 0
        groups[-1] += [f"{home}/day={day}/{part.name}" for part in parts]
        size += facts.get("rows", 0)
    return groups


def _bring(store: Store, shared: Files, days: dict) -> None:
    """Copy to the shared folder the days that it lacks or holds in another state."""
    system = shared.filesystem()
    there = json.loads(shared.text("days/days.json") or "{}")
    for day in there.keys() - {str(day) for day in days}:
        shared.remove(f"days/day={day}")
    for day, facts in days.items():
        if there.get(str(day)) == facts:
            continue
        shared.remove(f"days/day={day}")
        for part in (store.folder / "sessions" / f"day={day}").glob("part-*.parquet"):
            system.put_file(str(part), shared.new(f"days/day={day}/{part.name}"))
    shared.write("days/days.json", json.dumps({str(day): facts for day, facts in days.items()}))


def _split(
    settings: Settings, place: Place, workers: Workers, store: Store, reads: list[list[str]]
) -> None:
    numbers = range(place.shards)
    with engine.connect(settings.memory_limit, store.folder / ".spill") as connection:
        place.files.attach(connection)
        engine.show_lists(connection, store)
        place.copy_by_shard(connection, "visitors", "visitors/{}.parquet")
        place.copy(connection, "FROM medias", "medias.parquet")
    workers.run("sessions, split", _by_shard, [(place, n, read) for n, read in enumerate(reads)])
    workers.run("repeated keys, found", _repeated, [(place, n) for n in numbers])
    workers.run("repeated rows, found", _suspects, [(place, n) for n in numbers])
    workers.run("repeated rows, ranked", _ranked, [(place, n) for n in numbers])


def _by_shard(place: Place, number: int, read: list[str], *, room: Room) -> None:
    with place.connect(room) as connection:
        connection.register("none", SESSIONS.empty_table())
        files = f"[{', '.join(map(quoted, read))}]"
        source = (
            f"read_parquet({files}, hive_partitioning = true, hive_types = {{'day': DATE}})"
            if read
            else "(SELECT *, NULL::DATE AS day FROM none)"
        )
        connection.execute(f"CREATE TEMP TABLE rows AS SELECT * EXCLUDE ({UNUSED}) FROM {source}")
        place.copy_by_shard(connection, "rows", f"rows/{{}}/{number}.parquet")
        connection.execute("CREATE TEMP VIEW keys AS SELECT hash(event_key) AS key FROM rows")
        place.copy_by_shard(connection, "keys", f"keys/{{}}/{number}.parquet", "key")


def _repeated(place: Place, number: int, *, room: Room) -> None:
    with place.connect(room) as connection:
        keys = place.parquet(f"keys/{number}/*.parquet")
        query = f"SELECT key FROM {keys} GROUP BY key HAVING count(*) > 1"
        place.copy(connection, query, f"repeated/{number}.parquet")


def _suspects(place: Place, number: int, *, room: Room) -> None:
    with place.connect(room) as connection:
        connection.execute(
            "CREATE TEMP TABLE suspects AS "
            f"FROM {place.parquet(f'rows/{number}/*.parquet')} "
            f"WHERE hash(event_key) IN (FROM {place.parquet('repeated/*.parquet')})"
        )
        place.copy_by_shard(connection, "suspects", f"suspects/{{}}/{number}.parquet", "event_key")


def _ranked(place: Place, number: int, *, room: Room) -> None:
    with place.connect(room) as connection:
        connection.execute(
            f"CREATE TEMP VIEW stored_sessions AS {place.rows(f'suspects/{number}/*.parquet')}"
        )
        connection.execute(engine.sql("repeats"))
        place.copy_by_shard(connection, "ranked_repeats", f"ranked/{{}}/{number}.parquet")


# ---- asking the shards


def _tables(place: Place) -> str:
    """Statements that make the tables of a shard what ``sql/sessions.sql`` expects."""
    return f"""
        CREATE OR REPLACE TEMP VIEW stored_sessions AS {place.rows("rows/{shard}/*.parquet")};
        CREATE OR REPLACE TEMP TABLE ranked_repeats AS
            FROM {place.parquet("ranked/{shard}/*.parquet")};
        CREATE OR REPLACE TEMP TABLE repeated_rows AS SELECT row FROM stored_sessions
            WHERE hash(event_key) IN (SELECT hash(event_key) FROM ranked_repeats);
        CREATE OR REPLACE TEMP VIEW visitors AS FROM {place.parquet("visitors/{shard}.parquet")};
        CREATE OR REPLACE TEMP VIEW medias AS FROM {place.parquet("medias.parquet")};
    """


@dataclass
class _Open:
    """An open shard, and how many of its statements it has carried out."""

    asker: str
    connection: duckdb.DuckDBPyConnection
    done: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


_open: OrderedDict[tuple[Place, int], _Open] = OrderedDict()
_open_lock = threading.Lock()


def _shard(place: Place, number: int, asker: str, room: Room) -> _Open:
    with _open_lock:
        known = _open.pop((place, number), None)
        if known is None or known.asker != asker:
            known = _Open(asker, place.connect(room))
        _open[place, number] = known
        while len(_open) > MOST_OPEN:
            _open.popitem(last=False)  # closed once nobody uses it any more
    return known


def _ask(
    place: Place, number: int, asker: str, statements: list, query: str, params: Any, *, room: Room
) -> pa.Table | None:
    """Carry out what a shard lacks of the statements, then a query.

    ``{shard}`` in them stands for its number. A worker that takes over from a dead one begins with
    the first statement: nothing is lost.
    """
    shard = _shard(place, number, asker, room)
    with shard.lock:
        for statement, given in statements[shard.done :]:
            shard.connection.execute(statement.replace("{shard}", str(number)), given)
            shard.done += 1
        query = query.replace("{shard}", str(number))
        if query.startswith("COPY"):
            shard.connection.execute(query)
            return None
        return shard.connection.sql(query, params=params).to_arrow_table()


class ShardedEngine(Engine):
    """Tables of sessions in shards; what was gathered from them, and viewers, at hand."""

    def __init__(
        self, settings: Settings, store: Store, workers: Workers, place: Place, setup: str
    ):
        super().__init__(engine.connect(settings.memory_limit, store.folder / ".spill"))
        place.files.attach(self.connection)
        self.place, self.workers = place, workers
        self._asker, self._statements = uuid.uuid4().hex, [(_tables(place), None), (setup, None)]
        for name in ("visitors", "medias"):
            files = "visitors/*.parquet" if name == "visitors" else "medias.parquet"
            self.execute(f"CREATE TEMP VIEW {name} AS FROM {place.parquet(files)}")

    def each(self, statements: str, params: dict[str, Any] | None = None) -> None:
        self._statements.append((statements, params))

    def _ask(self, what: str, query: str, params: dict[str, Any] | None = None) -> list:
        tasks = [
            (self.place, number, self._asker, self._statements, query, params)
            for number in range(self.place.shards)
        ]
        return self.workers.run(what, _ask, tasks)

    def gather(self, query: str, into: str, params: dict[str, Any] | None = None) -> None:
        found = pa.concat_tables(self._ask(into, query, params))
        self.register("found_in_shards", found)
        self.execute(f"CREATE OR REPLACE TEMP TABLE {into} AS FROM found_in_shards")
        self.unregister("found_in_shards")

    def share(self, table: str) -> None:
        name = f"shared/{self._asker}-{len(self._statements)}.parquet"
        self.place.copy(self.connection, f"FROM {table}", name)
        self.each(f"CREATE OR REPLACE TEMP TABLE {table} AS FROM {self.place.parquet(name)}")

    def show(self, table: str, path: Path) -> None:
        super().show(table, path)
        key = f"tables/{_stamp(path)}"
        if (folder := self.place.files.text(f"{key}.txt")) is None:
            folder = key
            self.place.copy_by_shard(self.connection, table, f"{key}/{{}}.parquet")
            self.place.files.write(f"{key}.txt", folder)
        parts = self.place.parquet(f"{folder}/{{shard}}.parquet")
        self.each(f"CREATE OR REPLACE TEMP VIEW {table} AS FROM {parts}")

    def export(self, query: str, path: Path) -> None:
        folder = f"tables/{uuid.uuid4().hex}"
        target = quoted(self.place.files.new(f"{folder}/{{shard}}.parquet"))
        self._ask(path.stem, f"COPY ({query}) TO {target} (FORMAT parquet, COMPRESSION lz4)")
        super().export(f"FROM {self.place.parquet(f'{folder}/*.parquet')}", path)
        self.place.files.write(f"tables/{_stamp(path)}.txt", folder)


def _stamp(path: Path) -> str:
    about = path.stat()
    return f"{path.stem}-{about.st_size}-{about.st_mtime_ns}"
