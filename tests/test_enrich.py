"""One row of behaviour per viewer, held against an independent count over the same rows."""

from __future__ import annotations

import shutil
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from math import fsum

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import cluster, enrich
from helpers.core.errors import DataError
from helpers.run import Run
from helpers.store import engine
from helpers.store.store import SESSIONS, VISITORS

BLANK = dict.fromkeys(SESSIONS.names)


def session(key, viewer, media, at, percent, **more):
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC) if isinstance(at, str) else at
    return BLANK | {
        "event_key": key, "visitor_key": viewer, "media_id": media, "received_at": moment,
        "percent_viewed": percent, "media_name": media, **more,
    }  # fmt: skip


def visitor(key, **more):
    return (
        dict.fromkeys(VISITORS.names)
        | {"visitor_key": key, "load_count": 1, "play_count": 1}
        | more
    )


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
def new_run(tmp_path, monkeypatch):
    monkeypatch.setenv("VIEWER_PERSONAS_OUTPUTS", str(tmp_path / "outputs"))
    for name in ("WISTIA_API_TOKEN", "MAVERA_API_KEY", "WISTIA_BASE_URL", "MAVERA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def make(sessions, visitors=(), stage="02_enrich", **given):
        return put(Run.open(stage, source="sandbox", **given), sessions, visitors)

    return make


def features_of(run: Run) -> pd.DataFrame:
    enrich.features(run)
    return enrich.viewers(run)


def test_videos_and_domains_that_nobody_has_are_told(new_run):
    run = new_run(
        [session("e1", "v1", "m1", "2026-06-01T10:00", 0.5, email="a@Own.example"),
         session("e2", "v2", "m2", "2026-06-01T10:00", 0.5)],
        media_ids=["m1", "m3"], exclude_domains=["@own.example", "owm.example"],
    )  # fmt: skip
    enrich.features(run)
    assert run.manifest().model_extra["unmatched"] == {
        "media_ids": ["m3"],
        "exclude_domains": ["owm.example"],
    }


def test_a_repeated_event_key_keeps_the_longer_view(new_run):
    run = new_run(
        [
            session("e1", "anna", "m1", "2026-06-01T10:00:00", 0.02),
            session("e1", "bert", "m1", "2026-06-01T10:00:00", 0.9),
        ]
    )
    table = features_of(run)
    assert list(table.index) == ["bert"]
    assert run.manifest().model_extra["repeated_rows"] == 1


def test_ties_of_a_repeated_key_go_to_the_earliest_then_the_smallest_viewer_then_video(new_run):
    run = new_run(
        [
            session("e1", "a", "m1", "2026-06-02T10:00:00", 0.5),
            session("e1", "z", "m1", "2026-06-01T10:00:00", 0.5),
            session("e2", "d", "m1", "2026-06-01T10:00:00", 0.5),
            session("e2", "c", "m1", "2026-06-01T10:00:00", 0.5),
            session("e3", "f", "m9", "2026-06-01T10:00:00", 0.5),
            session("e3", "f", "m8", "2026-06-01T10:00:00", 0.5),
        ]
    )
    table = features_of(run)
    assert list(table.index) == ["c", "f", "z"]
    assert table.loc["f", "top_video"] == "m8"
    assert run.manifest().model_extra["repeated_rows"] == 3


def test_a_repeated_key_is_ranked_over_the_whole_store_not_the_window(new_run):
    run = new_run(
        [
            session("e1", "old", "m1", "2020-01-01T10:00:00", 0.9),
            session("e1", "new", "m1", "2026-06-01T10:00:00", 0.1),
            session("e2", "other", "m1", "2026-06-01T10:00:00", 0.1),
        ]
    )
    assert list(features_of(run).index) == ["other"]


def test_completion_is_the_mean_over_videos_of_the_best_session_of_each(new_run):
    run = new_run(
        [
            session("e1", "v", "m1", "2026-06-01T10:00:00", 0.2),
            session("e2", "v", "m1", "2026-06-01T11:00:00", 0.8),
            session("e3", "v", "m2", "2026-06-02T10:00:00", 0.4),
        ]
    )
    row = features_of(run).loc["v"]
    assert row["video_count"] == 2 and row["session_count"] == 3
    assert row["avg_percent_watched"] == pytest.approx(60)
    assert row["avg_session_percent"] == pytest.approx(140 / 3)
    assert row["active_days"] == 2
    assert row["top_video"] == "m1"


def test_a_session_thirty_minutes_after_the_start_of_the_last_begins_a_new_visit(new_run):
    run = new_run(
        [
            session("e1", "v", "m1", "2026-06-01T10:00:00", 0.2),
            session("e2", "v", "m1", "2026-06-01T10:29:59", 0.2),
            session("e3", "v", "m1", "2026-06-01T10:59:58", 0.2),
            session("e4", "v", "m1", "2026-06-01T11:29:58", 0.2),
        ]
    )
    assert features_of(run).loc["v", "total_visits"] == 2


def test_the_top_video_has_most_sessions_then_the_higher_best_then_the_smaller_id(new_run):
    run = new_run(
        [
            session("e1", "v", "m2", "2026-06-01T10:00:00", 0.2),
            session("e2", "v", "m1", "2026-06-01T11:00:00", 0.2),
            session("e3", "w", "m2", "2026-06-01T10:00:00", 0.9),
            session("e4", "w", "m1", "2026-06-01T11:00:00", 0.2),
        ]
    )
    assert features_of(run)["top_video"].to_dict() == {"v": "m1", "w": "m2"}


def test_identity_comes_from_the_visitor_row_else_the_newest_session_with_an_address(new_run):
    run = new_run(
        [
            session("e1", "a", "m1", "2026-06-01T10:00:00", 0.2, email="late@example.com"),
            session("e2", "b", "m1", "2026-06-01T10:00:00", 0.2, email="First@example.com"),
            session("e3", "b", "m1", "2026-06-02T10:00:00", 0.2, email="Second@example.com "),
            session("e4", "b", "m1", "2026-06-03T10:00:00", 0.2, email="no address"),
            session("e5", "c", "m1", "2026-06-01T10:00:00", 0.2),
            session("e6", "d", "m1", "2026-06-01T10:00:00", 0.2),
        ],
        [
            visitor("a", name="Ann", email="ann@example.com"),
            visitor("b", name=" ", email="customer-17"),
            visitor("d", email="customer-18"),
        ],
    )
    table = features_of(run)
    assert table["email"].dropna().to_dict() == {
        "a": "ann@example.com", "b": "Second@example.com",
    }  # fmt: skip
    assert table["identified"].to_dict() == {"a": True, "b": True, "c": False, "d": False}
    assert table.loc["a", "name"] == "Ann" and pd.isna(table.loc["b", "name"])


def test_the_place_is_of_the_newest_session_with_any_of_the_three(new_run):
    run = new_run(
        [
            session("e1", "v", "m1", "2026-06-01T10:00:00", 0.2, city="Rome", country="IT"),
            session("e2", "v", "m1", "2026-06-02T10:00:00", 0.2, region="Bavaria", country="DE"),
            session("e3", "v", "m1", "2026-06-03T10:00:00", 0.2),
            session("e4", "w", "m1", "2026-06-03T10:00:00", 0.2),
            session("e5", "x", "m1", "2026-06-01T10:00:00", 0.2, country="FR"),
            session("e6", "x", "m1", "2026-06-02T10:00:00", 0.2, city="Paris"),
        ]
    )
    table = features_of(run)
    assert table.loc["v", ["location", "country"]].tolist() == ["Bavaria, DE", "DE"]
    assert table.loc["w", ["location", "country"]].isna().all()
    assert table.loc["x", "location"] == "Paris" and pd.isna(table.loc["x", "country"])


def test_the_window_takes_whole_utc_days_at_both_ends(new_run):
    run = new_run(
        [
            session("e1", "early", "m1", "2026-05-31T23:59:59.999", 0.2),
            session("e2", "first", "m1", "2026-06-01T00:00:00", 0.2),
            session("e3", "last", "m1", "2026-06-02T23:59:59.999", 0.2),
            session("e4", "late", "m1", "2026-06-03T00:00:00", 0.2),
        ],
        stage="01_fetch", start_date="2026-06-01", end_date="2026-06-02",
    )  # fmt: skip
    run.done()
    assert list(features_of(Run.open("02_enrich", source="sandbox")).index) == ["first", "last"]


def test_only_the_videos_and_not_the_domains_named_in_the_parameters_count(new_run):
    run = new_run(
        [
            session("e1", "staff", "5e12345678", "2026-06-01T10:00:00", 0.2),
            session("e2", "guest", "5e12345678", "2026-06-01T10:00:00", 0.2, email="g@example.com"),
            session("e3", "guest", "m2", "2026-06-01T10:00:00", 0.2),
            session("e4", "sub", "5e12345678", "2026-06-01T10:00:00", 0.2, email="s@a.own.example"),
        ],
        [visitor("staff", email="me@Own.Example")],
        media_ids=["5e12345678"], exclude_domains=["own.example"],
    )  # fmt: skip
    table = features_of(run)
    assert list(table.index) == ["guest", "sub"]
    assert table.loc["guest", "video_count"] == 1
    assert run.manifest().counts["left_out_sessions"] == 2


def test_the_columns_and_their_types_are_those_of_the_design(new_run):
    run = new_run([session("e1", "v", "0012345678", "2026-06-01T10:00:00", 0.2)])
    features_of(run)
    table = pd.read_parquet(run.data("features.parquet"))
    assert list(table.columns) == [
        "visitor_key", "name", "email", "identified", "location", "country", "video_count",
        "session_count", "avg_percent_watched", "avg_session_percent", "minutes_watched",
        "total_visits", "active_days", "first_seen", "last_active", "top_video",
    ]  # fmt: skip
    for column in ("video_count", "session_count", "total_visits", "active_days"):
        assert str(table[column].dtype) == "int64"
    for column in ("avg_percent_watched", "avg_session_percent", "minutes_watched"):
        assert str(table[column].dtype) == "float64"
    assert str(table["last_active"].dt.tz) == "UTC"
    assert table["identified"].dtype == bool
    assert table["top_video"][0] == "0012345678"


def test_no_session_in_the_window_gives_empty_tables_and_no_error(new_run):
    run = new_run([], [visitor("a")])
    assert features_of(run).empty
    assert run.manifest().counts["visitors_without_session"] == 1
    assert enrich.watch_times(run).count().sum() == 0
    assert enrich.completion(run)["sessions"].sum() == 0
    assert enrich.videos_per_viewer(run)["viewers"].sum() == 0
    assert cluster.assign(run)["viewers"].tolist() == [0, 0, 0, 0, 0]


def test_an_empty_store_is_a_clear_error(new_run, tmp_path):
    run = Run.open("02_enrich", source="sandbox")
    with pytest.raises(DataError, match="Nothing was fetched yet for account sandbox"):
        enrich.features(run)


def test_watch_times_follow_the_time_zone(new_run):
    run = new_run(
        [session("e1", "v", "m1", "2026-06-01T23:30:00", 0.2)], time_zone="Asia/Kolkata", min_cell=1
    )
    table = enrich.watch_times(run).fillna(0)
    assert table.loc["Tue", 5] == 1 and table.to_numpy().sum() == 1


def counted_by_hand(sessions: list[dict]) -> dict[str, dict]:
    """The design's words in plain Python, one row at a time."""
    best_rows: dict[str, dict] = {}
    for row in sorted(
        sessions,
        key=lambda r: (-r["percent_viewed"], r["received_at"], r["visitor_key"], r["media_id"]),
    ):
        best_rows.setdefault(row["event_key"], row)
    by_viewer = defaultdict(list)
    for row in best_rows.values():
        by_viewer[row["visitor_key"]].append(row)
    counted = {}
    for viewer, rows in by_viewer.items():
        videos = defaultdict(list)
        for row in rows:
            videos[row["media_id"]].append(row["percent_viewed"])
        times = sorted(row["received_at"] for row in rows)
        gaps = [b - a for a, b in zip(times, times[1:], strict=False)]
        percent = fsum(max(seen) for seen in videos.values()) / len(videos) * 100
        count = len(videos)
        if count >= 5 and percent >= 75:
            name = "binge_watchers"
        elif count >= 3 and percent >= 50:
            name = "engaged_explorers"
        elif count == 1 and percent < 30:
            name = "bouncers"
        elif count >= 2 and percent < 50:
            name = "skimmers"
        else:
            name = "casual_viewers"
        counted[viewer] = {
            "video_count": count,
            "session_count": len(rows),
            "avg_percent_watched": percent,
            "total_visits": 1 + sum(gap >= timedelta(minutes=30) for gap in gaps),
            "active_days": len({moment.date() for moment in times}),
            "top_video": min(videos, key=lambda m: (-len(videos[m]), -max(videos[m]), m)),
            "cluster": name,
        }
    return counted


rows = st.lists(
    st.builds(
        session,
        st.integers(0, 25).map("e{}".format),
        st.integers(0, 4).map("v{}".format),
        st.sampled_from(["5e12345678", "0012345678", "m3", "m4", "m5", "m6"]),
        st.integers(0, 3 * 24 * 12).map(
            lambda n: datetime(2026, 6, 1, tzinfo=UTC) + timedelta(minutes=5 * n)
        ),
        st.sampled_from([0.0, 0.1, 0.29, 0.3, 0.5, 0.75, 0.9, 1.0]),
    ),
    min_size=1,
    max_size=40,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sessions=rows)
def test_features_and_clusters_equal_an_independent_count(new_run, sessions):
    run = new_run(sessions)
    enrich.features(run)
    cluster.assign(run)
    found = pd.read_parquet(run.data("viewers.parquet")).set_index("visitor_key")
    expected = counted_by_hand(sessions)
    assert set(found.index) == set(expected)
    for viewer, row in expected.items():
        for column, value in row.items():
            assert found.loc[viewer, column] == pytest.approx(value), (viewer, column)
    counts = pd.Series([row["cluster"] for row in expected.values()]).value_counts()
    table = cluster.read_table(run)
    assert table["viewers"].to_dict() == {
        name: int(counts.get(name, 0)) for name in cluster.rules_of(run).names
    }


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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
