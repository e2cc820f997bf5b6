"""Affinity, next videos and sources, held against SciPy, statsmodels and counting by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from scipy.stats.contingency import relative_risk
from statsmodels.stats.weightstats import DescrStatsW

from helpers.findings import affinity
from helpers.store import rules
from tests.viewing import drawn, session, tables

TITLES = rules.load().titles


def ready(sessions, **more):
    con = tables(sessions, **more)
    affinity.prepare(con)
    return con


def crowd(counts):
    """Sessions of so many viewers for each (kind of viewing, video): b is a bounce, f a finish."""
    percent = {"b": 0.1, "f": 1.0}
    return [
        session(f"{kind}{video}{n}", video, percent[kind])
        for (kind, video), viewers in counts.items()
        for n in range(viewers)
    ]


def test_reach_lift_and_completion_are_those_counted_by_hand():
    con = ready(crowd({("b", "v1"): 30, ("b", "v2"): 10, ("f", "v1"): 20, ("f", "v2"): 40}))
    table = affinity.table(con).set_index(["cluster", "media_id"])
    cell = table.loc[("bouncers", "v1")]
    assert cell["viewers"] == 30
    assert cell["reach"] == 30 / 40
    assert cell["lift"] == pytest.approx((30 / 40) / (50 / 100))
    assert cell["avg_percent_watched"] == pytest.approx(10)
    assert table.loc[("casual_viewers", "v2"), "lift"] == pytest.approx((40 / 60) / (50 / 100))
    assert (cell["lift_low"] > 1) and (cell["q_value"] < 0.001)


def test_a_viewer_counts_once_for_a_video_with_the_best_session():
    again = [session(f"b{n}", "v1", percent) for n in range(12) for percent in (0.1, 0.2)]
    table = affinity.table(ready(again))
    assert table["viewers"].tolist() == [12]
    assert table["avg_percent_watched"].tolist() == pytest.approx([20])


def test_cells_under_min_cell_are_not_in_the_table_but_a_tie_with_it_is():
    con = ready(crowd({("b", "v1"): 10, ("b", "v2"): 9, ("f", "v1"): 30, ("f", "v2"): 30}))
    cells = set(affinity.table(con)[["cluster", "media_id"]].itertuples(index=False, name=None))
    assert ("bouncers", "v1") in cells
    assert ("bouncers", "v2") not in cells


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
def test_lift_agrees_with_scipys_risk_ratio_and_exact_test(a, b, c, d):
    found = affinity.lift([a], [a + b], [a + c], [a + b + c + d])
    risk = relative_risk(a, a + b, c, c + d)
    interval, part = risk.confidence_interval(0.95), (a + b) / (a + b + c + d)
    for end, ratio in (("low", interval.low), ("high", interval.high)):
        assert found[end][0] == pytest.approx(ratio / (part * ratio + 1 - part))
    assert found["low"][0] <= found["lift"][0] <= found["high"][0]
    tails = [fisher_exact([[a, b], [c, d]], side).pvalue for side in ("less", "greater")]
    assert found["p_value"][0] == pytest.approx(min(2 * min(tails), 1))


def test_lift_has_ends_where_nobody_else_watched_or_there_is_nobody_else():
    found = affinity.lift([10, 10], [20, 20], [10, 10], [50, 20])
    assert np.isfinite(found["low"]).all() and np.isfinite(found["high"]).all()
    assert found["low"][0] < found["lift"][0] == 2.5 <= found["high"][0]
    assert [found[key][1] for key in ("lift", "low", "high", "p_value")] == [1, 1, 1, 1]


def test_preference_tells_taste_from_watching_more_of_everything():
    # Binge watchers see v0 to v4 alike; everyone else sees one of them.
    binge = [session(f"a{n}", f"v{m}", 0.9, minutes=m) for n in range(40) for m in range(5)]
    one = [session(f"c{n}", f"v{n % 5}", 0.9) for n in range(100)]
    table = affinity.table(ready([*binge, *one])).set_index(["cluster", "media_id"])
    own = table.loc["binge_watchers"]
    assert (own["lift"] > 2).all()
    assert own["preference"].tolist() == pytest.approx([1] * 5)
    assert (own["preference_q"] > 0.5).all()


def test_videos_chosen_without_regard_to_cluster_stand_out_as_seldom_as_they_should():
    rng, alarms = np.random.default_rng(7), 0
    for _ in range(6):
        sessions = [
            session(f"c{n}", f"v{rng.integers(8)}", rng.choice([0.1, 0.9])) for n in range(200)
        ]
        alarms += (affinity.table(ready(sessions))["q_value"] < 0.05).any()
    assert alarms <= 2  # three of six have a chance of 0.2 % at a rate of 5 %


def one_after_the_other(viewers, *steps):
    return [
        session(f"a{n}", media, percent, minutes=minute)
        for n in range(viewers)
        for minute, (media, percent) in enumerate(steps)
    ]


def test_the_next_video_is_what_followed_a_finished_one_and_others_have_not_seen():
    follow = one_after_the_other(12, ("v1", 0.9), ("v2", 0.8), ("v3", 0.1), ("v4", 1.0))
    others = [session(f"e{n}", media, 0.6) for n in range(20) for media in ("x1", "x2", "x3")]
    found = affinity.next_videos(ready([*follow, *others]))
    # v2 and v3 followed a video watched to 75 % or more; v4 and x2 followed one that was left.
    assert found["cluster"].unique().tolist() == ["engaged_explorers"]
    assert found["media_id"].tolist() == ["v2", "v3"]
    assert found["followers"].tolist() == [12, 12]
    assert found["unseen"].tolist() == [20, 20]


def test_bouncers_get_what_all_viewers_watched_next():
    follow = one_after_the_other(12, ("v1", 0.9), ("v2", 0.9))
    bounce = [session(f"b{n}", "v1", 0.1) for n in range(20)]
    found = affinity.next_videos(ready([*follow, *bounce])).set_index("cluster")
    row = found.loc["bouncers"]
    assert (row["media_id"], row["followers"], row["unseen"]) == ("v2", 12, 20)
    assert not row["own"]


def test_no_next_video_is_recommended_where_all_have_seen_it_or_nobody_goes_on():
    follow = [session(f"a{n}", m, 0.9, minutes=t) for n in range(12) for t, m in enumerate("vw")]
    assert affinity.next_videos(ready(follow)).empty
    assert affinity.next_videos(ready(crowd({("f", "v1"): 50}))).empty


@pytest.mark.parametrize(
    ("seconds", "usual"), [(59.9, 66), (60, 56), (119, 56), (120, 50), (600, 39), (1200, 22)]
)
def test_usual_completion_goes_by_length(seconds, usual):
    assert affinity.usual_percent(pd.Series([seconds])) == [usual]


def test_completion_is_judged_against_length_with_the_interval_of_the_mean():
    rng = np.random.default_rng(3)
    percents = rng.uniform(0.7, 1, 40)
    sessions = [session(f"c{n}", "v1", percent) for n, percent in enumerate(percents)]
    sessions += [session(f"d{n}", "v2", 0.1) for n in range(20)]
    sessions += [session(f"e{n}", "v3", 0.5) for n in range(20)]
    medias = [{"media_id": "v1", "name": "Long", "duration": 1500.0},
              {"media_id": "v2", "name": "Short", "duration": 30.0}]  # fmt: skip
    found = affinity.videos(ready(sessions, medias=medias)).set_index("media_id")
    low, high = DescrStatsW(percents * 100).tconfint_mean()
    assert found.loc["v1", ["low", "high"]].tolist() == pytest.approx([low, high])
    assert found["verdict"].to_dict() == {
        "v1": "above", "v2": "below", "v3": "length not known"
    }  # fmt: skip


def test_sources_name_the_link_that_brought_the_bouncers():
    sessions = [session(f"b{n}", "v1", 0.1, page="acme.example/ad") for n in range(40)]
    sessions += [session(f"b{n}", "v1", 0.1, day=1, page="acme.example/docs") for n in range(40)]
    sessions += [session(f"c{n}", "v1", 0.9, page="acme.example/docs") for n in range(40)]
    sessions += [session(f"d{n}", "v1", 0.9, page="acme.example/rare") for n in range(5)]
    found = affinity.sources(ready(sessions), TITLES)
    # A viewer came by the first page; what was seen later brought nobody.
    assert found["rows"][0]["value"] == "acme.example/ad"
    assert found["rows"][0]["viewers"] == 40
    assert found["finding"].startswith("Bouncers come 2.1 times as often as all viewers from")
    assert "rare" not in str(found)


def test_folders_count_a_viewer_once():
    sessions = [session(f"a{n}", m, 0.9) for n in range(15) for m in ("v1", "v2")]
    medias = [{"media_id": m, "name": m, "duration": 60.0, "folder": "Demos"} for m in ("v1", "v2")]
    con = ready(sessions, medias=medias)
    found = affinity.content(con, affinity.cells(con, "affinity"), TITLES)
    (row,) = found["more"]["folders"]["rows"]
    assert (row["title"], row["viewers"], row["reach"]) == ("Demos", 15, 1.0)


def test_a_video_without_a_name_is_called_by_its_sessions_else_by_its_id():
    sessions = [session(f"a{n}", "v1", 0.9) for n in range(12)]
    sessions += [session(f"a{n}", "v2", 0.9, media_name=None) for n in range(12)]
    table = affinity.table(ready(sessions)).set_index("media_id")
    assert table["title"].to_dict() == {"v1": "Video v1", "v2": "v2"}


def test_nothing_watched_gives_empty_tables_and_sentences():
    con = ready([])
    assert affinity.table(con).empty
    found = affinity.content(con, affinity.cells(con, "affinity"), TITLES)
    assert "No video has enough viewers" in found["finding"]
    assert "No page" in affinity.sources(con, TITLES)["finding"]


def test_a_planted_favourite_is_found_among_known_kinds():
    frame, labels = drawn(800, np.random.default_rng(5))
    skimmers = labels.index[labels == "skimmers"][:120]
    extra = pd.concat([frame.iloc[:0], pd.DataFrame(
        [session(key, "planted", 0.2, event_key=f"x{key}") for key in skimmers]
    )])  # fmt: skip
    table = affinity.table(ready(pd.concat([frame, extra], ignore_index=True)))
    best = table.sort_values("preference_low", ascending=False).iloc[0]
    assert (best["cluster"], best["media_id"]) == ("skimmers", "planted")
    assert best["preference_q"] < 0.001


def test_the_video_of_the_finding_is_told_by_its_id():
    sessions = [session(f"b{n}", "ad", 0.1) for n in range(40)]
    sessions += [session(f"c{n}", "talk", 0.9) for n in range(400)]
    con = ready(sessions)
    found = affinity.content(con, affinity.cells(con, "affinity"), TITLES)
    assert found["finding"].startswith("Bouncers stand out for “Video ad”")
    assert found["figures"]["stands_out"] == "ad"
