"""Own viewing sessions, from any platform, in the place of Wistia's: CSV or Parquet, read whole."""

import csv
import hashlib
import io
from datetime import date
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from helpers.core import clock, files
from helpers.core.errors import DataError
from helpers.core.owner import read_owner_text
from helpers.core.privacy import clean_text, page_of, without_emails
from helpers.store import duck
from helpers.store.facts import SessionFacts
from helpers.store.schema import MEDIAS, SESSIONS, VISITORS
from helpers.store.store import Store

NEEDED = "visitor_key or email|media_id or title|received_at|percent_viewed or percent_watched"
OPTIONAL = "event_key name country region city embed_url conversion_type mobile"
KNOWN = NEEDED.replace(" or ", " ").replace("|", " ").split() + OPTIONAL.split()


def read_sessions_file(path: str | Path) -> pa.Table:
    """The sessions of a file, as they are stored.

    Parameters
    ----------
    path : path
        CSV (comma, semicolon, tab or bar; decimal point or comma) or Parquet, a row per session;
        columns as in docs/own-data.md.

    Returns
    -------
    Table with the columns of :data:`helpers.store.schema.SESSIONS`, and name.

    Raises
    ------
    ParameterError
        The file cannot be read, or is not UTF-8.
    DataError
        A column is missing, or a value is out of its range; column, line and what was expected.
    """
    path = Path(path)
    is_table = path.suffix.lower() in (".parquet", ".pq") and path.is_file()
    names, rows = (_read_parquet if is_table else _read_csv)(path)
    for columns in NEEDED.split("|"):
        if not set(columns.split(" or ")) & set(names):
            _refuse(path, 1, f"column {columns} is missing.", f"it beside {', '.join(names)[:300]}")
    sheet = {n: pa.array([row.get(n, "").strip() for _, row in rows], pa.string()) for n in KNOWN}
    sheet["line"] = pa.array([line for line, _ in rows], pa.int64())
    with duck.connect(None, "") as connection:
        connection.register("sheet", pa.table(sheet))
        connection.create_function("label", _label)
        connection.create_function("page", _page)
        connection.execute(f"SET VARIABLE columns = {duck.texts(names)};" + duck.sql("intake"))
        for line, _, name, value, expected in connection.execute("FROM problems").fetchall():
            what = f"{value[:60]!r} cannot be used" if value else "nothing is there"
            _refuse(path, line, f"column {name}: {what}.", expected)
        # What no file has is null in the columns of a stored session.
        named = f"FROM ({duck.rows(SESSIONS, [])}) UNION ALL BY NAME FROM imported"
        return connection.sql(named).to_arrow_table()


def import_sessions(store: Store, path: str | Path) -> SessionFacts:
    """Make a store hold the sessions of a file, and nothing else; unchanged, nothing is new.

    Parameters
    ----------
    store : Store
        Opened and locked by the caller.

    Raises
    ------
    ParameterError, DataError
        As :func:`read_sessions_file`; what was stored before is kept.
    """
    table = read_sessions_file(path)
    order = dict.fromkeys(["received_at", *SESSIONS.names])  # rows of one second come in any
    kept = store.without_forgotten(table).sort_by([(name, "ascending") for name in order])
    days = pc.cast(kept["received_at"], pa.date32())
    listed = pc.unique(days).to_pylist()
    state = {"sessions_file": hashlib.sha256(repr(kept.to_pylist()).encode()).hexdigest()}
    changed = files.read_json(store.progress_path) != state
    if changed:
        for day in listed:
            table_of_day = kept.filter(pc.equal(days, day)).select(SESSIONS.names)
            store.sessions.write(day, table_of_day, read_at=clock.now().isoformat())
        store.sessions.remove(set(store.days()) - set(listed))
        for target, key, names, schema in (
            (store.visitors_path, "visitor_key", {"name": "name", "email": "email"}, VISITORS),
            (store.medias_path, "media_id", {"media_name": "name"}, MEDIAS),
        ):
            newest = kept.to_pandas().groupby(key, as_index=False)[list(names)].last()
            frame = newest.rename(columns=names).reindex(columns=schema.names).astype(object)
            files.write_parquet(target, pa.Table.from_pandas(frame, schema, preserve_index=False))
        store.settle(date.max)
        files.write_json(store.progress_path, state)
    rows = len(kept)
    return SessionFacts(rows=rows, new=rows if changed else 0, erased=len(table) - rows)


def _read_csv(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Its columns, and each row with the line it ends on."""
    text = io.StringIO(read_owner_text(path, "Sessions file"))
    separator = max(",;\t|", key=text.readline().count)
    text.seek(0)
    reader, rows = csv.DictReader(text, delimiter=separator, restkey="\0", strict=True), []
    try:
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        for row in reader:
            rows.append((reader.line_num, row))
            if "\0" in row or None in row.values():
                what = "there are too many or too few cells."
                _refuse(path, reader.line_num, what, f"{len(reader.fieldnames)} of them")
    except csv.Error as error:
        _refuse(path, reader.line_num, f"{error}.", "a CSV file")
    return reader.fieldnames, [row for row in rows if any(row[1].values())]


def _read_parquet(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    table = files.read_parquet(path)
    names = [name.strip().lower() for name in table.column_names]
    rows = table.rename_columns(names).select([name for name in names if name in KNOWN]).to_pylist()
    texts = ({name: "" if v is None else str(v) for name, v in row.items()} for row in rows)
    return names, list(enumerate(texts, 1))


def _refuse(path: Path, line: int, what: str, expected: str):
    where = f"Sessions file {path.name}, line {line}"
    raise DataError(what, where=where, expected=expected, remedy="Nothing of the file is stored.")


@lru_cache(4096)
def _label(text: str) -> str:
    return without_emails(clean_text(text)).strip()


def _page(url: str, part: str) -> str:
    return page_of(url)[part] or ""
