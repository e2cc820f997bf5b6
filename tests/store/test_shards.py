"""The store in shards gives what the store in one piece gives, to the last count."""

import numpy as np
import pandas as pd
import pytest
from fsspec.implementations.local import LocalFileSystem
from test_enrich import new_run, put, rows, session, visitor  # noqa: F401
from viewing import drawn

from helpers import cluster, enrich
from helpers.batch import erase
from helpers.run import Run
from helpers.store import shards

PEOPLE = [visitor(f"p{n}", name=f"Name {n}", email=f"P{n}@acme.example") for n in range(0, 90, 3)]
MINUTES = "SELECT visitor_key, sum(best) AS best FROM plays WHERE clicked OR NOT gate GROUP BY ALL"


def everything(run: Run) -> dict[str, pd.DataFrame]:
    """All kinds of questions that the stages ask."""
    asked = enrich.features, enrich.viewers, enrich.watch_times, enrich.completion
    found = {ask.__name__: ask(run) for ask in asked}
    run = Run.open("03_cluster", source="sandbox")
    found["clusters"] = cluster.assign(run)
    asked = run.engine
    many = "CREATE OR REPLACE TEMP TABLE long AS FROM viewers WHERE video_count > $n"
    asked.define(many, {"n": 2})
    found["rows"] = asked.rows("SELECT visitor_key, cluster FROM long").sort_values("visitor_key")
    found["counts"] = asked.counts(
        "SELECT cluster, media_id, count(*) AS viewers, fsum(best) AS best FROM plays "
        "JOIN viewers USING (visitor_key) GROUP BY ALL"
    ).sort_values(["cluster", "media_id"])
    found["plays"] = asked.query("FROM plays ORDER BY ALL")
    found["titles"] = asked.query("FROM titles ORDER BY ALL")
    found["sessions"] = asked.query(  # run.sql may ask for sessions beside viewers
        "SELECT cluster, count(*) AS n FROM sessions JOIN viewers USING (visitor_key) "
        "GROUP BY ALL ORDER BY ALL"
    )
    return found


def assert_same(one: dict[str, pd.DataFrame], two: dict[str, pd.DataFrame]) -> None:
    """Equal in every count and word, floats to 1e-9."""
    assert list(one) == list(two)
    for name in one:
        left, right = (table[name].reset_index(drop=True) for table in (one, two))
        pd.testing.assert_frame_equal(left, right, rtol=1e-9, atol=1e-9, obj=name)


@pytest.fixture
def in_shards(monkeypatch):
    return lambda count: monkeypatch.setenv("VIEWER_PERSONAS_SHARDS", str(count))


@pytest.fixture
def account():
    """Viewers of known kinds, and event_keys that two viewers share or one has twice."""
    frame, _ = drawn(120, np.random.default_rng(7))
    frame = frame.replace({np.nan: None}).assign(media_name=frame["media_id"] + " by name")
    sessions = frame.to_dict("records")
    for place in range(0, 200, 5):
        sessions[place + 1]["event_key"] = sessions[place]["event_key"]
    return sessions


def folders(run: Run) -> list[str]:
    path = run.store.folder / ".shards"
    return sorted(one.name for one in path.iterdir() if one.is_dir()) if path.exists() else []


@pytest.mark.parametrize("count", [1, 5])
def test_any_number_of_shards_gives_the_same_numbers(new_run, account, in_shards, count):  # noqa: F811
    run = new_run(account, PEOPLE)
    whole = everything(run)
    assert whole["features"].loc["dropped: event_key repeated", "rows"] == 40
    shards.remove(run.settings, run.store)  # plays are made anew
    in_shards(count)
    assert_same(whole, everything(Run.open("02_enrich", source="sandbox")))
    (folder,) = folders(run)
    parts = {path.parent.name for path in (run.store.derived / folder).rglob("shard=*/*.parquet")}
    assert parts == {f"shard={number}" for number in range(count)}


def test_plays_may_be_the_first_thing_that_is_asked_for(new_run, in_shards):  # noqa: F811
    in_shards(2)
    run = new_run([session(f"e{n}", f"v{n}", "m1", "2026-06-01T10:00", 0.5) for n in range(9)])
    assert run.engine.query("SELECT title FROM titles")["title"].tolist() == ["m1"]


def test_the_store_is_split_once_and_again_when_it_changed(new_run, in_shards):  # noqa: F811
    in_shards(2)
    run = new_run([session("e1", "v1", "m1", "2026-06-01T10:00", 0.5)])
    enrich.features(run)
    (first,) = folders(run)
    stamp = (run.store.derived / first / "all_sessions.whole").stat().st_mtime_ns
    enrich.features(Run.open("02_enrich", source="sandbox"))
    assert folders(run) == [first]
    assert (run.store.derived / first / "all_sessions.whole").stat().st_mtime_ns == stamp
    put(run, [session(f"e{n}", "v1", "m1", "2026-06-02T10:00", 0.5) for n in range(3)])
    enrich.features(Run.open("02_enrich", source="sandbox"))
    assert len(folders(run)) == 2  # the older one goes with the next fetch


def test_a_split_that_was_killed_is_made_again(new_run, in_shards, monkeypatch):  # noqa: F811
    in_shards(2)
    run = new_run([session(f"e{n}", f"v{n}", "m1", "2026-06-01T10:00", 0.5) for n in range(20)])
    with monkeypatch.context() as patched:
        patched.setattr(LocalFileSystem, "touch", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            enrich.features(run)
    assert enrich.features(run)["rows"]["viewers"] == 20


def test_shards_by_url_can_be_removed(new_run, account, monkeypatch, tmp_path):  # noqa: F811
    run = new_run(account, PEOPLE)
    whole = everything(run)
    shards.remove(run.settings, run.store)
    monkeypatch.setenv("VIEWER_PERSONAS_SHARDS", "3")
    url = f"local://{tmp_path}/[shared] kit/day=01/"
    monkeypatch.setenv("VIEWER_PERSONAS_DASK_PATH", url)
    assert_same(whole, everything(Run.open("02_enrich", source="sandbox")))
    shared = tmp_path / "[shared] kit" / "day=01" / run.account
    assert list(shared.rglob("shard=2/*.parquet")) and folders(run) == []
    shards.remove(run.settings.model_copy(update={"dask_path": url}), run.store)
    assert not shared.exists()


def test_an_erased_person_is_in_no_shard(new_run, in_shards):  # noqa: F811
    in_shards(2)
    people = [visitor("v1", email="jane@acme.example", name="Jane")]
    run = new_run([session("e1", "v1", "m1", "2026-06-01T10:00", 0.5),
                   session("e2", "v2", "m1", "2026-06-01T10:00", 0.5)], people)  # fmt: skip
    enrich.features(run)
    assert folders(run)
    erase.erase("jane@acme.example")
    assert folders(run) == []
    assert enrich.features(Run.open("02_enrich", source="sandbox"))["rows"]["viewers"] == 1
