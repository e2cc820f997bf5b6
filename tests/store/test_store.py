"""The store: days whole or absent, one writer, one address, and people who are gone for good."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.core.errors import DataError, LockError, ParameterError
from helpers.store.store import PART_ROWS, SESSIONS, VISITORS, Store

DAY = date(2026, 6, 1)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def sessions(*keys: str, email: str | None = None) -> pa.Table:
    rows = [
        dict.fromkeys(SESSIONS.names)
        | {
            "event_key": f"event-{number}",
            "visitor_key": key,
            "media_id": "0012345678",
            "received_at": NOON,
            "percent_viewed": 0.5,
            "email": email,
        }
        for number, key in enumerate(keys)
    ]
    return pa.Table.from_pylist(rows, schema=SESSIONS)


def visitors(*rows: tuple[str, str | None]) -> pa.Table:
    return pa.Table.from_pylist(
        [dict.fromkeys(VISITORS.names) | {"visitor_key": k, "email": e} for k, e in rows], VISITORS
    )


def commit(store: Store, day: date, table: pa.Table) -> None:
    staged = store.stage(day)
    staged.add(table)
    staged.commit(read_at=NOON.isoformat())


def keys_in(store: Store) -> list[str]:
    files = sorted(store.folder.glob("sessions/day=*/part-*.parquet"))
    return [key for path in files for key in pq.read_table(path)["visitor_key"].to_pylist()]


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path / "store" / "live")
    made.open("https://api.wistia.com")
    return made


def test_a_day_is_absent_until_it_is_committed_and_then_whole(store):
    staged = store.stage(DAY)
    staged.add(sessions("a", "b"))
    staged.spill()
    assert store.days() == {} and store.sessions_glob() is None
    staged.commit(read_at=NOON.isoformat(), **{"pass": 3})
    assert store.days() == {DAY: {"rows": 2, "read_at": "2026-06-01T12:00:00+00:00", "pass": 3}}
    assert keys_in(store) == ["a", "b"]
    assert Path(store.sessions_glob()).parent.parent == store.folder / "sessions"


def test_an_empty_day_is_stored_too(store):
    store.stage(DAY).commit(read_at=NOON.isoformat())
    assert store.days()[DAY]["rows"] == 0
    assert store.sessions_glob() is None


def test_a_day_that_is_read_again_takes_the_old_ones_place(store):
    commit(store, DAY, sessions("a", "b"))
    commit(store, DAY, sessions("c"))
    assert keys_in(store) == ["c"]
    assert store.days()[DAY]["rows"] == 1


def test_many_rows_of_a_day_go_to_files_as_they_come(store):
    staged = store.stage(DAY)
    piece = sessions(*["a"] * (PART_ROWS // 2))
    for _ in range(5):
        staged.add(piece)
        assert staged.held < PART_ROWS
    staged.commit(read_at=NOON.isoformat())
    assert len(keys_in(store)) == 5 * (PART_ROWS // 2)


def test_a_kill_between_the_two_renames_of_a_day_costs_nothing(store):
    commit(store, DAY, sessions("a"))
    store.staging.mkdir(exist_ok=True)
    os.rename(store.folder / "sessions" / f"day={DAY}", store.staging / f"old-day={DAY}")
    assert store.days() == {}
    store.open("https://api.wistia.com")
    assert keys_in(store) == ["a"]
    assert not store.staging.exists()


def test_a_doubted_day_says_so_and_keeps_its_rows(store):
    commit(store, DAY, sessions("a"))
    store.doubt([DAY])
    assert store.days()[DAY]["doubted"] is True
    assert keys_in(store) == ["a"]


def test_days_beyond_retention_go_unless_the_window_needs_them(store):
    for number in (1, 2, 3, 4):
        commit(store, date(2026, 6, number), sessions("a"))
    kept = (date(2026, 6, 1), date(2026, 6, 1))
    assert store.drop_days(date(2026, 6, 3), keep=kept) == 1
    assert list(store.days()) == [date(2026, 6, 1), date(2026, 6, 3), date(2026, 6, 4)]


def test_another_address_is_refused_and_named(store):
    commit(store, DAY, sessions("a"))
    with pytest.raises(ParameterError, match=r"https://api.wistia.com, not from http://127.0.0.1"):
        store.open("http://127.0.0.1")


def test_a_store_that_holds_nothing_may_change_its_address(store):
    store.open("http://127.0.0.1")
    commit(store, DAY, sessions("a"))
    store.open("http://127.0.0.1")


@pytest.mark.parametrize("version", [0, 2, "1"])
def test_another_schema_is_refused_by_name(store, version):
    (store.folder / "store.json").write_text(json.dumps({"schema_version": version}))
    for reading in (store.days, lambda: store.open("https://api.wistia.com")):
        with pytest.raises(DataError, match=rf"schema_version is {version!r}.*reads 1"):
            reading()


HOLDER = """
import sys, time
from pathlib import Path
from helpers.store.store import Store
with Store(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_process_writes_at_a_time_and_a_killed_one_frees_the_lock(store):
    command = [sys.executable, "-c", HOLDER, str(store.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        for taking in (store.lock, store.run_lock):
            with pytest.raises(LockError, match="another run works on it"), taking(wait=0.2):
                pass
        holder.kill()
    with store.lock(wait=10):
        pass


def test_a_kernel_of_a_run_takes_only_the_writers_lock(store, monkeypatch):
    with store.run_lock(wait=1):
        monkeypatch.setenv("VIEWER_PERSONAS_LOCK", "held")
        with store.lock(wait=1), store.lock(wait=1):
            pass


def test_a_person_is_forgotten_by_email_with_all_keys_and_never_comes_back(store):
    commit(store, DAY, sessions("a", "b", email="Ann@Example.com"))
    commit(store, date(2026, 6, 2), sessions("b", "c"))
    store.replace(store.visitors_path, visitors(("c", "ann@example.com "), ("d", "x@y.org")))
    assert store.keys_of("ANN@example.com") == {"a", "b", "c"}
    assert store.forget("ANN@example.com") == {"keys": 3, "sessions": 4, "visitors": 1}
    assert keys_in(store) == []
    assert store.days()[DAY]["rows"] == 0
    assert pq.read_table(store.visitors_path)["visitor_key"].to_pylist() == ["d"]
    again = pa.concat_tables([sessions("a", "z"), sessions("new", email="ann@example.com")])
    assert store.without_forgotten(again)["visitor_key"].to_pylist() == ["z"]


def test_a_person_is_forgotten_by_visitor_key_alone(store):
    commit(store, DAY, sessions("a", "b", email="ann@example.com"))
    assert store.forget("a") == {"keys": 1, "sessions": 1, "visitors": 0}
    assert keys_in(store) == ["b"]
    assert store.is_forgotten("a") and not store.is_forgotten("b", "ann@example.com")


def test_the_mark_of_a_forgotten_person_says_nothing_about_them(store):
    commit(store, DAY, sessions("a", email="ann@example.com"))
    store.forget("ann@example.com")
    texts = [path.read_bytes() for path in store.folder.rglob("*") if path.is_file()]
    assert not any(b"ann@example.com" in text.lower() for text in texts)
    mode = stat.S_IMODE((store.folder / "erased.key").stat().st_mode)
    assert mode == 0o600
