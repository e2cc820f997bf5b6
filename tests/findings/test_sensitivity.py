"""Viewers near a threshold, counted by hand."""

from viewing import session, tables

from helpers.findings.sensitivity import count_near_thresholds
from helpers.store import rules

RULES = rules.load()


def test_viewers_that_a_step_would_move_are_counted():
    sessions = [session(f"a{n}", "v1", 0.28) for n in range(23)]  # bouncers until 25 %
    sessions += [session(f"b{n}", "v1", 0.32) for n in range(12)]  # bouncers from 35 % on
    sessions += [session(f"c{n}", "v1", 0.9) for n in range(65)]
    section = count_near_thresholds(tables(sessions), RULES, 10)
    rows = section.table.set_index(["cluster", "column"])
    row = rows.loc[("bouncers", "avg_percent_watched")]
    assert (row["threshold"], row["step"]) == (30, 5)
    assert (row["lowered"], row["raised"]) == (25, 10)
    assert rows.loc[("engaged_explorers", "video_count"), "step"] == 1
    assert "35 of 100 viewers (35\u00a0%)" in section.finding


def test_rules_without_thresholds_and_no_viewers_give_a_sentence():
    alone = rules.parse("clusters:\n  - name: everybody\n")
    assert count_near_thresholds(tables([session("a")], chosen=alone), alone, 10).table.empty
    assert "no viewers" in count_near_thresholds(tables([]), RULES, 10).finding
