"""The engine: takes SQL, gives frames. Embedded DuckDB runs the .sql files an analyst can read."""

from __future__ import annotations

import contextlib
from importlib import resources
from pathlib import Path

import duckdb

from helpers.settings import Settings


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
