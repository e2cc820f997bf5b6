"""The engine: takes SQL, gives frames. Embedded DuckDB runs the .sql files an analyst can read.

What belongs to one viewer is asked with :meth:`Engine.each` and :meth:`Engine.gather`, so that the
same statements run here or, a shard of the viewers each, elsewhere (:mod:`.shards`); what is
small by then (viewers, visitors, titles, counts) is asked with :meth:`Engine.execute`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from helpers.core.parameters import Window, bare_domain
from helpers.core.settings import Settings
from helpers.store.store import MEDIAS, SESSIONS, VISITORS, Store

LOADED_ROWS = 300_000
"""Up to so many sessions are read into memory once; more are read from Parquet as needed."""


NUMBER = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DOUBLE|FLOAT|DECIMAL)")


@dataclass(frozen=True)
class Room:
    """Where a task may spill, and how much memory it may take."""

    spill: str
    memory_limit: str | None = None


def sql(name: str) -> str:
    """Text of ``helpers/sql/<name>.sql``."""
    return resources.files("helpers.store").joinpath("sql", f"{name}.sql").read_text("utf-8")


def quoted(path: Path | str) -> str:
    """A path or text as an SQL literal."""
    return "'" + str(path).replace("'", "''") + "'"


def connect(memory_limit: str | None, spill: Path) -> duckdb.DuckDBPyConnection:
    """A fresh in-memory database in UTC that spills to ``spill`` beyond its memory limit."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET preserve_insertion_order = false")
    with contextlib.suppress(duckdb.InvalidInputException):  # a kernel without ipywidgets has none
        connection.execute("SET enable_progress_bar = false")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute(f"SET temp_directory = {quoted(spill)}")
    if memory_limit:
        connection.execute(f"SET memory_limit = {quoted(memory_limit)}")
    return connection


def _wide(kind: str) -> str:
    return "DOUBLE" if kind[:2] in ("DO", "FL", "DE") else "BIGINT"


class Engine:
    """All tables in one embedded database.

    Parameters
    ----------
    connection : DuckDBPyConnection
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection):
        self.connection = connection
        self.execute, self.register = connection.execute, connection.register
        self.unregister = connection.unregister

    def each(self, statements: str, params: dict[str, Any] | None = None) -> None:
        """Run statements over tables that hold sessions; each viewer's rows stand together."""
        self.execute(statements, params)

    def gather(self, query: str, into: str, params: dict[str, Any] | None = None) -> None:
        """Make the table ``into`` of what a query over tables of sessions finds.

        The query may group viewers, and count them: a viewer is in one shard. What it finds comes
        once from every shard, so the rows of one group are yet to be added up.
        """
        self.execute(f"CREATE OR REPLACE TEMP TABLE {into} AS {query}", params)

    def define(self, statements: str, params: dict[str, Any] | None = None) -> None:
        """Make tables or views that later questions may ask, wherever the sessions are."""
        self.each(statements, params)

    def counts(self, query: str, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """What a query counts, already added up over shards.

        Parameters
        ----------
        query : str
            SQL over sessions, plays, viewers, visitors and medias. Its columns that are numbers
            are counts and sums, and are added up; all others (text, days, true and false) are what
            they are counted by. An hour of the day is therefore cast to text.
        """
        self.gather(query, "counted", params)
        kinds = self.execute("DESCRIBE counted").fetchall()
        numbers = {name for name, kind, *_ in kinds if NUMBER.match(kind)}
        columns = [
            f'sum("{name}")::{_wide(kind)} AS "{name}"' if name in numbers else f'"{name}"'
            for name, kind, *_ in kinds
        ]
        return self.execute(f"SELECT {', '.join(columns)} FROM counted GROUP BY ALL").df()

    def rows(self, query: str, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """The rows that a query finds, those of all shards; whoever asks bounds their number."""
        self.gather(query, "found_rows", params)
        return self.execute("FROM found_rows").df()

    def query(self, query: str, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A question to the tables at hand, asked in this process."""
        return self.execute(query, params).df()

    def share(self, table: str) -> None:
        """Let :meth:`each` and :meth:`gather` see a small table made by :meth:`execute`."""

    def show(self, table: str, path: Path) -> None:
        """Make a Parquet file with a visitor_key per row a view, to all methods."""
        show(self.connection, table, path)

    def export(self, query: str, path: Path) -> None:
        """Write a query over tables of viewers to a Parquet file, at once."""
        staged = path.with_suffix(".tmp")
        self.execute(f"COPY ({query}) TO {quoted(staged)} (FORMAT parquet, COMPRESSION snappy)")
        staged.replace(path)


def over_store(
    settings: Settings,
    store: Store,
    window: Window,
    *,
    media_ids: Iterable[str] = (),
    exclude_domains: Iterable[str] = (),
) -> Engine:
    """The store's tables, and the sessions that count, as ``sql/sessions.sql`` defines them.

    Returns
    -------
    Engine with ``stored_sessions`` (as fetched), ``all_sessions`` (one row per
        event_key, whole store), ``sessions`` (of those the window's, after the two filters),
        ``visitors`` and ``medias``; each empty where nothing was fetched.
    """
    connection = connect(settings.memory_limit, store.folder / ".spill")
    pattern = store.sessions_glob()
    if pattern:
        rows = sum(day.get("rows", 0) for day in store.days().values())
        kind = "TABLE" if rows <= LOADED_ROWS else "VIEW"
        typed = "hive_partitioning = true, hive_types = {'day': DATE}"
        query = parquet_rows(quoted(pattern), typed)
        connection.execute(f"CREATE TEMP {kind} stored_sessions AS {query}")
    else:
        connection.register("no_sessions", SESSIONS.empty_table())
        connection.execute(
            "CREATE TEMP TABLE stored_sessions AS "
            "SELECT *, NULL::DATE AS day, 0::BIGINT AS row FROM no_sessions"
        )
    show_lists(connection, store)
    _rank_repeats(connection, store, keep=bool(pattern) and kind == "VIEW")
    connection.execute(sessions_sql(window, media_ids, exclude_domains))
    return Engine(connection)


def _rank_repeats(connection: duckdb.DuckDBPyConnection, store: Store, *, keep: bool) -> None:
    """Run ``sql/repeats.sql``; of a large store its result is kept until the store changes."""
    kept = store.derived / f"repeats-{store.fingerprint()}.parquet"
    if keep and kept.is_file():
        connection.execute(
            f"CREATE TEMP TABLE ranked_repeats AS FROM read_parquet({quoted(kept)});"
            "CREATE TEMP TABLE repeated_rows AS SELECT row FROM ranked_repeats"
        )
        return
    connection.execute(sql("repeats"))
    if keep:
        store.derived.mkdir(mode=0o700, exist_ok=True)
        staged = kept.with_suffix(f".{os.getpid()}.tmp")
        connection.execute(f"COPY ranked_repeats TO {quoted(staged)} (FORMAT parquet)")
        staged.replace(kept)


def parquet_rows(files: str, options: str = "") -> str:
    """A query for all rows of Parquet files, each with its place: ``row``, a BIGINT."""
    place = "(file_index::BIGINT << 40) | file_row_number AS row"
    return f"SELECT *, {place} FROM read_parquet({', '.join(filter(None, (files, options)))})"


def sessions_sql(
    window: Window, media_ids: Iterable[str] = (), exclude_domains: Iterable[str] = ()
) -> str:
    """``sql/sessions.sql``, told what counts."""
    domains = [bare_domain(text) for text in exclude_domains]
    values = {
        "window_start": f"DATE '{window.start}'",
        "window_end": f"DATE '{window.end}'",
        "media_ids": _texts(media_ids),
        "exclude_domains": _texts(domains),
    }
    told = "".join(f"SET VARIABLE {name} = {value};\n" for name, value in values.items())
    people = "visitor_key NOT IN (SELECT visitor_key FROM excluded_visitors)"
    return told + sql("sessions").replace("{left_out}", people if domains else "true")


def show_lists(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Make ``visitors`` and ``medias`` of the store views; empty where nothing was fetched."""
    for table, path, schema in (
        ("visitors", store.visitors_path, VISITORS),
        ("medias", store.medias_path, MEDIAS),
    ):
        if path.is_file():
            show(connection, table, path)
        else:
            connection.register(table, schema.empty_table())


def show(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> None:
    """Make a Parquet file a view of the connection."""
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {table} AS FROM read_parquet({quoted(path)})")


def _texts(values: Iterable[str]) -> str:
    return f"[{', '.join(quoted(value) for value in values)}]::VARCHAR[]"
