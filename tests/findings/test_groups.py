"""Planted groups are found, one population holds none."""

import numpy as np
from viewing import drawn, session, tables

from helpers.findings import groups
from helpers.store import rules

RULES = rules.load()


def one_population(viewers, rng):
    """Sessions of one kind of viewer: heavy-tailed counts, each session watched by itself."""
    count = rng.geometric(1 / 3, viewers)
    who = np.repeat(np.arange(viewers), count)
    percent = rng.beta(0.5, 0.5, len(who))
    return [session(f"a{k}", f"v{n}", p, day=n % 28)
            for n, (k, p) in enumerate(zip(who, percent, strict=True))]  # fmt: skip


def test_planted_kinds_are_found_and_agree_with_the_rules():
    frame, _ = drawn(600, np.random.default_rng(21))
    section = groups.find_groups(tables(frame), RULES, 10, 0)
    assert "form 4 groups of their own" in section.finding
    assert section.table["groups"].tolist() == [4, 4]
    assert section.table["agreement"].min() > 0.9


def test_one_population_holds_no_groups():
    for seed in (0, 1, 2):  # also where the data were drawn with the seed of the search
        engine = tables(one_population(300, np.random.default_rng(seed)))
        assert "no clear groups of their own" in groups.find_groups(engine, RULES, 10, seed).finding


def test_a_handful_of_viewers_is_not_searched():
    section = groups.find_groups(tables([session("a")]), RULES, 10, 0)
    assert section.table.empty and "100 viewers or more" in section.finding
