"""Where clusters came from: the first session, beside all viewers."""

from viewing import session, tables

from helpers.findings.sources import compare_sources
from helpers.store import rules

RULES = rules.load()


def came(kind, viewers, percent, *pages, days=20, **texts):
    """Viewers who came over several days, each by the pages in turn."""
    return [
        session(f"{kind}{n}", "v1", percent, day=n % days, minutes=minute, page=page, **texts)
        for n in range(viewers)
        for minute, page in enumerate(pages)
    ]


def test_the_page_of_the_first_session_is_named_where_it_brings_a_cluster():
    sessions = came("b", 60, 0.1, "acme.example/ad", "acme.example/docs")
    sessions += came("c", 60, 0.9, "acme.example/docs") + came("d", 20, 0.1, "acme.example/docs")
    section = compare_sources(tables(sessions), RULES, 10)
    best = section.table.iloc[0]
    assert (best["kind"], best["value"], best["cluster"]) == ("page", "acme.example/ad", "bouncers")
    assert (best["viewers"], best["share"], best["share_of_all"]) == (60, 60 / 80, 60 / 140)
    assert best["low"] > 1 and best["q_value"] == 0.001
    assert "75\u00a0% of Bouncers" in section.finding and "acme.example/ad" in section.finding


def test_utm_values_are_kinds_of_their_own_and_small_ones_are_not_listed():
    sessions = came("b", 40, 0.1, None, utm_campaign="spring launch")
    sessions += came("c", 40, 0.9, "acme.example/docs") + came("e", 20, 0.9, None)
    sessions += came("d", 5, 0.9, "acme.example/rare")
    listed = compare_sources(tables(sessions), RULES, 10).parts["all"].table
    assert listed[["kind", "value", "cluster"]].values.tolist() == [
        ["page", "acme.example/docs", "casual_viewers"],
        ["utm_campaign", "spring launch", "bouncers"],
    ]


def test_what_one_day_brought_is_not_taken_for_a_page():
    sessions = came("b", 60, 0.1, "acme.example/ad", days=1) + came("c", 60, 0.9, "acme.example/x")
    sessions += came("d", 60, 0.1, "acme.example/x")
    assert compare_sources(tables(sessions), RULES, 10).table.empty


def test_without_pages_there_is_one_sentence():
    for sessions in ([], came("b", 30, 0.1, None)):
        section = compare_sources(tables(sessions), RULES, 10)
        assert section.table.empty and section.finding.startswith("No page")


def test_a_page_is_left_out_where_the_others_and_the_size_would_tell_a_hidden_one():
    sessions = came("a", 13, 0.9, "acme.example/a") + came("b", 10, 0.9, "acme.example/b")
    others = came("o", 40, 0.1, "acme.example/c")
    for hidden, pages in ((3, ["a", "b"]), (1, ["a"])):  # of 24: 0 or 1 would be left for c
        rest = came("c", hidden, 0.9, "acme.example/c")
        found = compare_sources(tables([*sessions, *rest, *others]), RULES, 10).parts["all"].table
        listed = found.loc[found["cluster"] == "casual_viewers", "value"]
        assert listed.tolist() == [f"acme.example/{page}" for page in pages]
