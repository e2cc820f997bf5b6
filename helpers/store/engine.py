"""The engine: takes SQL, gives frames. Embedded DuckDB runs the .sql files an analyst can read.

Statements name tables; those that cost something to make (sessions, plays, titles) are made when a
statement first names one of them. What was made of many rows is kept in the store until it changes.
"""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from helpers.core import files
from helpers.core.parameters import Parameters, Window
from helpers.core.settings import Settings
from helpers.store import duck
from helpers.store.duck import sql as sql
from helpers.store.store import Store

LOADED_ROWS = 300_000
"""Up to so many sessions are read into memory once; more are read from Parquet as needed."""
MADE_ON_USE = {
    "sessions": r"\b(\w+_sessions|sessions|dropped_rows|viewer_emails|excluded_visitors)\b",
    "plays": r"\b(plays|titles)\b",
}
"""Tables that are made when a statement first names one of them."""


def features_sql(sessions: str = "sessions") -> str:
    """Statements that make ``new_features`` and ``new_plays`` of a table like sessions."""
    return (sql("plays") + sql("features")).replace("FROM sessions", f"FROM {sessions}")


@dataclass(frozen=True)
class Selection:
    """The sessions of a store that count."""

    store: Store
    window: Window
    choice: Mapping[str, list[str]]

    @cached_property
    def fingerprint(self) -> str:
        """Names the sessions that count and what plays hold: another once one of them changes."""
        return self.store.fingerprint(self.statements, sql("plays"))

    @property
    def statements(self) -> str:
        """``sql/sessions.sql``, told what counts."""
        values = {name: duck.texts(chosen) for name, chosen in self.choice.items()}
        people = "visitor_key NOT IN (SELECT visitor_key FROM excluded_visitors)"
        left_out = people if self.choice["exclude_domains"] else "true"
        return sql("sessions").format(window=self.window, left_out=left_out, **values)


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
        self._prepare(statements)
        with self._told():
            self.connection.execute(statements, params)

    def counts(self, query: str, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """What a query counts, already added up over shards.

        Parameters
        ----------
        query : str
            SQL over sessions, plays, viewers, visitors and medias. Its columns that are numbers
            are counts and sums, and are added up; all others (text, days, true and false) are what
            they are counted by. An hour of the day is therefore cast to text.
        """
        counted = self._gather(query, params)
        columns = ", ".join(_added_up(field) for field in counted.schema)
        relation = self.connection.from_arrow(counted)
        return relation.query("counted", f"SELECT {columns} FROM counted GROUP BY ALL").df()

    def rows(self, query: str, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """The rows that a query finds, those of all shards; whoever asks bounds their number."""
        return duck.frame(self._gather(query, params))

    def query(self, query: str, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A question to the tables at hand, asked in this process."""
        return self.rows(query, params)

    def show(self, table: str, path: Path) -> None:
        """Make a Parquet file a view, to all methods."""
        files.open_parquet(path).close()  # a damaged one is told by name
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW {table} AS FROM {duck.parquet(path)}")

    def export(self, query: str, path: Path) -> None:
        """Write a query over tables of viewers to a Parquet file."""
        options = "FORMAT parquet, COMPRESSION zstd"
        self._prepare(query)
        with self._told():
            self.connection.execute(f"COPY ({query}) TO {duck.quoted(path)} ({options})")

    def write_features(self, path: Path) -> None:
        """Make the Parquet file of features, and plays beside it, in one pass over the sessions."""
        self.define(features_sql())
        self.export("FROM new_features", path)
        self._made.add("plays")
        self._keep_plays()

    # ---- tables that are made on first use

    def _gather(self, query: str, params: dict[str, Any] | None = None) -> pa.Table:
        self._prepare(query)
        with self._told():
            return self.connection.sql(query, params=params).to_arrow_table()

    def _told(self) -> contextlib.AbstractContextManager:
        """Tells damaged files, and too little memory, in words."""
        return self.selection.store.damage_told() if self.selection else contextlib.nullcontext()

    def _prepare(self, statements: str) -> None:
        for part in parts_in(statements) if self.selection else ():
            if part not in self._made:  # sessions may have been made on the way to plays
                self._made.add(part)
                {"sessions": self._make_sessions, "plays": self._make_plays}[part]()

    def _make_sessions(self) -> None:
        """Make ``stored_sessions``, each with its UTC day and its place (row), and what counts."""
        store = self.selection.store
        kind = "TABLE" if store.rows() <= LOADED_ROWS else "VIEW"
        with self._told():
            self.connection.execute(f"CREATE TEMP {kind} stored_sessions AS {store.sessions.sql()}")
            self.connection.execute(sql("repeats") + self.selection.statements)

    def _make_plays(self) -> None:
        if not self._kept("titles").is_file():
            self.define(sql("plays"))
        self._keep_plays()

    def _keep_plays(self) -> None:
        plays, titles = self._kept("plays"), self._kept("titles")
        if not titles.is_file():  # it is written last
            with files.replace_file(plays) as staged:
                self.export("FROM new_plays", staged)
            self.connection.register("media_names", self._gather(sql("media_names")))
            files.write_parquet(titles, self.connection.sql(sql("titles")).to_arrow_table())
        self.define(sql("drop_steps"))
        self.show("plays", plays)
        self.show("titles", titles)

    def _kept(self, table: str) -> Path:
        """Where a table made of the sessions that count is kept until they change."""
        return self.selection.store.derived / f"{table}-{self.selection.fingerprint}.parquet"


def parts_in(text: str) -> set[str]:
    """Which of the tables that are made on first use a statement names, comments apart."""
    plain = re.sub("--.*", "", text)
    return {part for part, tables in MADE_ON_USE.items() if re.search(tables, plain)}


def _added_up(field: pa.Field) -> str:
    kind, name = field.type, '"' + field.name.replace('"', '""') + '"'
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
        return f"sum({name})::BIGINT AS {name}"
    is_number = pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return f"sum({name})::DOUBLE AS {name}" if is_number else name


def over_store(settings: Settings, store: Store, window: Window, **choice: Any) -> Engine:
    """The store's tables, and the sessions that count, as ``sql/sessions.sql`` defines them.

    Parameters
    ----------
    **choice
        The parameters that choose sessions, see :attr:`.Parameters.choice`.

    Returns
    -------
    Engine with ``stored_sessions`` (as fetched), ``all_sessions`` (one row per event_key, whole
        store), ``sessions`` (of those the window's, after the two filters), ``plays`` (one row per
        viewer and video), ``titles``, ``visitors`` and ``medias``; each empty where nothing was
        fetched.
    """
    connection = duck.connect(settings.memory_limit, store.folder / ".spill")
    for table, query in store.lists().items():
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {table} AS {query}")
    return Engine(connection, Selection(store, window, Parameters(**choice).choice))
