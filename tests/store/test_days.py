"""Days of sessions are whole or absent, and a month that is over is one file."""

import contextlib
import json
import os
import shutil
from collections import Counter
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from storing import DAY, commit, keys_in, new_store, rows_in, sessions

from helpers.store.store import Store

MAY = [date(2026, 5, 1) + timedelta(n) for n in range(31)]


@pytest.fixture
def store(tmp_path) -> Store:
    return new_store(tmp_path / "[Client] kit" / "día=01" / "it's *? #1 100% {x}")


def files_in(store: Store) -> list[str]:
    return sorted(path.name for path in store.sessions.folder.iterdir())


def test_a_day_that_is_read_again_takes_the_old_ones_place(store):
    commit(store, DAY, sessions("a", "b"), **{"pass": 3})
    assert rows_in(store) == [(DAY, "a"), (DAY, "b")]
    commit(store, DAY, sessions("c"), read_at="now")
    assert keys_in(store) == ["c"] and store.days() == {DAY: {"rows": 1, "read_at": "now"}}
    commit(store, DAY, sessions())
    assert keys_in(store) == [] and store.days()[DAY]["rows"] == 0


def test_days_of_an_earlier_version_are_taken_over(store):
    for day, parts in {MAY[0]: ("ab", "c"), MAY[1]: ()}.items():
        folder = store.sessions.folder / f"day={day}"
        folder.mkdir(parents=True)
        for number, keys in enumerate(parts):
            table = sessions(*keys).drop_columns("mobile")
            pq.write_table(table, folder / f"part-{number}.parquet")
        (folder / "day.json").write_text(json.dumps({"rows": len("".join(parts)), "pass": 2}))
    store.open("https://api.wistia.com")
    assert store.days() == {MAY[0]: {"rows": 3, "pass": 2}, MAY[1]: {"rows": 0, "pass": 2}}
    assert [key for _, key in rows_in(store)] == ["a", "b", "c"]
    assert files_in(store) == ["2026-05-01.parquet", "2026-05-02.parquet"]


def test_a_month_that_is_over_becomes_one_file_sorted_by_viewer(store):
    for day in MAY:
        commit(store, day, sessions(*"zay"), unusable=2)
    commit(store, DAY, sessions("a"))
    before, facts = rows_in(store), store.days()
    store.settle(date(2026, 5, 31))  # its last day may still be read again
    assert len(files_in(store)) == 32
    store.settle(DAY)
    assert files_in(store) == ["2026-05.parquet", f"{DAY}.parquet"]
    assert rows_in(store) == before
    keys = pq.ParquetFile(store.sessions.folder / "2026-05.parquet").read()["visitor_key"]
    assert keys.to_pylist() == sorted(keys.to_pylist())
    for day, known in store.days().items():
        assert {name: known[name] for name in facts[day]} == facts[day]


def test_days_of_a_closed_month_that_come_later_join_it_and_those_read_again_replace_theirs(store):
    for day in MAY[10:]:
        commit(store, day, sessions("a", "b"))
    store.settle(DAY)
    commit(store, MAY[0], sessions("early"))
    commit(store, MAY[20], sessions("c"))
    expected = {(day, key) for day in MAY[10:] for key in "ab" if day != MAY[20]}
    expected = sorted(expected | {(MAY[0], "early"), (MAY[20], "c")})
    assert rows_in(store) == expected
    store.settle(DAY)
    assert files_in(store) == ["2026-05.parquet"]
    assert rows_in(store) == expected
    assert [store.days()[day]["rows"] for day in (MAY[0], MAY[19], MAY[20])] == [1, 2, 1]


def test_days_and_people_are_removed_from_a_month_too(store):
    for day in [*MAY, DAY]:
        commit(store, day, sessions("a", "b"))
    store.settle(DAY)
    assert store.drop_days(MAY[3], keep=(MAY[1], MAY[1])) == 2
    assert list(store.days()) == [MAY[1], *MAY[3:], DAY]
    assert store.forget("a")["sessions"] == 30
    assert rows_in(store) == [(day, "b") for day in (MAY[1], *MAY[3:], DAY)]
    assert sum(facts["rows"] for facts in store.days().values()) == 30
    assert store.drop_days(DAY, keep=(date.max, date.max)) == 29
    assert files_in(store) == [f"{DAY}.parquet"]


class Killed(BaseException):
    """The process is gone."""


@contextlib.contextmanager
def killed_before(step, monkeypatch):
    """Die before the n-th step that changes a file; gives the number of steps taken."""
    taken = Counter()

    def mortal(do):
        def dying(*args, **kwargs):
            taken["steps"] += 1
            if taken["steps"] == step:
                raise Killed
            return do(*args, **kwargs)

        return dying

    with monkeypatch.context() as patch:
        for owner, name in ((os, "replace"), (os, "unlink")):
            patch.setattr(owner, name, mortal(getattr(owner, name)))
        yield taken


@pytest.mark.parametrize("work", ["settle", "forget", "drop_days"])
def test_killed_at_any_step_every_day_is_whole_and_there_once(store, work, monkeypatch, tmp_path):
    for day in MAY[:3]:
        commit(store, day, sessions("a", "b"))
    store.settle(DAY)
    for day in (MAY[1], MAY[4]):
        commit(store, day, sessions("a", "c"))
    whole = Counter(rows_in(store))
    doing, lost = {
        "settle": (lambda s: s.settle(DAY), lambda row: False),
        "forget": (lambda s: s.forget("a"), lambda row: row[1] == "a"),
        "drop_days": (lambda s: s.drop_days(MAY[2], keep=(DAY, DAY)), lambda row: row[0] < MAY[2]),
    }[work]
    after = Counter({row: n for row, n in whole.items() if not lost(row)})
    for step in range(1, 100):
        shutil.copytree(store.folder, tmp_path / f"{step}" / "live")
        left = Store(tmp_path / f"{step}" / "live")
        with killed_before(step, monkeypatch) as taken, contextlib.suppress(Killed):
            doing(left)
        left = Store(left.folder)
        left.open("https://api.wistia.com")
        rows = Counter(rows_in(left))
        for day in MAY[:5]:
            there, *known = (
                {row: n for row, n in state.items() if row[0] == day}
                for state in (rows, whole, after)
            )
            assert there in known
        assert sum(facts["rows"] for facts in left.days().values()) == rows.total()
        doing(left)
        assert Counter(rows_in(left)) == after
        if taken["steps"] < step:
            break
    assert 3 < step < 99


def test_columns_that_came_later_are_null_for_older_days_and_dropped_ones_are_ignored(store):
    old = sessions("a").drop_columns(["mobile", "utm_campaign"])
    commit(store, MAY[0], old.append_column("browser", pa.array(["Chrome"])))
    commit(store, MAY[1], sessions("b"))
    before = store.fingerprint()
    assert sorted(keys_in(store)) == ["a", "b"]
    store.settle(DAY)
    assert sorted(keys_in(store)) == ["a", "b"] and store.fingerprint() == before
    month = pq.ParquetFile(store.sessions.folder / "2026-05.parquet").read()
    assert "browser" not in month.column_names and month["utm_campaign"].null_count == 2
