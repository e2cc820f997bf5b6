"""Known kinds are found, noise holds none, and the finishers the rules miss are counted."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import adjusted_rand_score

from helpers.findings import affinity, discovery
from helpers.store import rules
from tests.viewing import drawn, session, tables

RULES = rules.load()


def ready(sessions, **more):
    con = tables(sessions, **more)
    affinity.prepare(con)
    return con


def viewers_of(count, who, best, visits=None):
    """The frame that :func:`discovery.sample` gives, of viewers with so many videos."""
    grouped = pd.Series(best).groupby(who)
    total = grouped.sum().to_numpy()
    return pd.DataFrame(
        {
            "videos": count, "visits": count if visits is None else visits, "sessions": count,
            "percent": total / count * 100, "total": total,
            "spread": grouped.var(ddof=0).to_numpy() * count,
        }
    )  # fmt: skip


def noise(viewers, rng, mean=3.0):
    """One population: heavy-tailed counts, and U-shaped sessions that are nobody's own."""
    count = rng.geometric(1 / mean, viewers)
    who = np.repeat(np.arange(viewers), count)
    visits = 1 + rng.binomial(count - 1, 0.7)
    return viewers_of(count, who, rng.beta(0.5, 0.5, len(who)), visits)


def test_known_kinds_are_found_again_and_agree_with_the_rules():
    frame, labels = drawn(600, np.random.default_rng(21))
    found = discovery.discovery(ready(frame), RULES)
    assert found["figures"]["clusters_found"] == 4
    assert found["figures"]["adjusted_rand"] > 0.95
    assert all(row["band"] == "highly stable" for row in found["rows"])
    assert sum(row["viewers"] for row in found["rows"]) == len(labels)


def test_noise_holds_no_clusters():
    counts = []
    for seed in range(8):
        x = discovery.points(noise(500, np.random.default_rng(100 + seed)), seed=seed)
        counts.append(discovery.find(x, seed=seed)[0].max() + 1)
    assert counts.count(1) >= 7


def test_data_drawn_with_the_seed_of_the_search_make_no_clusters():
    for seed in range(4):
        x = discovery.points(noise(500, np.random.default_rng(seed)), seed=seed)
        assert discovery.find(x, seed=seed)[0].max() == 0


def test_ad_traffic_says_that_one_session_tells_too_little():
    rng = np.random.default_rng(4)
    sessions = [session(f"a{n}", "v1", p) for n, p in enumerate(rng.beta(0.4, 0.4, 300))]
    sessions += [session(f"a{n}", "v2", 0.5) for n in range(12)]
    found = discovery.discovery(ready(sessions), RULES)
    assert found["finding"].startswith("The data show no clusters of their own: 96")
    assert found["figures"]["clusters_found"] == 0
    assert found["rows"] == []


def test_a_handful_of_viewers_is_not_searched():
    found = discovery.discovery(ready([session("a")]), RULES)
    assert found["finding"] == "No clusters were looked for: 1 viewer, under 100."


def test_the_reliability_of_completion_is_that_of_a_one_way_analysis_of_variance():
    rng = np.random.default_rng(6)
    groups = [rng.normal(centre, 0.2, 4) for centre in rng.normal(0.5, 0.2, 30)]
    who = np.repeat(np.arange(30), 4)
    intraclass, p_value = discovery.reliability(
        viewers_of(np.full(30, 4), who, np.concatenate(groups))
    )
    exact = stats.f_oneway(*groups)
    assert p_value == pytest.approx(exact.pvalue)
    # For equal groups of 4 the coefficient is (F - 1) / (F + 3).
    assert intraclass == pytest.approx((exact.statistic - 1) / (exact.statistic + 3))


def test_completion_is_left_out_where_only_sessions_differ():
    x = discovery.points(noise(400, np.random.default_rng(1)))
    assert x.shape == (400, 2)


@pytest.mark.parametrize(("centres", "two"), [((0, 5), True), ((0, 0), False), ((0, 1.5), False)])
def test_two_modes_are_told_from_one(centres, two):
    rng = np.random.default_rng(8)
    values = np.concatenate([rng.normal(centre, 1, 300) for centre in centres])
    assert discovery.two_modes(values) is two


def test_even_values_have_one_mode():
    assert not discovery.two_modes(np.ones(50))
    flat = [np.random.default_rng(seed).uniform(size=500) for seed in range(20)]
    assert sum(map(discovery.two_modes, flat)) <= 3


def test_bootstrap_jaccard_is_near_one_for_far_clusters_and_low_for_an_arbitrary_cut():
    rng = np.random.default_rng(9)
    far = np.concatenate([rng.normal(0, 1, (150, 2)), rng.normal(20, 1, (150, 2))])
    assert discovery.bootstrap_jaccard(far, np.repeat([0, 1], 150)).min() > 0.99
    ball = rng.normal(0, 1, (300, 2))
    cut = np.array(pd.qcut(ball[:, 0], 5, labels=False))
    assert discovery.bootstrap_jaccard(ball, cut).min() < 0.6


BANDS = {0.59: "unstable", 0.6: "doubtful", 0.75: "stable", 0.85: "highly stable"}


@pytest.mark.parametrize(("jaccard", "word"), BANDS.items())
def test_bands_are_hennigs(jaccard, word):
    assert discovery.band(jaccard) == word


def test_the_rand_index_is_scikit_learns_over_the_rules_labels():
    frame, _ = drawn(400, np.random.default_rng(12))
    con = ready(frame)
    viewers = discovery.sample(con)
    labels, _ = discovery.find(discovery.points(viewers))
    expected = adjusted_rand_score(viewers["cluster"], labels)
    found = discovery.discovery(con, RULES)
    assert found["figures"]["adjusted_rand"] == pytest.approx(expected)


def test_the_sample_is_bounded_and_repeats_by_seed():
    frame, _ = drawn(200, np.random.default_rng(13))
    con = ready(frame)
    one, again = (discovery.sample(con, seed=1, most=50) for _ in range(2))
    assert len(one) == 50
    pd.testing.assert_frame_equal(one, again)
    assert not one.equals(discovery.sample(con, seed=2, most=50))


FINISHERS = [session(f"f{n}", "v1", 0.95) for n in range(20)]
OTHERS = [session(f"c{n}", "v1", 0.5) for n in range(30)] + [session("d", "v1", 0.1)]


def test_one_and_done_finishers_in_the_rest_are_counted():
    con = ready([*FINISHERS, *OTHERS], visitors=[
        {"visitor_key": f"f{n}", "email": f"f{n}@x.example"} for n in range(12)
    ])  # fmt: skip
    found = discovery.finishers(con, RULES)
    assert (found["viewers"], found["of"], found["identified"]) == (20, 50, 12)
    exact = stats.binomtest(20, 50).proportion_ci(method="wilson")
    assert (found["low"], found["high"]) == pytest.approx((exact.low, exact.high))
    text = discovery.discovery(con, RULES)["more"]["finishers"]["finding"]
    assert "20 viewers of 50 Casual Viewers (40\u00a0%) watched one video to the end; 12" in text


def test_a_few_finishers_are_not_counted_out():
    found = discovery.discovery(ready([*FINISHERS[:4], *OTHERS]), RULES)["more"]["finishers"]
    assert found["finding"] == "Under 10 of 34 Casual Viewers watched one video to the end."
    assert found["rows"][0]["viewers"] is None


def test_the_ready_clusters_file_gives_finishers_a_cluster_and_changes_nothing_else():
    own = rules.parse(discovery.clusters_file(RULES))
    assert own.names == [*RULES.names[:-1], discovery.FINISHERS, RULES.names[-1]]
    assert [c.when for c in own.clusters[:4]] == [c.when for c in RULES.clusters[:4]]
    assert [c.description for c in own.clusters[:4]] == [c.description for c in RULES.clusters[:4]]
    con = tables([*FINISHERS, *OTHERS], chosen=own)
    counts = con.execute("SELECT cluster, count(*) FROM viewers GROUP BY 1").fetchall()
    assert dict(counts) == {discovery.FINISHERS: 20, "casual_viewers": 30, "bouncers": 1}
    affinity.prepare(con)
    assert discovery.finishers(con, own)["viewers"] == 0
    assert rules.parse(discovery.clusters_file(own)).names == own.names
