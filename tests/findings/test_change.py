"""A planted change is told, no change is not, and changed settings are told apart from it."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, norm
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from helpers.core.parameters import Window
from helpers.findings import change
from helpers.findings.change import JOINED, LEFT
from helpers.store import rules
from tests.viewing import drawn, frame_of, session, tables, window

RULES = rules.load()
NAMES = RULES.names
PARAMS = {"media_ids": [], "exclude_domains": [], "min_cell": 1}
MAY = Window(date(2026, 5, 4), date(2026, 5, 31), date(2026, 6, 1))


def matrix(moves, names=("a", "b")):
    table = pd.DataFrame(0, index=[*names, JOINED], columns=[*names, LEFT])
    for (before, after), count in moves.items():
        table.loc[before, after] = count
    return table


def test_without_shared_viewers_the_interval_is_newcombes():
    table = matrix({("a", LEFT): 30, ("b", LEFT): 70, (JOINED, "a"): 60, (JOINED, "b"): 90})
    found = change.differences(table).set_index("cluster").loc["a"]
    low, high = confint_proportions_2indep(60, 150, 30, 100, compare="diff", method="newcomb")
    assert found["difference"] == pytest.approx(60 / 150 - 30 / 100)
    assert (found["low"], found["high"]) == pytest.approx((low, high))


def test_with_the_same_viewers_it_is_newcombes_paired_interval_and_the_test_is_mcnemars():
    table = matrix({("a", "a"): 40, ("a", "b"): 10, ("b", "a"): 30, ("b", "b"): 70})
    found = change.differences(table).set_index("cluster").loc["a"]
    n, (l1, u1), (l2, u2) = 150, proportion_confint(50, 150, method="wilson"), proportion_confint(
        70, 150, method="wilson"
    )  # fmt: skip
    phi = (40 * 70 - 10 * 30) / np.sqrt(50 * 100 * 70 * 80)
    p, q = 50 / n, 70 / n
    low = q - p - np.sqrt((q - l2) ** 2 - 2 * phi * (q - l2) * (u1 - p) + (u1 - p) ** 2)
    high = q - p + np.sqrt((u2 - q) ** 2 - 2 * phi * (u2 - q) * (p - l1) + (p - l1) ** 2)
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    wald = (30 - 10) / np.sqrt(30 + 10 - (30 - 10) ** 2 / n)  # McNemar's, with its own variance
    assert found["p_value"] == pytest.approx(2 * norm.sf(wald))


def test_the_variance_of_overlapping_groups_is_that_of_drawing_viewers_again():
    rng = np.random.default_rng(2)
    kinds = [(x, y) for x in "ab" for y in ("a", "b", LEFT)] + [(JOINED, x) for x in "ab"]
    shares = np.array([0.2, 0.05, 0.1, 0.05, 0.3, 0.1, 0.08, 0.12])
    found = [
        change.differences(matrix(dict(zip(kinds, rng.multinomial(600, shares), strict=True))))
        for _ in range(80)
    ]
    values = np.array([frame["difference"][0] for frame in found])
    widths = np.array([frame["high"][0] - frame["low"][0] for frame in found])
    assert widths.mean() / (2 * 1.96) == pytest.approx(values.std(), rel=0.25)


def test_nobody_before_or_after_gives_no_verdict():
    for table in (matrix({(JOINED, "a"): 5}), matrix({("a", LEFT): 5}), matrix({})):
        found = change.differences(table)
        assert not found["changed"].any()
        assert found["difference"].isna().all()


def test_who_joined_left_and_moved_is_counted():
    after = [session("stays", "v1", 0.1), session("moves", "v1", 0.9), session("joins", "v1", 0.9)]
    con = tables(after)
    con.execute(
        "CREATE TABLE old AS SELECT unnest(['stays', 'leaves', 'moves']) AS visitor_key, "
        "'bouncers' AS cluster"
    )
    found = change.migration(con, "old", "viewers", NAMES)
    assert found.loc["bouncers", ["bouncers", "casual_viewers", LEFT]].tolist() == [1, 1, 1]
    assert found.loc[JOINED, "casual_viewers"] == 1
    assert found.to_numpy().sum() == 4


def shifted(frame, days):
    return frame.assign(received_at=frame["received_at"] + pd.Timedelta(days=days))


def two_periods(seed, shares_before, shares_after, viewers=600):
    rng = np.random.default_rng(seed)
    before, _ = drawn(viewers, rng, shares=shares_before, prefix="p")
    after, _ = drawn(viewers, rng, shares=shares_after, prefix="q")
    return tables(after, earlier=shifted(before, -28))


def test_a_planted_change_is_reported_with_its_size():
    con = two_periods(1, [0.1, 0.3, 0.4, 0.2], [0.25, 0.3, 0.25, 0.2])
    found = change.against_period(con, window(), RULES, min_cell=1)
    rows = {row["cluster"]: row for row in found["rows"]}
    assert rows["binge_watchers"]["changed"] and rows["bouncers"]["changed"]
    assert not rows["skimmers"]["changed"]
    assert rows["binge_watchers"]["low"] < 0.15 < rows["binge_watchers"]["high"]
    assert "since 2026-05-31" in found["finding"]
    assert found["figures"]["joined"] == found["figures"]["left"] == 600


def test_an_unchanged_population_raises_alarms_at_the_nominal_rate():
    # Four clusters, a third of the viewers in both periods and half of those in another cluster.
    rng, names, alarms, tries = np.random.default_rng(5), list("abcd"), 0, 100
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    both = 0.5 * np.diag(shares) + 0.5 * np.outer(shares, shares)
    cells = [(x, y) for x in names for y in names]
    cells += [(x, LEFT) for x in names] + [(JOINED, x) for x in names]
    weights = np.concatenate([both.ravel(), shares, shares]) / 3
    for _ in range(tries):
        counts = rng.multinomial(900, weights)
        table = matrix(dict(zip(cells, counts, strict=True)), names)
        alarms += change.differences(table)["changed"].any()
    assert binomtest(int(alarms), tries, 0.05).pvalue > 0.01


def test_without_an_earlier_period_the_halves_of_the_window_are_compared():
    frame, _ = drawn(200, np.random.default_rng(3))
    found = change.against_period(tables(frame), window(), RULES)
    assert found["figures"]["what"] == "the two halves of the window"
    assert "2026-06-01 to 2026-06-14 and 2026-06-15 to 2026-06-28" in found["note"]


def test_one_day_of_sessions_has_no_earlier_period():
    con = tables([session("a", day=27)])
    assert change.periods(con, window()) is None
    assert "no earlier period" in change.against_period(con, window(), RULES)["finding"]


def test_videos_and_people_left_out_stay_out_of_the_earlier_period():
    earlier = [session("a", "v1", day=-9), session("b", "v2", day=-9), session("c", "v1", day=-9),
               session("d", "v1", day=-9, email="x@Own.example ")]  # fmt: skip
    con = tables([session("a")], earlier=earlier)
    con.execute("SET VARIABLE media_ids = ['v1']::VARCHAR[]")
    con.execute("SET VARIABLE exclude_domains = ['own.example']::VARCHAR[]")
    con.execute("INSERT INTO excluded_visitors VALUES ('c')")
    change.period_viewers(con, "old", MAY.start, MAY.end, RULES)
    assert con.execute("SELECT visitor_key FROM old").fetchall() == [("a",)]


def earlier_run(folder, con, rules_then=RULES, sessions="before", **params):
    """viewers.parquet and run.json of an earlier run over the sessions of a table."""
    from helpers.findings.section import features

    path = folder / "2026-06-01" / "data" / "viewers.parquet"
    path.parent.mkdir(parents=True)
    features(con, sessions, "past", f"*, {rules_then.case_sql()} AS cluster")
    con.execute(f"COPY past TO '{path}' (FORMAT parquet)")
    return path, {"window": MAY.as_dict(), "parameters": params}


def against(con, found, now=None):
    return change.against_run(con, *found, now or window(), RULES, PARAMS)


def test_changed_thresholds_are_no_change_of_viewers(tmp_path):
    frame, _ = drawn(500, np.random.default_rng(4))
    con = tables(frame, earlier=shifted(frame, -28))
    looser = RULES.replace("binge_watchers", "avg_percent_watched", 55)
    found = against(con, earlier_run(tmp_path, con, looser))
    assert not any(row["changed"] for row in found["rows"])
    assert found["figures"]["rules_changed"] and found["figures"]["moved_by_rules"] > 20
    assert "The rules differ" in found["note"]
    count = found["figures"]["moved_by_rules"]
    assert found["finding"].startswith(
        f"The rules ({count} viewers would be named otherwise) changed since run "
        f"{found['figures']['run']}. With today's for both: Nothing has changed among"
    )
    assert found["more"]["causes"]["figures"]["settings_differ"]
    cause = next(r for r in found["more"]["causes"]["rows"] if r["cluster"] == "binge_watchers")
    assert cause["by_rules"] < -0.02
    assert cause["by_viewers"] == cause["by_settings"] == 0
    steps = cause["by_rules"] + cause["by_settings"] + cause["by_viewers"]
    assert cause["reported"] + steps == pytest.approx(cause["now"])


def test_a_longer_window_is_no_change_of_viewers(tmp_path):
    frame, _ = drawn(500, np.random.default_rng(6), days=28)
    con = tables(frame, earlier=shifted(frame, -28))
    con.execute("CREATE TABLE last_week AS FROM before WHERE day > DATE '2026-05-24'")
    path, manifest = earlier_run(tmp_path, con, sessions="last_week")
    manifest["window"] = replace(MAY, start=date(2026, 5, 25)).as_dict()
    found = against(con, (path, manifest))
    assert not any(row["changed"] for row in found["rows"])
    assert found["figures"]["settings_changed"] == ["window of 7 and 28 days"]
    assert found["figures"]["comparable"]
    assert max(abs(r["by_settings"]) for r in found["more"]["causes"]["rows"]) > 0.02


def test_a_window_the_store_does_not_reach_is_said_to_be_not_comparable(tmp_path):
    frame, _ = drawn(300, np.random.default_rng(8), days=7)
    con = tables(frame, earlier=shifted(frame, -7))
    path, manifest = earlier_run(tmp_path, con)
    manifest["window"] = replace(MAY, start=date(2026, 5, 25)).as_dict()
    found = against(con, (path, manifest), now=window(last=date(2026, 6, 28)))
    assert not found["figures"]["comparable"]
    assert "does not reach back" in found["note"]
    assert found["finding"] == "Run 2026-06-01 is not comparable: window of 7 and 28 days."
    assert not any(row["changed"] for row in found["rows"])


def test_a_changed_choice_of_videos_is_named(tmp_path):
    frame, _ = drawn(300, np.random.default_rng(9))
    con = tables(frame, earlier=shifted(frame, -28))
    found = against(con, earlier_run(tmp_path, con, media_ids=["v1"]))
    assert found["figures"]["settings_changed"] == ["media_ids"]
    assert found["more"]["causes"]["finding"].startswith("Part of the difference")


def test_a_real_change_since_the_run_before_is_told(tmp_path):
    con = two_periods(11, [0.1, 0.3, 0.4, 0.2], [0.3, 0.3, 0.2, 0.2])
    found = against(con, earlier_run(tmp_path, con))
    assert "since run 2026-06-01" in found["finding"]
    assert "difference is the viewers' own" in found["more"]["causes"]["finding"]


def test_small_cells_of_the_migration_are_hidden():
    con = two_periods(12, None, None, viewers=60)
    found = change.against_period(con, window(), RULES, min_cell=40)
    shown = [value for row in found["more"]["migration"]["rows"] for value in row.values()
             if isinstance(value, int)]  # fmt: skip
    assert all(value == 0 or value >= 40 for value in shown)


def test_no_sessions_at_all_is_no_error():
    found = change.against_period(tables(frame_of([])), window(), RULES)
    assert "no earlier period" in found["finding"]
