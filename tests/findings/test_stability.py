"""How stable the labels are, held against drawing by hand and against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from helpers.findings import affinity, stability
from helpers.store import rules
from tests.viewing import drawn, session, tables

RULES = rules.load()


def ready(sessions):
    con = tables(sessions)
    affinity.prepare(con)
    return con


def test_a_viewer_who_always_does_the_same_keeps_the_label():
    con = ready([session("a", "v1", 0.1, minutes=n) for n in range(6)])
    (row,) = stability.resample(con, RULES).itertuples()
    assert (row.cluster, row.kept, row.half_a, row.half_b) == (
        "bouncers",
        1,
        "bouncers",
        "bouncers",
    )


def test_the_share_of_draws_that_keep_the_label_is_what_chance_gives():
    # Two videos at 40 %: a skimmer while both are drawn, half of the time; else casual.
    con = ready([session(f"a{n}", f"v{m}", 0.4, minutes=m) for n in range(200) for m in range(2)])
    found = stability.resample(con, RULES, draws=40)
    assert len(found) == 200
    assert found["kept"].mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / (200 * 40)))
    assert set(found["half_a"]) == {"casual_viewers"}


def test_drawing_again_takes_as_many_sessions_as_there_are_and_repeats_by_seed():
    frame, _ = drawn(80, np.random.default_rng(1))
    con = ready(frame)
    first, again = (stability.resample(con, RULES, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(stability.resample(con, RULES, seed=4))


def test_viewers_with_one_session_are_counted_and_not_judged():
    con = ready([session(f"b{n}", "v1", 0.1) for n in range(40)])
    assert stability.resample(con, RULES).empty
    found = stability.stability(con, RULES)
    assert found["finding"] == "Labels cannot be tested: all 40 viewers have one session each."
    assert found["figures"]["split_half"]["agree"] is None


def test_rules_on_what_is_known_of_a_viewer_hold_in_every_draw():
    con = tables(
        [session("a", "v1", 0.4, minutes=n) for n in range(4)],
        visitors=[{"visitor_key": "a", "email": "ann@acme.example"}],
        chosen=(own := rules.parse(
            "clusters:\n  - name: known\n    when: identified\n  - name: others\n")),
    )  # fmt: skip
    affinity.prepare(con)
    assert stability.resample(con, own)["kept"].tolist() == [1]


def test_only_so_many_viewers_of_a_cluster_are_drawn():
    frame, _ = drawn(300, np.random.default_rng(2))
    found = stability.resample(ready(frame), RULES, per_cluster=25, draws=2)
    assert found["cluster"].value_counts().max() == 25


def test_the_interval_of_kept_labels_is_students():
    labels = pd.DataFrame({"cluster": ["a"] * 5 + ["b"], "kept": [1, 0.8, 0.9, 0.7, 1, 0.5]})
    found = stability.kept(labels, ["a", "b", "c"]).set_index("cluster")
    values = np.array([1, 0.8, 0.9, 0.7, 1])
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert found.loc["a", "kept_low"] == pytest.approx(low)
    assert found.loc["a", "kept_high"] == pytest.approx(min(high, 1))
    assert found["resampled"].tolist() == [5, 1, 0]
    assert np.isnan(found.loc["b", "kept_low"]) and np.isnan(found.loc["c", "kept"])


def test_split_half_agreement_counts_each_cluster_by_its_size():
    labels = pd.DataFrame({"cluster": list("aabb"), "half_a": list("xxyy"), "half_b": list("xxyz")})
    found = stability.agreement(labels, pd.Series({"a": 30, "b": 10}))
    assert found["agree"] == pytest.approx(0.75 * 1 + 0.25 * 0.5)
    weights = [3 / 8, 3 / 8, 1 / 8, 1 / 8]
    kappa = cohen_kappa_score(labels["half_a"], labels["half_b"], sample_weight=weights)
    assert found["kappa"] == pytest.approx(kappa)


def test_each_threshold_moves_by_one_step_either_way():
    sessions = []
    for viewer, videos, percent in [("a", 5, 0.9), ("b", 4, 0.9), ("c", 6, 0.72), ("d", 1, 0.33),
                                    ("e", 1, 0.27), ("f", 1, 0.9)]:  # fmt: skip
        sessions += [session(viewer, f"v{n}", percent) for n in range(videos)]
    found = stability.sensitivity(tables(sessions), RULES)
    rows = found.set_index(["cluster", "column"])[["lowered", "raised"]]
    # b joins the binge watchers at 4 videos, a leaves them at 6; c joins them at 70 %.
    assert rows.loc[("binge_watchers", "video_count")].tolist() == [1, 1]
    assert rows.loc[("binge_watchers", "avg_percent_watched")].tolist() == [1, 0]
    # e is a bouncer no more at 25 %, d becomes one at 35 %.
    assert rows.loc[("bouncers", "avg_percent_watched")].tolist() == [1, 1]
    assert ("bouncers", "video_count") not in rows.index  # an equality is no threshold
    assert found.attrs["borderline"] == 5


def test_the_two_ends_of_a_range_are_moved_one_at_a_time():
    own = rules.parse(
        "clusters:\n  - name: some\n    when: video_count >= 3 AND video_count < 6\n"
        "  - name: others\n"
    )
    sessions = [session(f"a{n}", f"v{m}", 0.5) for n in range(2, 8) for m in range(n)]
    found = stability.sensitivity(tables(sessions, chosen=own), own)
    assert found[["value", "lowered", "raised"]].to_numpy().tolist() == [[3, 1, 1], [6, 1, 1]]
    moved = own.replace("some", "video_count", 9, was=6)
    assert moved.clusters[0].when == "video_count >= 3 AND video_count < 9"


def test_stable_kinds_keep_their_labels_and_mixed_ones_do_not():
    firm = {"binge_watchers": (20, 5, 0.95, 0.01)}
    loose = {"binge_watchers": (5, 0, 0.76, 0.1)}
    kept = []
    for kinds in (firm, loose):
        frame, _ = drawn(60, np.random.default_rng(3), kinds=kinds)
        found = stability.resample(ready(frame), RULES)
        kept.append(found[found["cluster"] == "binge_watchers"]["kept"].mean())
    assert kept[0] > 0.99
    assert kept[1] < 0.3


def test_small_clusters_are_marked_and_visits_counted():
    sessions = [session(f"b{n}", "v1", 0.1) for n in range(50)]
    sessions += [session(f"c{n}", "v1", 0.9, day=d) for n in range(20) for d in (0, 1)]
    found = stability.stability(ready(sessions), RULES)
    marks = {row["cluster"]: row["too_few"] for row in found["rows"]}
    assert marks["casual_viewers"] and not marks["bouncers"] and not marks["skimmers"]
    assert found["more"]["visits"]["finding"] == "50 viewers came once and 20 came again."


def test_a_cluster_of_which_few_could_be_drawn_again_is_marked():
    sessions = [session(f"b{n}", "v1", 0.1) for n in range(50)]
    sessions += [session(f"b{n}", "v1", 0.1, day=1) for n in range(29)]
    assert stability.stability(ready(sessions), RULES)["rows"][2]["too_few"]
    sessions.append(session("b29", "v1", 0.1, day=1))
    assert not stability.stability(ready(sessions), RULES)["rows"][2]["too_few"]


def test_no_viewers_is_no_error():
    assert "no viewers" in stability.stability(ready([]), RULES)["finding"]
