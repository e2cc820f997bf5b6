"""Small stores typed by hand."""

from datetime import UTC, date, datetime, time
from pathlib import Path

import pyarrow as pa

from helpers.store import duck
from helpers.store.schema import SESSIONS, VISITORS
from helpers.store.store import Store

DAY = date(2026, 6, 1)
NOON = datetime.combine(DAY, time(12), UTC)


def new_store(folder: Path) -> Store:
    store = Store(folder / "store" / "live")
    store.open("https://api.wistia.com")
    return store


def sessions(*keys: str, email: str | None = None) -> pa.Table:
    """A session of each viewer; :func:`commit` gives them their day."""
    known = {"media_id": "0012345678", "received_at": NOON, "percent_viewed": 0.5, "email": email}
    rows = [
        known | {"event_key": f"event-{number}", "visitor_key": key}
        for number, key in enumerate(keys)
    ]
    return pa.Table.from_pylist(rows, SESSIONS)


def visitors(*rows: tuple[str, str | None]) -> pa.Table:
    return pa.Table.from_pylist([{"visitor_key": k, "email": e} for k, e in rows], VISITORS)


def commit(store: Store, day: date, table: pa.Table, **facts) -> None:
    """Store a day of these sessions, at noon."""
    noon = pa.array([NOON + (day - DAY)] * len(table), SESSIONS.field(3).type)
    facts = {"read_at": "2026-06-09T00:00:00+00:00"} | facts
    store.sessions.write(day, table.set_column(3, SESSIONS.field(3), noon), **facts)


def rows_in(store: Store) -> list[tuple[date, str]]:
    """Day and viewer of every stored session, as a question sees them."""
    with duck.connect(None, store.folder / ".spill") as connection:
        query = f"SELECT day, visitor_key FROM ({store.sessions.sql()}) ORDER BY ALL"
        return connection.execute(query).fetchall()


def keys_in(store: Store) -> list[str]:
    return [key for _, key in rows_in(store)]
