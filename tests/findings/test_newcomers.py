"""Newcomers of two periods: a planted change is found, campaigns and longer histories are none."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from viewing import drawn, session, table_of, tables, window

from helpers.findings import newcomers
from helpers.store import rules

RULES = rules.load()


FALL = np.array([4, 4, 3, 3, 2, 2, 1, 1, 0, 0])  # of ten viewers a day, on ten days


def by_day(share):
    return pd.DataFrame({"a": share, "b": 10 - share}, dtype=float)


def test_the_variance_is_that_of_days_set_against_each_other():
    # Both groups fall from 40 % to 0 alike, which is no variance.
    more = by_day(FALL + np.array([6, 0] * 5))
    found = newcomers.compare_shares(by_day(FALL), more).loc["a"]
    error = np.sqrt(10 * (0.03 / 0.9) ** 2)  # each pair differs by 0.03 of all from the mean of 0.3
    margin = t.isf(0.05 / 2 / 2, 9)
    assert found["difference"] == pytest.approx(0.3)
    assert found["p_value"] == pytest.approx(2 * t.sf(0.3 / error, 9))
    assert found["low"] == pytest.approx(0.3 - margin * error)
    assert found["detectable"] == pytest.approx((margin + t.isf(0.2, 9)) * error)
    assert found["q_value"] == pytest.approx(2 * found["p_value"])  # of two clusters
    # And it is at least that of viewers one by one.
    found = newcomers.compare_shares(by_day(FALL), by_day(FALL)).loc["a"]
    assert found["high"] == pytest.approx(t.isf(0.0125, 9) * np.sqrt(0.2 * 0.8 * (0.01 + 0.01)))
    # Days on which only one of the groups came stand alone.
    later = by_day(FALL).set_axis(range(10, 20))
    found = newcomers.compare_shares(by_day(FALL), later).loc["a"]
    squares = ((FALL - 2) ** 2).sum() * (0.01 / 0.9) ** 2
    assert found["high"] == pytest.approx(t.isf(0.0125, 19) * np.sqrt(2 * squares))


def compare(before, after, *, first=date(2026, 1, 1), end_then=date(2026, 5, 31)):
    """Newcomers of the 28 days before, and those of now."""
    shifted = before.assign(received_at=before["received_at"] - pd.Timedelta(days=28))
    engine, now = tables(after, earlier=shifted), window(first)
    return newcomers.compare_newcomers(engine, RULES, now, end_then, min_cell=10)


def two_groups(seed, shares_then, shares_now, viewers=600):
    """Viewers who come on any of 28 days and do on that day what they do."""
    rng, groups = np.random.default_rng(seed), []
    for prefix, shares in (("p", shares_then), ("q", shares_now)):
        frame, kinds = drawn(viewers, rng, shares=shares, prefix=prefix, days=1)
        days = pd.Series(rng.integers(0, 28, viewers), index=kinds.index)
        late = pd.to_timedelta(frame["visitor_key"].map(days), unit="D")
        groups.append(frame.assign(received_at=frame["received_at"] + late))
    return groups


def test_a_planted_change_is_told_with_its_size_and_its_interval():
    found = compare(*two_groups(1, [0.1, 0.3, 0.4, 0.2], [0.25, 0.3, 0.25, 0.2]))
    rows = found.table.set_index("cluster")
    assert set(rows.index[rows["q_value"] < 0.05]) == {"binge_watchers", "bouncers"}
    row = rows.loc["binge_watchers"]
    assert row["low"] < 0.15 < row["high"] and row["low"] > 0
    assert (row["low"] * 100) % 1 == pytest.approx(0, abs=1e-9)
    assert row["viewers_then"] % 5 == 0
    assert found.finding.endswith(" of newcomers; 2 of 4 clusters compared changed.")


def test_no_change_says_what_would_have_been_seen():
    found = compare(*two_groups(3, [0.1, 0.3, 0.4, 0.2], [0.1, 0.3, 0.4, 0.2], viewers=150))
    assert (found.table["q_value"].fillna(1) >= 0.05).all()
    points = round(found.table["detectable"].max() * 100)
    assert 10 <= points <= 25
    assert found.finding.startswith("No clear change in the clusters of newcomers: ")
    assert f": {points} points or more would most likely have been seen." in found.finding
    assert "the 28 days to 2026-05-31 and those to 2026-06-28" in found.note
    found = compare(*two_groups(3, [0, 0, 1, 0], [0, 0, 1, 0], viewers=150))
    assert "are in one cluster" in found.finding and found.table["detectable"].isna().all()


def test_what_is_shown_follows_from_published_counts_and_limits_are_rounded_outwards():
    columns = ["viewers_then", "viewers_now", "low", "high", "detectable", "q_value", "p_value"]
    compared = pd.DataFrame([[62, 93, 0.051, 0.252, 0.101, 0.01234, 0.01]], columns=columns)
    table = newcomers._publish_shares(compared.rename_axis("cluster"), [202, 203], 10)
    shown = {"viewers_then": 60, "viewers_now": 95, "share_then": 60 / 200, "share_now": 95 / 205}
    shown |= {"difference": 95 / 205 - 0.3, "low": 0.05, "high": 0.26, "detectable": 0.11}
    assert table[[*shown, "q_value"]].iloc[0].tolist() == pytest.approx([*shown.values(), 0.012])
    alone = compared.assign(viewers_then=203).rename_axis("cluster")  # no reader knows of 203
    assert newcomers._publish_shares(alone, [203, 203], 10)["viewers_then"].tolist() == [205]


def test_newcomers_whom_subtraction_would_tell_are_hidden_with_all_others():
    # 10 is 10 to 12: of 31, so many a time three, one is left.
    then, now = ({name: [count] for name, count in zip("abcd", counts, strict=True)}
                 for counts in ((10, 10, 10, 1), (20, 20, 20, 40)))  # fmt: skip
    compared = newcomers.compare_shares(pd.DataFrame(then), pd.DataFrame(now))
    table = newcomers._publish_shares(compared, [31, 100], 10)
    assert table["viewers_then"].isna().all() and table["viewers_now"].tolist() == [20, 20, 20, 40]
    assert table[["difference", "low", "high", "q_value", "detectable"]].isna().all(axis=None)


def newcomers_of(rows, before):
    """Viewers by day and cluster of the 28 days to 31 May and to 28 June."""
    june = [row for row in rows if row["received_at"].month == 6]
    engine = tables(june, earlier=[row for row in rows if row not in june])
    past = {"middle": date(2026, 5, 31), "days": 28, "before": before}
    engine.define(newcomers.sql("newcomers").format(**past))
    return (
        newcomers.count_by_day(engine, RULES, "newcomers_then", date(2026, 5, 31)),
        newcomers.count_by_day(engine, RULES, "newcomers_now", date(2026, 6, 28)),
    )


def test_known_viewers_are_no_newcomers_and_each_is_judged_by_the_end_of_its_days():
    # b comes in the first period and again in the second; a was there before both.
    old = [session("a", day=-70), session("a", day=-40), session("a", day=5)]
    then = [session("b", "v1", 0.9, day=-20)]
    then += [session("b", f"v{n}", 0.9, day=3) for n in range(9)]
    first, second = newcomers_of([*old, *then, session("c", "v1", 0.1, day=9)], 50)
    assert first["casual_viewers"].to_dict() == {"19": 1} and first.to_numpy().sum() == 1
    assert second["bouncers"].to_dict() == {"18": 1} and second.to_numpy().sum() == 1


def test_both_groups_are_looked_for_in_as_many_days_before():
    # The store begins on day -68, 40 days before the first period. Who was away for more than 40
    # days is new there, and so is who was away for more than 40 days before the second.
    rows = [session("a", day=-68), session("a", "v1", 0.1, day=2), session("b", day=-20)]
    first, second = newcomers_of(rows, 40)
    assert first.to_numpy().sum() == 1 and second["bouncers"].to_dict() == {"25": 1}
    assert newcomers_of(rows, 69)[1].to_numpy().sum() == 0


def test_too_few_newcomers_days_or_history_give_no_verdict():
    few = compare(*two_groups(5, None, None, viewers=29))
    assert few.finding.startswith("Too few newcomers") and few.table.empty
    assert len(compare(*two_groups(5, None, None, viewers=30)).table) == 5
    then, now = two_groups(6, None, None, viewers=100)
    one_day = now.assign(received_at=pd.Timestamp("2026-06-20", tz="UTC"))
    for mostly in (one_day, pd.concat([one_day, now.head(30)])):
        assert compare(then, mostly).finding.startswith("Too few newcomers")
    short = compare(then, now, first=date(2026, 5, 4))
    assert short.finding.startswith("Too short a history")


def test_the_whole_history_before_says_who_is_new():
    then, now = two_groups(6, None, None, viewers=100)

    def with_history(day):  # of most, four weeks later than it is stored: newcomers of one day
        old = then[then["visitor_key"] < "p6"].assign(received_at=pd.Timestamp(day, tz="UTC"))
        return compare(pd.concat([then, old]), now, first=date(2026, 5, 4)).finding

    assert "Too few" not in with_history("2026-02-01") + with_history("2026-05-03")
    assert with_history("2026-05-04").startswith("Too short a history")


@pytest.mark.parametrize(
    ("end_then", "days"),
    [(date(2026, 6, 21), 7), (date(2026, 3, 30), 90), (date(2026, 6, 22), 28),
     (date(2026, 3, 29), 28), (None, 28)],
)  # fmt: skip
def test_days_are_those_between_the_ends_if_7_to_90_else_28(end_then, days):
    sessions = table_of([session("a", day=20)], "e").to_pandas()
    found = compare(sessions[:0], sessions, first=date(2025, 1, 1), end_then=end_then)
    assert f"the {days} days to" in found.finding and "those to 2026-06-28" in found.finding


def test_counts_of_a_few_are_hidden_with_what_follows_from_them():
    found = compare(*two_groups(7, [0.02, 0.38, 0.4, 0.2], [0.02, 0.38, 0.4, 0.2], viewers=200))
    row = found.table.set_index("cluster").loc["binge_watchers"]
    hidden = ["viewers_then", "share_then", "difference", "low", "high", "detectable"]
    assert row[hidden].isna().all()
