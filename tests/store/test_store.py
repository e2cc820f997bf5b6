"""The store: one writer, one address, damaged files by name, and people who are gone for good."""

import json
import shutil
import stat
import subprocess
import sys
from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from storing import DAY, commit, keys_in, new_store, sessions, visitors

from helpers.core.errors import DataError, LockError, ParameterError
from helpers.core.files import write_parquet
from helpers.store.schema import MEDIAS
from helpers.store.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    return new_store(tmp_path)


def test_another_address_or_schema_is_refused_and_named_once_the_store_holds_something(store):
    store.open("http://127.0.0.1")
    store.open("https://api.wistia.com")
    commit(store, DAY, sessions("a"))
    with pytest.raises(ParameterError, match=r"https://api.wistia.com, not from http://127.0.0.1"):
        store.open("http://127.0.0.1")
    (store.folder / "store.json").write_text('{"schema_version": 2}')
    with pytest.raises(DataError, match="schema_version is 2.*reads 1"):
        store.days()


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
            with pytest.raises(LockError, match="another run is in progress"), taking(wait=0.2):
                pass
        holder.kill()
    with store.lock(wait=10):
        pass


def test_a_kernel_of_a_run_takes_only_the_writers_lock(store, monkeypatch):
    with store.run_lock(wait=1):
        monkeypatch.setenv("VIEWER_PERSONAS_LOCK", "held")
        with store.lock(wait=1), store.lock(wait=1):
            pass


def test_a_person_is_everybody_that_keys_and_addresses_lead_to(store):
    commit(store, DAY, sessions("a", "b", email="Ann@Example.com"))
    commit(store, date(2026, 6, 2), sessions("b", "c", "d"))
    commit(store, date(2026, 6, 3), sessions("b", email="ann@home.example"))
    rows = ("c", "ann@home.example "), ("d", "x@y.org"), ("e", "customer-17"), ("f", "customer-17")
    write_parquet(store.visitors_path, visitors(*rows))
    for who in ("ANN@example.com", " a ", "c", "ann@HOME.example"):
        assert store.identify(who) == ({"a", "b", "c"}, {"ann@example.com", "ann@home.example"})
    assert store.identify("e") == ({"e"}, set())  # an identifier is no address: others have it too
    assert store.identify("nobody") == (set(), set())
    assert store.forget("a") == {"keys": 3, "sessions": 5, "visitors": 1}
    assert keys_in(store) == ["d"]
    assert [day["rows"] for day in store.days().values()] == [0, 1, 0]
    assert pq.read_table(store.visitors_path)["visitor_key"].to_pylist() == ["d", "e", "f"]
    texts = [path.read_bytes() for path in store.folder.rglob("*") if path.is_file()]
    assert not any(b"ann@" in text.lower() for text in texts)  # what is kept tells nothing of her
    assert stat.S_IMODE((store.folder / "erased.key").stat().st_mode) == 0o600


def test_nobody_who_was_erased_comes_back_under_another_key_or_address(store):
    commit(store, DAY, sessions("a", email="ann@example.com"))
    commit(store, date(2026, 5, 1), sessions("a", "z"))
    store.settle(date(2026, 6, 1))
    store.forget("ann@example.com")
    Store(store.folder).forget("y")
    store.open("https://api.wistia.com")  # as each fetch does: what others noted is known to it
    again = pa.concat_tables([sessions("a", "z", "y"), sessions("new", email="ANN@example.com")])
    assert store.without_forgotten(again)["visitor_key"].to_pylist() == ["z"]
    commit(store, DAY, store.without_forgotten(sessions("new", "z")))  # it is hers, by its address
    assert keys_in(store) == ["z", "z"]


def test_rows_of_a_new_key_that_came_before_its_address_go_when_the_fetch_ends(store):
    store.forget("ann@example.com")
    commit(store, DAY, store.without_forgotten(sessions("new", "z")))
    assert store.without_forgotten(visitors(("new", "ann@example.com"))).num_rows == 0
    store.settle(DAY)
    assert keys_in(store) == ["z"]


def test_a_request_is_taken_back_as_a_whole(store):
    commit(store, DAY, sessions("a", "b", email="ann@example.com"))
    store.forget("a", "old-key-of-a-run")
    store.forget("bob@example.com")
    assert store.erased.remove("ann@example.com") == 1
    assert store.without_forgotten(sessions("a", "b", "old-key-of-a-run")).num_rows == 3
    assert not store.erased.admits("x", "Bob@example.com")
    assert store.erased.remove("nobody@example.com") == 0


def test_a_list_of_an_earlier_version_is_understood(store):
    store.forget("a")
    marks = [store.erased._mark("visitor", key) for key in ("a", "b")]
    (store.folder / "erased.json").write_text(json.dumps({"hashes": marks}))
    known = Store(store.folder)
    assert known.without_forgotten(sessions("a", "b", "c"))["visitor_key"].to_pylist() == ["c"]
    assert known.erased.remove("a") == 1 and not known.erased.admits("b", None)


@pytest.mark.parametrize("damage", ["torn", "zeros"])
@pytest.mark.parametrize("name", ["visitors", "sessions/2026-06-01", "sessions/2026-05"])
def test_a_damaged_table_is_told_by_its_name(store, name, damage):
    keys = [f"key-{n}" for n in range(400)]
    for day in (date(2026, 5, 30), DAY):
        commit(store, day, sessions(*keys, email="ann@example.com"))
    store.settle(DAY)
    write_parquet(store.visitors_path, visitors(*((key, None) for key in keys)))
    path = store.folder / f"{name}.parquet"
    raw = path.read_bytes()
    path.write_bytes(raw[:-9] if damage == "torn" else raw[:80] + bytes(300) + raw[380:])
    with pytest.raises(DataError, match=f"{path.name} is damaged"):
        store.forget("ann@example.com")


def test_too_little_memory_is_told_with_its_setting(store):
    with pytest.raises(ParameterError, match="VIEWER_PERSONAS_MEMORY_LIMIT"), store.damage_told():
        raise duckdb.OutOfMemoryException("not enough")


@pytest.mark.parametrize("name", ["erased.json", "store.json", "erased.key"])
def test_a_damaged_list_is_never_read_as_empty(store, name):
    commit(store, DAY, sessions("a"))
    store.forget("nobody@example.com")
    (store.folder / name).rename(store.folder / "old")
    if name != "erased.key":
        (store.folder / name).write_text("{")
    with pytest.raises(DataError, match=f"{name} is (damaged|not there)"):
        Store(store.folder).days() and Store(store.folder).without_forgotten(sessions("a"))


def test_the_fingerprint_changes_with_the_content_and_with_nothing_else(store, tmp_path):
    may, june = sessions("a", "b", "c"), sessions("a", "d")
    commit(store, date(2026, 5, 1), may)
    commit(store, DAY, june)
    write_parquet(store.visitors_path, visitors(("a", "x@y.org"), ("b", None)))
    first = store.fingerprint()
    shutil.copytree(store.folder, tmp_path / "copied")
    assert Store(tmp_path / "copied").fingerprint() == first
    commit(store, DAY, june.take([1, 0]), read_at="later")
    commit(store, date(2026, 6, 2), sessions())
    store.settle(DAY)
    assert store.fingerprint() == first
    changes = [
        lambda: commit(store, date(2026, 5, 1), sessions("a", "b")),
        lambda: commit(store, DAY, sessions("a", "e")),
        lambda: write_parquet(store.visitors_path, visitors(("a", "x@y.org"), ("b", "z@y.org"))),
        lambda: write_parquet(store.medias_path, pa.Table.from_pylist([{"media_id": "m"}], MEDIAS)),
        lambda: store.forget("e"),
        lambda: store.drop_days(DAY, keep=(date.max, date.max)),
    ]  # fmt: skip
    seen = {first}
    for change in changes:
        change()
        assert store.fingerprint() not in seen
        seen.add(store.fingerprint())
    assert store.fingerprint("window") != store.fingerprint()
