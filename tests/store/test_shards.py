"""The store in shards gives what the store in one piece gives, to the last count."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from test_enrich import new_run, put, rows, session, visitor  # noqa: F401
from test_insights import KNOWN, viewing

from helpers import cluster, enrich
from helpers.batch import erase
from helpers.findings import insights
from helpers.mavera import drafts
from helpers.run import Run
from helpers.store import shards


def everything(run: Run) -> dict:
    """All that stages 02 to 04 ask the sessions."""
    found = {
        "steps": enrich.features(run),
        "features": enrich.viewers(run),
        "times": enrich.watch_times(run),
        "completion": enrich.completion(run),
    }
    run = Run.open("03_cluster", source="sandbox")
    found["clusters"] = cluster.assign(run)
    found["insights"] = insights.write(run)
    run = Run.open("04_personas", source="sandbox")
    return found | {"measures": [vars(one) for one in drafts.of_clusters(run)]}


def assert_same(one, two, where="") -> None:
    """Equal in every count and word, floats to 1e-9."""
    assert type(one) is type(two), where
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, two, rtol=1e-9, atol=1e-9)
    elif isinstance(one, dict):
        assert list(one) == list(two), where
        for key in one:
            assert_same(one[key], two[key], f"{where}/{key}")
    elif isinstance(one, list):
        assert len(one) == len(two), where
        for number, pair in enumerate(zip(one, two, strict=True)):
            assert_same(*pair, f"{where}/{number}")
    elif isinstance(one, float):
        assert math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-9), where
    else:
        assert one == two, where


@pytest.fixture
def in_shards(monkeypatch):
    def choose(count: int | None) -> None:
        if count:
            monkeypatch.setenv("VIEWER_PERSONAS_SHARDS", str(count))
        else:
            monkeypatch.delenv("VIEWER_PERSONAS_SHARDS", raising=False)

    return choose


@pytest.fixture
def account():
    """Viewers of known kinds, and event_keys that two viewers share or one has twice."""
    sessions = viewing(7, 400)
    for place in range(0, 200, 5):
        sessions[place + 1]["event_key"] = sessions[place]["event_key"]
    return sessions


def folders(run: Run) -> list[str]:
    path = run.store.folder / ".shards"
    return sorted(one.name for one in path.iterdir() if one.is_dir()) if path.exists() else []


@pytest.mark.parametrize("count", [1, 5])
def test_any_number_of_shards_gives_the_same_numbers(new_run, account, in_shards, count):  # noqa: F811
    run = new_run(account, KNOWN)
    whole = everything(run)
    assert whole["steps"].loc["dropped: event_key repeated", "rows"] >= 40
    in_shards(count)
    assert_same(whole, everything(Run.open("02_enrich", source="sandbox")))
    (folder,) = folders(run)
    assert len(list((run.store.folder / ".shards" / folder / "rows").iterdir())) == count


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sessions=rows)
def test_features_are_the_same_whatever_rows_there_are(new_run, in_shards, sessions):  # noqa: F811
    found = []
    for count in (None, 3):
        in_shards(count)
        run = new_run(sessions, [visitor("v1", email="a@b.example"), visitor("nobody")])
        found.append((enrich.features(run), enrich.viewers(run)))
    assert_same(*map(list, found))


def test_a_store_without_rows_has_no_viewers_in_shards_either(new_run, in_shards):  # noqa: F811
    in_shards(3)
    run = new_run([], [visitor("a")])
    assert enrich.features(run)["rows"]["viewers"] == 0
    assert enrich.viewers(run).empty


def test_the_store_is_split_once_and_again_when_it_changed(new_run, in_shards):  # noqa: F811
    in_shards(2)
    run = new_run([session("e1", "v1", "m1", "2026-06-01T10:00", 0.5)])
    enrich.features(run)
    (first,) = folders(run)
    stamp = (run.store.folder / ".shards" / first / "ready.json").stat().st_mtime_ns
    enrich.features(Run.open("02_enrich", source="sandbox"))
    assert folders(run) == [first]
    assert (run.store.folder / ".shards" / first / "ready.json").stat().st_mtime_ns == stamp
    put(run, [session(f"e{n}", "v1", "m1", "2026-06-02T10:00", 0.5) for n in range(3)])
    enrich.features(Run.open("02_enrich", source="sandbox"))
    (second,) = folders(run)
    assert second != first


def test_a_split_that_was_killed_is_made_again(new_run, in_shards, monkeypatch):  # noqa: F811
    in_shards(2)
    run = new_run([session(f"e{n}", f"v{n}", "m1", "2026-06-01T10:00", 0.5) for n in range(20)])
    with monkeypatch.context() as patched:
        patched.setattr(shards, "_ranked", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            enrich.features(run)
    assert enrich.features(run)["rows"]["viewers"] == 20


def test_shards_by_url_hold_the_days_that_changed(
    new_run,  # noqa: F811
    account,
    in_shards,
    monkeypatch,
    tmp_path,
):
    run = new_run(account, KNOWN)
    whole = everything(run)
    in_shards(3)
    monkeypatch.setenv("VIEWER_PERSONAS_DASK_PATH", f"local://{tmp_path}/shared/")
    assert_same(whole, everything(Run.open("02_enrich", source="sandbox")))
    shared = tmp_path / "shared" / run.account
    days = {path: path.stat().st_mtime_ns for path in shared.glob("days/day=*/part-*.parquet")}
    assert days and folders(run) == []
    day = run.store.folder / "sessions" / "day=2026-06-02" / "day.json"
    day.write_text(json.dumps({**json.loads(day.read_text()), "read_at": "later"}))
    enrich.features(Run.open("02_enrich", source="sandbox"))
    brought = [path.parent.name for path, at in days.items() if path.stat().st_mtime_ns != at]
    assert brought == ["day=2026-06-02"]
    shards.remove(run.settings.model_copy(update={"dask_path": f"local://{tmp_path}/shared/"}),
                  run.store)  # fmt: skip
    assert not shared.exists()


def test_an_erased_person_is_in_no_shard(new_run, in_shards, monkeypatch):  # noqa: F811
    in_shards(2)
    people = [visitor("v1", email="jane@acme.example", name="Jane")]
    run = new_run([session("e1", "v1", "m1", "2026-06-01T10:00", 0.5),
                   session("e2", "v2", "m1", "2026-06-01T10:00", 0.5)], people)  # fmt: skip
    enrich.features(run)
    assert folders(run)
    erase.forget("jane@acme.example")
    assert folders(run) == []
    assert enrich.features(Run.open("02_enrich", source="sandbox"))["rows"]["viewers"] == 1
