"""Conversions beyond the e-mail gate, per viewer and per session."""

import numpy as np
import pytest
from scipy.stats import binomtest
from viewing import session, tables

from helpers.findings import conversions
from helpers.findings.conversions import compare_conversions
from helpers.findings.preference import judge_counts
from helpers.store import rules

RULES = rules.load()


def crowd(kind, viewers, percent, click=0, gate=0, sessions=1, videos=1):
    """Viewers of so many videos; the first `click` clicked, the first `gate` passed a gate."""
    rows = []
    for n in range(viewers):
        rows += [session(f"{kind}{n}", f"v{v}", percent) for v in range(1, videos)]
        rows += [session(f"{kind}{n}", "v0", percent, minutes=m) for m in range(sessions)]
        if n < click:
            rows[-1]["conversion_type"] = "post-roll-click"
        if n < gate:
            rows.append(session(f"{kind}{n}", "v0", percent, conversion_type="pre-roll-email"))
    return rows


def compare(*crowds):
    return compare_conversions(tables(sum(crowds, [])), RULES, 10)


def test_the_gate_is_no_conversion_and_rates_are_those_counted_by_hand():
    section = compare(crowd("b", 100, 0.1, gate=88), crowd("c", 80, 0.9, click=33, gate=22))
    table = section.table.set_index("cluster")
    row = table.loc["casual_viewers"]
    assert (row["viewers"], row["converted"], row["sessions"]) == (80, 35, 100)
    rates = [35 / 80, *binomtest(35, 80).proportion_ci(method="wilson")]
    assert row[["rate", "low", "high"]].tolist() == pytest.approx(rates)
    assert row["rate_per_session"] == 35 / 100  # of 102 sessions
    assert (row["verdict"], row["q_value"]) == ("higher", 0.001)
    assert table.loc["bouncers", ["converted", "rate", "verdict"]].tolist() == [0, 0, "lower"]
    assert table["viewers"].tolist() == [0, 0, 100, 0, 80]
    assert section.parts["gate"].table.set_index("cluster")["by_gate"]["bouncers"] == 90
    assert "35 viewers of 180 converted" in section.finding
    assert "Casual Viewers did so more often" in section.finding


def test_who_comes_often_has_more_chances_and_the_sentence_says_so():
    section = compare(crowd("c", 100, 0.9, click=40, sessions=8), crowd("b", 100, 0.1, click=20))
    assert "Casual Viewers did so more often" in section.finding
    assert "Per session it is Bouncers" in section.finding
    assert section.table["verdict_per_session"].dropna().tolist() == ["higher", "lower"]
    section = compare(crowd("c", 100, 0.9, click=80, sessions=4), crowd("b", 100, 0.1, click=23))
    assert section.finding.endswith("Per session no cluster clearly did.")
    assert section.table["q_value"].dropna().tolist() == [0.001, 0.001]  # of the rate by viewer


def test_of_several_clusters_above_the_others_none_is_named_alone():
    # 45 of 100 and 50 of 100 tell no first one, though each is beyond the bouncers.
    several = crowd("s", 100, 0.3, click=45, videos=2), crowd("c", 100, 0.9, click=50)
    section = compare(crowd("b", 300, 0.1, click=30), *several)
    said = "Casual Viewers and Skimmers did so more often than the others: 50 % (40–60 %) and 45 %"
    assert said in section.finding.replace("\u00a0", " ")


def test_a_small_count_is_hidden_with_all_that_follows_from_it():
    row = compare(crowd("b", 100, 0.1, click=4), crowd("c", 60, 0.9, click=30)).table.iloc[2]
    assert row["cluster"] == "bouncers"
    hidden = ["converted", "rate", "low", "high", "rate_per_session", "q_value", "verdict"]
    assert row[hidden].isna().all()


def test_the_total_is_hidden_where_it_would_tell_a_hidden_count():
    # 98 is shown as 100, as 98 to 102 are, and 197 as 195, as 193 to 197 are: 197 − 98 − 98 is 1.
    kinds = [crowd("c", 200, 0.9, click=98), crowd("s", 200, 0.2, click=98, videos=2)]
    section = compare(crowd("b", 200, 0.1, click=1), *kinds)
    assert "of 600" not in section.finding
    assert "195 viewers of 600" in compare(crowd("b", 200, 0.1), *kinds).finding


def test_few_viewers_get_no_verdict_and_nobody_gets_a_sentence():
    table = compare(crowd("b", 29, 0.1, click=12), crowd("c", 30, 0.9, click=12)).table
    assert table.loc[[2, 4], "verdict"].tolist() == ["too few", "no clear difference"]
    for nobody in (compare(crowd("b", 30, 0.1)), compare()):
        assert "No viewer clicked" in nobody.finding


def test_a_rate_varies_between_viewers_and_not_less_than_by_sessions(monkeypatch):
    judged, columns = [], ["count", "total", "expected", "variance"]

    def judge(frame, **given):
        judged.append(frame[columns].to_numpy())
        return judge_counts(frame, **given)

    monkeypatch.setattr(conversions, "judge_counts", judge)
    compare(crowd("b", 40, 0.1, click=10), crowd("c", 60, 0.9, click=15, sessions=2))
    one_by_one = 10 * 60 * 75 / 99 / 100  # of a hypergeometric distribution
    # A session converts with 5/32: of b who did is 27/32 above that, of c with two 22/32.
    of_b, of_c = (10 * 27**2 + 30 * 5**2) / 32**2, (15 * 22**2 + 45 * 10**2) / 32**2
    between = 0.75**2 * of_b + 0.25**2 * of_c
    rows = [[10, 25, 10, one_by_one], [15, 25, 15, one_by_one]]
    rows += [[10, 25, 6.25, between], [15, 25, 18.75, between]]
    assert judged[0].tolist() == [pytest.approx(row) for row in rows]
    # Where each of c converts once in four, as all do, chance alone would vary more.
    compare(crowd("b", 40, 0.1, click=10), crowd("c", 40, 0.9, click=40, sessions=4))
    assert judged[1][2:, 3].tolist() == pytest.approx([50 * 0.2 * 0.8 * 0.75] * 2)


def test_equal_rates_get_no_verdict():
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(10):
        counts = rng.binomial(200, 0.2, 2)
        table = compare(crowd("b", 200, 0.1, counts[0]), crowd("c", 200, 0.9, counts[1])).table
        alarms += table["verdict"].isin(["higher", "lower"]).any()
    assert alarms <= 2


def test_where_only_hidden_counts_converted_there_is_a_sentence_and_no_table():
    sessions = [session(f"c{n}", "v1", 0.9) for n in range(60)]
    sessions += [session(f"c{n}", "v2", 0.9, conversion_type="click") for n in range(4)]
    found = compare_conversions(tables(sessions), RULES, 10)
    assert found.table.empty and found.finding == "Some viewers converted beyond the e-mail gate."
