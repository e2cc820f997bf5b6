"""The engine: takes SQL, gives frames. Embedded DuckDB runs the .sql files an analyst can read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import duckdb

from helpers.parameters import Window
from helpers.settings import Settings
from helpers.store import MEDIAS, SESSIONS, VISITORS, Store

LOADED_ROWS = 300_000
"""Up to so many sessions are read into memory once; more are read from Parquet as needed."""


def sql(name: str) -> str:
    """Text of ``helpers/sql/<name>.sql``."""
    return resources.files("helpers").joinpath("sql", f"{name}.sql").read_text("utf-8")


def quoted(path: Path | str) -> str:
    """A path or text as an SQL literal."""
    return "'" + str(path).replace("'", "''") + "'"


def connect(settings: Settings, spill: Path) -> duckdb.DuckDBPyConnection:
    """A fresh in-memory database in UTC that spills to ``spill`` beyond its memory limit."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET preserve_insertion_order = false")
    with contextlib.suppress(duckdb.InvalidInputException):  # a kernel without ipywidgets has none
        connection.execute("SET enable_progress_bar = false")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute(f"SET temp_directory = {quoted(spill)}")
    if settings.memory_limit:
        connection.execute(f"SET memory_limit = {quoted(settings.memory_limit)}")
    return connection


def over_store(
    settings: Settings,
    store: Store,
    window: Window,
    *,
    media_ids: Iterable[str] = (),
    exclude_domains: Iterable[str] = (),
) -> duckdb.DuckDBPyConnection:
    """The store's tables, and the sessions that count, as ``sql/sessions.sql`` defines them.

    Returns
    -------
    DuckDBPyConnection with ``stored_sessions`` (as fetched), ``all_sessions`` (one row per
        event_key, whole store), ``sessions`` (of those the window's, after the two filters),
        ``visitors`` and ``medias``; each empty where nothing was fetched.
    """
    connection = connect(settings, store.folder / ".spill")
    pattern = store.sessions_glob()
    if pattern:
        rows = sum(day.get("rows", 0) for day in store.days().values())
        kind = "TABLE" if rows <= LOADED_ROWS else "VIEW"
        connection.execute(
            f"CREATE TEMP {kind} stored_sessions AS FROM read_parquet({quoted(pattern)}, "
            "hive_partitioning = true, hive_types = {'day': DATE})"
        )
    else:
        connection.register("no_sessions", SESSIONS.empty_table())
        connection.execute(
            "CREATE TEMP TABLE stored_sessions AS SELECT *, NULL::DATE AS day FROM no_sessions"
        )
    for table, path, schema in (
        ("visitors", store.visitors_path, VISITORS),
        ("medias", store.medias_path, MEDIAS),
    ):
        if path.is_file():
            show(connection, table, path)
        else:
            connection.register(table, schema.empty_table())
    domains = (domain.strip().lstrip("@").lower() for domain in exclude_domains)
    for name, value in {
        "window_start": f"DATE '{window.start}'",
        "window_end": f"DATE '{window.end}'",
        "media_ids": _texts(media_ids),
        "exclude_domains": _texts(domains),
    }.items():
        connection.execute(f"SET VARIABLE {name} = {value}")
    connection.execute(sql("sessions"))
    return connection


def show(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> None:
    """Make a Parquet file a view of the connection."""
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {table} AS FROM read_parquet({quoted(path)})")


def _texts(values: Iterable[str]) -> str:
    return f"[{', '.join(quoted(value) for value in values)}]::VARCHAR[]"
