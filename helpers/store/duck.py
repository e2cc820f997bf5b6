"""DuckDB as the kit uses it: connections, and files as SQL."""

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from helpers.store.schema import SQL_TYPES

NULLABLE = {pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
"""Types of pandas for columns with a null, which would not be integers or booleans."""


def connect(memory_limit: str | None, spill: Path | str) -> duckdb.DuckDBPyConnection:
    """A fresh in-memory database in UTC that spills to ``spill`` beyond its memory limit."""
    options = {"preserve_insertion_order": False, "autoinstall_known_extensions": False}
    if memory_limit:
        options["memory_limit"] = memory_limit
    connection = duckdb.connect(config=options | {"temp_directory": str(spill)})
    connection.execute("SET TimeZone = 'UTC'")
    with contextlib.suppress(duckdb.InvalidInputException):  # a kernel without ipywidgets has none
        connection.execute("SET enable_progress_bar = false")
    return connection


def frame(table: pa.Table) -> pd.DataFrame:
    """A table as DuckDB gives it to pandas, its texts as they are in Arrow: no object for each."""
    return pd.DataFrame({name: _series(table[name]) for name in table.column_names})


def _series(column: pa.ChunkedArray) -> pd.Series:
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    elif pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    return column.to_pandas(types_mapper=NULLABLE.get if column.null_count else None)


def sql(name: str) -> str:
    """Statements of ``helpers/store/sql/<name>.sql``, its comments apart."""
    text = (Path(__file__).parent / "sql" / f"{name}.sql").read_text("utf-8")
    return re.sub(r"--.*", "", text)


def quoted(text: Path | str) -> str:
    """A path to write to, or a text, as an SQL literal."""
    return "'" + str(text).replace("'", "''") + "'"


def texts(values: Iterable[str]) -> str:
    """A list of texts as an SQL literal."""
    return f"[{', '.join(map(quoted, values))}]::VARCHAR[]"


def as_pattern(path: Path | str) -> str:
    """A path as a pattern that matches it alone."""
    return re.sub(r"[*?[]", r"[\g<0>]", str(path))


def parquet(*paths: Path | str) -> str:
    """``read_parquet`` of just these files: a path is no pattern, a folder no column."""
    files = ", ".join(quoted(as_pattern(path)) for path in paths)
    return f"read_parquet([{files}], hive_partitioning = false, union_by_name = true)"


def rows(schema: pa.Schema, files: Iterable[Path], computed: str = "") -> str:
    """A query for the rows of files with the columns of a schema, null where a file has none.

    Parameters
    ----------
    computed : str
        Columns of the schema that no file has, as SQL: ``", lower(name) AS folded"``.
    """
    columns = ", ".join(f"NULL::{SQL_TYPES[field.type]} AS {field.name}" for field in schema)
    source, listed = f"SELECT {columns} WHERE false", list(files)
    if listed:
        source += f" UNION ALL BY NAME SELECT *{computed} FROM {parquet(*listed)}"
    return f"SELECT {', '.join(schema.names)} FROM ({source})"
