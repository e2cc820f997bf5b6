"""One row of behaviour per viewer, held against an independent count over the same rows."""

import shutil
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from counting import count_by_hand
from hypothesis import HealthCheck, given, settings, strategies as st

from helpers import cluster, enrich
from helpers.core.errors import DataError
from helpers.run import Run
from helpers.store import engine
from helpers.store.schema import SESSIONS, VISITORS


def session(key, viewer, media, at, percent, **more):
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC) if isinstance(at, str) else at
    known = {"event_key": key, "visitor_key": viewer, "media_id": media, "media_name": media}
    return known | {"received_at": moment, "percent_viewed": percent} | more


def visitor(key, **more):
    return {"visitor_key": key, "load_count": 1, "play_count": 1} | more


def put(run: Run, sessions: list[dict], visitors: list[dict] = ()) -> Run:
    """Write rows the way the store keeps them."""
    shutil.rmtree(run.store.folder / "sessions", ignore_errors=True)
    days = defaultdict(list)
    for row in sessions:
        days[row["received_at"].date()].append(row)
    for day in {run.window.start, *days}:
        table = pa.Table.from_pylist(days.get(day, []), schema=SESSIONS)
        run.store.sessions.write(day, table, read_at="2026-07-01T00:00:00+00:00")
    pq.write_table(pa.Table.from_pylist(list(visitors), schema=VISITORS), run.store.visitors_path)
    return run


@pytest.fixture
def new_run(bare_environment):
    def make(sessions, visitors=(), stage="02_enrich", **given):
        return put(Run.open(stage, source="sandbox", **given), sessions, visitors)

    return make


def features_of(run: Run) -> pd.DataFrame:
    enrich.features(run)
    return enrich.viewers(run)


def at(moment: str, key: str, viewer: str, media: str = "m1", percent: float = 0.2, **more):
    """A session of June 2026: ``"02T10:00"``."""
    return session(key, viewer, media, f"2026-06-{moment}", percent, **more)


def test_videos_and_domains_that_nobody_has_are_told(new_run):
    run = new_run(
        [at("01T10:00", "e1", "v1", email="a@Own.example"), at("01T10:00", "e2", "v2", "m2")],
        media_ids=["m1", "m3"], exclude_domains=["@own.example", "owm.example"],
    )  # fmt: skip
    enrich.features(run)
    assert run.manifest().model_extra["unmatched"] == {
        "media_ids": ["m3"], "exclude_domains": ["owm.example"],
    }  # fmt: skip


def test_a_repeated_event_key_keeps_the_longest_then_the_earliest_then_the_smallest(new_run):
    run = new_run([
        at("01T10:00", "e1", "anna", percent=0.02), at("01T10:00", "e1", "bert", percent=0.9),
        at("02T10:00", "e2", "a"), at("01T10:00", "e2", "z"),
        at("01T10:00", "e3", "d"), at("01T10:00", "e3", "c"),
        at("01T10:00", "e4", "f", "m9"), at("01T10:00", "e4", "f", "m8"),
        # In the whole store, not in the window.
        session("e5", "old", "m1", "2020-01-01T10:00", 0.9), at("01T10:00", "e5", "new"),
    ])  # fmt: skip
    table = features_of(run)
    assert list(table.index) == ["bert", "c", "f", "z"]
    assert table.loc["f", "top_video"] == "m8"
    assert run.manifest().model_extra["repeated_rows"] == 5


def test_completion_visits_days_and_top_video_of_a_viewer(new_run):
    run = new_run([
        at("01T10:00", "e1", "v"), at("01T11:00", "e2", "v", percent=0.8),
        at("02T10:00", "e3", "v", "m2", 0.4),
        # A visit begins 30 minutes after the start of the session before.
        *(at(f"01T{time}", time, "w") for time in ("10:00:00", "10:29:59", "10:59:58", "11:29:58")),
        # As many sessions: the higher best, then the smaller id.
        at("01T10:00", "e4", "x", "m2", 0.9), at("01T11:00", "e5", "x", "m1"),
        at("01T10:00", "e6", "y", "m2"), at("01T11:00", "e7", "y", "m1"),
    ])  # fmt: skip
    table = features_of(run)
    row = table.loc["v"]
    assert row["avg_percent_watched"] == pytest.approx(60)  # of the best session of each video
    assert row["avg_session_percent"] == pytest.approx(140 / 3)
    assert row[["video_count", "session_count", "active_days"]].tolist() == [2, 3, 2]
    assert table.loc["w", "total_visits"] == 2
    assert table["top_video"].to_dict() == {"v": "m1", "w": "m1", "x": "m2", "y": "m1"}


def test_identity_comes_from_the_visitor_row_else_the_newest_session_with_an_address(new_run):
    run = new_run(
        [at("01T10:00", "e1", "a", email="late@example.com"),
         at("01T10:00", "e2", "b", email="First@example.com"),
         at("02T10:00", "e3", "b", email="Second@example.com "),
         at("03T10:00", "e4", "b", email="no address"),
         at("01T10:00", "e5", "c"), at("01T10:00", "e6", "d")],
        [visitor("a", name="Ann", email="ann@example.com"),
         visitor("b", name=" ", email="customer-17"), visitor("d", email="customer-18")],
    )  # fmt: skip
    table = features_of(run)
    assert table["email"].dropna().to_dict() == {
        "a": "ann@example.com", "b": "Second@example.com",
    }  # fmt: skip
    assert table["identified"].to_dict() == {"a": True, "b": True, "c": False, "d": False}
    assert table.loc["a", "name"] == "Ann" and pd.isna(table.loc["b", "name"])


def test_the_place_is_of_the_newest_session_with_any_of_the_three(new_run):
    run = new_run([
        at("01T10:00", "e1", "v", city="Rome", country="IT"),
        at("02T10:00", "e2", "v", region="Bavaria", country="DE"), at("03T10:00", "e3", "v"),
        at("03T10:00", "e4", "w"),
        at("01T10:00", "e5", "x", country="FR"), at("02T10:00", "e6", "x", city="Paris"),
    ])  # fmt: skip
    table = features_of(run)
    assert table["location"].dropna().to_dict() == {"v": "Bavaria, DE", "x": "Paris"}
    assert table["country"].dropna().to_dict() == {"v": "DE"}


def test_the_window_takes_whole_utc_days_at_both_ends(new_run):
    run = new_run(
        [session("e1", "early", "m1", "2026-05-31T23:59:59.999999", 0.2),
         at("01T00:00", "e2", "first"), at("02T23:59:59.999999", "e3", "last"),
         at("03T00:00", "e4", "late")],
        stage="01_fetch", start_date="2026-06-01", end_date="2026-06-02",
    )  # fmt: skip
    run.done()
    assert list(features_of(Run.open("02_enrich", source="sandbox")).index) == ["first", "last"]


def test_only_the_videos_and_not_the_domains_named_in_the_parameters_count(new_run):
    run = new_run(
        [at("01T10:00", "e1", "staff", "5e12345678"),
         at("01T10:00", "e2", "guest", "5e12345678", email="g@example.com"),
         at("01T10:00", "e3", "guest", "m2"),
         at("01T10:00", "e4", "sub", "5e12345678", email="s@a.own.example")],
        [visitor("staff", email="me@Own.Example")],
        media_ids=["5e12345678"], exclude_domains=["own.example"],
    )  # fmt: skip
    assert features_of(run)["video_count"].to_dict() == {"guest": 1, "sub": 1}
    assert run.manifest().counts["left_out_sessions"] == 2


def test_the_columns_and_their_types_are_those_of_the_design(new_run):
    run = new_run([at("01T10:00", "e1", "v", "0012345678")])
    features_of(run)
    table = pd.read_parquet(run.data("features.parquet"))
    counts = ["video_count", "session_count", "total_visits", "active_days"]
    numbers = ["avg_percent_watched", "avg_session_percent", "minutes_watched"]
    assert list(table.columns) == [
        "visitor_key", "name", "email", "identified", "location", "country", *counts[:2], *numbers,
        *counts[2:], "first_seen", "last_active", "top_video",
    ]  # fmt: skip
    assert set(map(str, table[counts].dtypes)) == {"int64"}
    assert set(map(str, table[numbers].dtypes)) == {"float64"}
    assert str(table["last_active"].dt.tz) == "UTC" and table["identified"].dtype == bool
    assert table["top_video"][0] == "0012345678"


def test_no_session_in_the_window_gives_empty_tables_and_no_error(new_run):
    run = new_run([], [visitor("a")])
    assert features_of(run).empty
    assert run.manifest().counts["visitors_without_session"] == 1
    assert enrich.watch_times(run).count().sum() == 0
    assert enrich.completion(run)["sessions"].sum() == 0
    assert enrich.videos_per_viewer(run)["viewers"].sum() == 0
    assert cluster.assign(run)["viewers"].tolist() == [0, 0, 0, 0, 0]


def test_an_empty_store_is_a_clear_error(new_run):
    with pytest.raises(DataError, match="Nothing was fetched yet for account sandbox"):
        enrich.features(Run.open("02_enrich", source="sandbox"))


def test_watch_times_follow_the_time_zone(new_run):
    run = new_run([at("01T23:30", "e1", "v")], time_zone="Asia/Kolkata", min_cell=1)
    table = enrich.watch_times(run).fillna(0)
    assert table.loc["Tue", 5] == 1 and table.to_numpy().sum() == 1


JUNE = datetime(2026, 6, 1, tzinfo=UTC)
rows = st.lists(
    st.builds(
        session,
        st.integers(0, 25).map("e{}".format),
        st.integers(0, 4).map("v{}".format),
        st.sampled_from(["5e12345678", "0012345678", "m3", "m4", "m5", "m6"]),
        st.integers(0, 3 * 24 * 12).map(lambda n: JUNE + timedelta(minutes=5 * n)),
        st.sampled_from([0.0, 0.1, 0.29, 0.3, 0.5, 0.75, 0.9, 1.0]),
    ),
    min_size=1,
    max_size=40,
)


ONE_FIXTURE = {"suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=15, **ONE_FIXTURE)
@given(sessions=rows)
def test_features_and_clusters_equal_an_independent_count(new_run, sessions):
    run = new_run(sessions)
    enrich.features(run)
    cluster.assign(run)
    found = pd.read_parquet(run.data("viewers.parquet")).set_index("visitor_key")
    expected = count_by_hand(sessions)
    assert set(found.index) == set(expected)
    for viewer, row in expected.items():
        for column, value in row.items():
            assert found.loc[viewer, column] == pytest.approx(value), (viewer, column)
    counts = pd.Series([row["cluster"] for row in expected.values()]).value_counts()
    table = cluster.read_table(run)
    assert table["viewers"].to_dict() == {
        name: int(counts.get(name, 0)) for name in cluster.rules_of(run).names
    }


@settings(max_examples=8, **ONE_FIXTURE)
@given(sessions=rows)
def test_large_data_from_parquet_under_a_memory_limit_equal_small_data(
    new_run, monkeypatch, sessions
):
    small = features_of(new_run(sessions))
    monkeypatch.setattr(engine, "LOADED_ROWS", 0)  # nothing is loaded: every scan reads Parquet
    monkeypatch.setenv("VIEWER_PERSONAS_MEMORY_LIMIT", "100MB")
    run = new_run(sessions)
    large = features_of(run)
    pd.testing.assert_frame_equal(large, features_of(run))  # its plays are kept by now
    monkeypatch.setattr(engine, "LOADED_ROWS", 300_000)
    monkeypatch.delenv("VIEWER_PERSONAS_MEMORY_LIMIT")
    pd.testing.assert_frame_equal(small, large)
