"""The engine: takes SQL, gives frames. Embedded DuckDB runs the .sql files an analyst can read.

Statements name tables; those that cost something to make (sessions, plays, titles) are made when a
statement first names one of them. What was made of many rows is kept in the store until it changes.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from helpers.core import files
from helpers.core.parameters import Window, bare_domain
from helpers.core.settings import Settings
from helpers.store import duck
from helpers.store.duck import connect, parquet, quoted
from helpers.store.store import MEDIAS, VISITORS, Store

LOADED_ROWS = 300_000
"""Up to so many sessions are read into memory once; more are read from Parquet as needed."""
MADE_ON_USE = {
    "sessions": {"stored_sessions", "dropped_rows", "all_sessions", "window_sessions", "sessions",
                 "viewer_emails", "excluded_visitors"},
    "plays": {"plays", "titles"},
}  # fmt: skip


@dataclass(frozen=True)
class Room:
    """Where a task may spill, and how much memory it may take."""

    spill: str
    memory_limit: str | None = None


def sql(name: str) -> str:
    """Statements of ``helpers/store/sql/<name>.sql``, its comments apart."""
    text = resources.files("helpers.store").joinpath("sql", f"{name}.sql").read_text("utf-8")
    return re.sub(r"--.*", "", text)


def features_sql(sessions: str = "sessions") -> str:
    """Statements that make ``new_features`` and ``new_plays`` of a table like sessions."""
    return (sql("plays") + sql("features")).replace("FROM sessions", f"FROM {sessions}")


@dataclass(frozen=True)
class Selection:
    """The sessions of a store that count."""

    store: Store
    window: Window
    media_ids: tuple[str, ...] = ()
    exclude_domains: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """Names the sessions that count: another once one of them changes."""
        choice = sorted(self.media_ids), sorted(self.exclude_domains)
        return self.store.fingerprint(str(self.window.start), str(self.window.end), *choice)

    @property
    def statements(self) -> str:
        """``sql/sessions.sql``, told what counts."""
        domains = [bare_domain(text) for text in self.exclude_domains]
        values = {
            "window_start": f"DATE '{self.window.start}'",
            "window_end": f"DATE '{self.window.end}'",
            "media_ids": duck.texts(self.media_ids),
            "exclude_domains": duck.texts(domains),
        }
        variables = "".join(f"SET VARIABLE {name} = {text};\n" for name, text in values.items())
        people = "visitor_key NOT IN (SELECT visitor_key FROM excluded_visitors)"
        return variables + sql("sessions").replace("{left_out}", people if domains else "true")


class Engine:
    """All tables in one embedded database.

    Parameters
    ----------
    connection : DuckDBPyConnection
    selection : Selection, optional
        Sessions that count; None where all tables are there already.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, selection: Selection | None = None):
        self.connection, self.selection = connection, selection
        self._made: set[str] = set()

    def define(self, statements: str, params: dict[str, Any] | None = None) -> None:
        """Make tables or views that later questions may ask, wherever the sessions are."""
        self._run(statements, params)

    def counts(self, query: str, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """What a query counts, already added up over shards.

        Parameters
        ----------
        query : str
            SQL over sessions, plays, viewers, visitors and medias. Its columns that are numbers
            are counts and sums, and are added up; all others (text, days, true and false) are what
            they are counted by. An hour of the day is therefore cast to text.
        """
        found = self._gather(query, params)
        columns = [_added_up(field) for field in found.schema]
        return self._frame(f"SELECT {', '.join(columns)} FROM found GROUP BY ALL", found)

    def rows(self, query: str, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """The rows that a query finds, those of all shards; whoever asks bounds their number."""
        return self._frame("FROM found", self._gather(query, params))

    def query(self, query: str, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A question to the tables at hand, asked in this process."""
        self._prepare(query)
        with self._damage_told():
            return self.connection.execute(query, params).df()

    def show(self, table: str, path: Path) -> None:
        """Make a Parquet file a view, to all methods."""
        files.open_parquet(path).close()  # a damaged one is told by name
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW {table} AS FROM {parquet(path)}")

    def export(self, query: str, path: Path, *, order_by: str = "") -> None:
        """Write a query over tables of viewers to a Parquet file, at once."""
        order = f" ORDER BY {order_by}" if order_by else ""
        staged = path.with_suffix(f".{os.getpid()}.tmp")
        self._run(f"COPY ({query}{order}) TO {quoted(staged)} (FORMAT parquet, COMPRESSION zstd)")
        staged.replace(path)

    def write_features(self, path: Path) -> None:
        """Make the Parquet file of features, and plays beside it, in one pass over the sessions."""
        self.define(features_sql())
        self._made.add("plays")
        self._keep_plays()
        self.export("FROM new_features", path)

    # ---- tables that are made on first use

    def _run(self, statements: str, params: dict[str, Any] | None = None) -> None:
        self._prepare(statements)
        with self._damage_told():
            self.connection.execute(statements, params)

    def _gather(self, query: str, params: dict[str, Any] | None) -> pa.Table:
        self._prepare(query)
        with self._damage_told():
            return self.connection.sql(query, params=params).to_arrow_table()

    def _frame(self, query: str, found: pa.Table) -> pd.DataFrame:
        self.connection.register("found", found)
        try:
            return self.connection.execute(query).df()
        finally:
            self.connection.unregister("found")

    def _damage_told(self):
        return self.selection.store.damage_told() if self.selection else contextlib.nullcontext()

    def _prepare(self, text: str) -> None:
        self._make(parts_in(text) if self.selection else set())

    def _make(self, parts: set[str]) -> None:
        for part in parts - self._made:
            self._made.add(part)
            {"sessions": self._make_sessions, "plays": self._make_plays}[part]()

    def _make_sessions(self) -> None:
        with self._damage_told():
            show_sessions(self.connection, self.selection.store)
            self.connection.execute(self.selection.statements)

    def _kept(self, table: str) -> Path:
        """Where a table made of the sessions that count is kept until they change."""
        store = self.selection.store
        store.derived.mkdir(mode=0o700, exist_ok=True)
        return store.derived / f"{table}-{self.selection.fingerprint}.parquet"

    def _make_plays(self) -> None:
        if not self._kept("titles").is_file():
            self.define(sql("plays"))
        self._keep_plays()

    def _keep_plays(self) -> None:
        plays, titles = self._kept("plays"), self._kept("titles")
        if not titles.is_file():  # it is written last
            self.export("FROM new_plays", plays, order_by="visitor_key")
            self.connection.register("media_names", self._gather(sql("media_names"), None))
            named = self.connection.sql(sql("titles")).to_arrow_table()
            self.selection.store.replace(titles, named)
        self.show("plays", plays)
        self.show("titles", titles)

    # ---- the older interface

    each = define

    def gather(self, query: str, into: str, params: dict[str, Any] | None = None) -> None:
        found = self._gather(query, params)
        self.connection.register("found", found)
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {into} AS FROM found")
        self.connection.unregister("found")

    def execute(self, query: str, params: dict[str, Any] | None = None):
        self._prepare(query)
        return self.connection.execute(query, params)

    def register(self, name: str, frame: Any) -> None:
        self.connection.register(name, frame)

    def unregister(self, name: str) -> None:
        self.connection.unregister(name)

    def share(self, table: str) -> None:
        """Let define and counts see a small table made by execute."""


def parts_in(text: str) -> set[str]:
    """Which of the tables that are made on first use a statement names, comments apart."""
    names = set(re.findall(r"\w+", re.sub("--.*", "", text)))
    return {part for part, tables in MADE_ON_USE.items() if names & tables}


def _added_up(field: pa.Field) -> str:
    kind, name = field.type, '"' + field.name.replace('"', '""') + '"'
    whole = pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0)
    if whole or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return f"sum({name})::{'BIGINT' if whole else 'DOUBLE'} AS {name}"
    return name


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
    Engine with ``stored_sessions`` (as fetched), ``all_sessions`` (one row per event_key, whole
        store), ``sessions`` (of those the window's, after the two filters), ``plays`` (one row per
        viewer and video), ``titles``, ``visitors`` and ``medias``; each empty where nothing was
        fetched.
    """
    connection = connect(settings.memory_limit, store.folder / ".spill")
    show_lists(connection, store)
    return Engine(connection, Selection(store, window, tuple(media_ids), tuple(exclude_domains)))


def show_sessions(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Make ``stored_sessions``, each with its UTC day and its place (row), and ``dropped_rows``."""
    rows = sum(facts["rows"] for facts in store.days().values())
    kind = "TABLE" if rows <= LOADED_ROWS else "VIEW"
    connection.execute(f"CREATE TEMP {kind} stored_sessions AS {store.sessions.sql()}")
    connection.execute(sql("repeats"))


def show_lists(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Make ``visitors`` and ``medias`` of the store views; empty where nothing was fetched."""
    for table, schema, path in (
        ("visitors", VISITORS, store.visitors_path),
        ("medias", MEDIAS, store.medias_path),
    ):
        query = store.list_sql(schema, path)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {table} AS {query}")
