"""Identified people: one row per e-mail, scored, in the order in which to call them."""

import pandas as pd
import pytest
from viewing import session, tables, visitor, window

from helpers.findings import scoring
from helpers.store import rules

RULES = rules.load()
MEDIAS = [
    {"media_id": "v2", "name": "Pricing demo", "duration": 90.0},
    {"media_id": "v3", "name": "Team day", "duration": 60.0},
]
ANN = [session("a", f"w{n}", 0.95, day=20) for n in range(5)]
ANN += [session("a", "v2", 1.0, day=27), session("a", "v3", 0.2, day=26)]


def people_of(sessions, visitors, *, chosen=RULES, **options):
    """The people, by the part of the address before the @."""
    engine = tables(sessions, visitors=visitors, medias=MEDIAS, chosen=chosen)
    people = scoring.read_people(engine, chosen, window(), **options)
    return people.set_index(people["person"].map(lambda person: person.partition("@")[0]))


def test_a_row_says_why_and_its_score_is_the_sum_of_its_points():
    people = people_of(ANN, [visitor("a", "Ann@Acme.example", name="Ann Mary Lee")])
    (row,) = people.itertuples()
    assert row.reason == "finished 6 of 7 videos, “Pricing demo” (watched 28 Jun 2026), 3 visits"
    assert (row.person, row.email) == ("ann@acme.example", "Ann@Acme.example")
    assert (row.first_name, row.last_name, row.cluster) == ("Ann", "Mary Lee", "binge_watchers")
    assert row.days == 0.5  # noon of the last day to the end of the window
    assert row.recency_points == pytest.approx(30 * 0.5 ** (0.5 / 14))
    assert (row.depth_points, row.content_points, row.clicks_points) == (20, 15, 0)
    assert row.visits_points == 5  # two of the four visits after the first
    assert row.score == round(row.recency_points + 40, 1) == 69.3
    assert row.minutes_watched == pytest.approx((90 + 0.2 * 60) / 60)
    assert row.to_call


def test_a_click_beyond_the_gate_counts_and_the_gate_does_not():
    clicks = {"a": "post-roll-click", "b": "pre-roll-email"}
    sessions = [session(key, conversion_type=kind, day=1) for key, kind in clicks.items()]
    found = people_of(sessions, [visitor("a"), visitor("b")])
    assert found["clicked"].to_dict() == {"a": True, "b": False}
    assert found.loc["a", "clicks_points"] == 25
    assert found.loc["a", "reason"].endswith("(watched 2 Jun 2026), clicked")


def test_cookies_of_one_person_are_judged_together_as_one_viewer():
    # An engaged explorer and a casual viewer, 20 minutes apart, are one binge watcher's visit.
    sessions = [session("a", f"v{n}", 0.9, day=5) for n in range(3)]
    sessions += [session("b", f"v{n}", 0.9, day=5, minutes=20) for n in (3, 4)]
    visitors = [visitor("a", "Ann@acme.example", org_name="Acme Ltd"), visitor("c")]
    visitors += [visitor("b", " ann@ACME.example", name="Ann Lee")]
    found = people_of([*sessions, session("c", "v9", 0.1)], visitors)
    assert len(found) == 2
    row = found.loc["ann"]
    assert (row["cookies"], row["video_count"], row["total_visits"]) == (2, 5, 1)
    assert row["avg_percent_watched"] == pytest.approx(90)
    assert row["cluster"] == "binge_watchers"
    known = row[["first_name", "company", "email"]].tolist()
    assert known == ["Ann", "Acme Ltd", "ann@ACME.example"]
    points = row[[name for name in row.index if name.endswith("_points")]]
    assert row["score"] == pytest.approx(points.sum(), abs=0.05) and len(points) == 5


def test_whom_to_call_comes_first_whatever_the_cluster_then_the_score():
    old = [session("a", f"v{n}", 1.0, day=-16, conversion_type="click") for n in range(5)]
    old += [session("a", "v2", 1.0, day=-17 - n) for n in range(4)]
    new = [session("b", "v2", 1.0, day=27 - n) for n in range(3)]
    weak = [session("c", "v1", 0.1, day=27)]
    found = people_of([*old, *new, *weak], [visitor(key) for key in "abc"])
    assert list(found.index) == ["b", "a", "c"]
    assert found["to_call"].tolist() == [True, False, False]
    assert found["cluster"].iloc[0] == "casual_viewers"
    assert found["score"].iloc[1] > found["score"].iloc[0]  # but last seen 44 days before the end


def test_who_opted_out_is_marked_and_never_to_call():
    found = people_of(ANN, [visitor("a", "Ann@acme.example")], opt_out=frozenset({"acme.example"}))
    assert found["opted_out"].all() and not found["to_call"].any()


def test_a_score_exactly_at_the_least_is_to_call_and_so_is_a_view_exactly_that_old():
    text = "scores:\n  weights: {recency: 0, depth: 50, visits: 0, clicks: 0, content: 50}\n"
    chosen = rules.parse(text + "clusters:\n  - name: all\n")
    sessions = [session("a", "v2", 1.0, day=13, minutes=720)]  # 14 days are left after this one
    sessions += [session("a", f"x{n}", 1.0, day=12) for n in range(4)]
    sessions += [session("b", f"x{n}", 1.0, day=13, minutes=719) for n in range(5)]
    found = people_of(sessions, [visitor("a"), visitor("b")], chosen=chosen)
    assert found["days"].round(3).to_dict() == {"a": 14.0, "b": 14.001}
    assert found["score"].to_dict() == {"a": 100.0, "b": 50.0}
    assert found["to_call"].to_dict() == {"a": True, "b": False}


def test_anonymous_viewers_are_never_in_it():
    found = people_of([session("a")], [visitor("a", "someone without an at sign")])
    assert found.empty and {"to_call", "opted_out", "score"} <= set(found)


def test_the_next_video_is_one_the_person_has_not_seen():
    videos = [("bouncers", "v1", "First"), ("bouncers", "v3", "Team"), ("skimmers", "v2", "Demo")]
    offers = pd.DataFrame(videos, columns=["cluster", "media_id", "title"])
    sessions = [session("a", "v1", 0.1), session("b", "v9", 0.9)]
    found = people_of(sessions, [visitor("a"), visitor("b")], next_videos=offers)["next_video"]
    assert found["a"] == "Team" and pd.isna(found["b"])


BUYING = """Pricing demo; How we compare; Our ROI calculator; Talk to sales; Contact us; PRICES;
Book a  meeting; Customer story: Kestrel; Total cost of ownership"""
OTHER = """Cost of living; Onboarding session for new customers; Pricing changes for customers;
Team day; Costumes; Democracy in America; Contact usage; """


@pytest.mark.parametrize(("titles", "buying"), [(BUYING, True), (OTHER, False)])
def test_titles_speak_of_buying_unless_they_are_for_customers(titles, buying):
    for title in titles.replace("\n", " ").split("; "):
        said = scoring.speak_of_buying(pd.Series([title]), RULES.scores).tolist()
        assert said == [buying], title


def test_words_of_a_clusters_file_take_the_place_of_the_built_in_ones():
    words = "scores:\n  buying_words: ['c++', straße]\n  customer_words: []\n"
    chosen = rules.parse(f"{words}clusters:\n  - name: a\n").scores
    titles = pd.Series(["Why C++", "Die Straße", "Pricing", "C+"])
    assert scoring.speak_of_buying(titles, chosen).tolist() == [True, True, False, False]
    none = chosen.model_copy(update={"buying_words": ()})
    assert not scoring.speak_of_buying(titles, none).any()


PROVIDERS = """gmail.com yahoo.co.uk web.de live.dk hotmail.se bluewin.ch seznam.cz wp.pl
rediffmail.com sfr.fr telia.com docomo.ne.jp hey.com localhost"""


def test_a_company_has_a_domain_of_its_own_and_the_name_that_the_person_gave():
    assert [domain for domain in PROVIDERS.split() if scoring.is_company(domain)] == []
    for domain in ("acme.com", "notgmail.com", "gmail.com.acme.com", "sap.com"):
        assert scoring.is_company(domain), domain
    (row,) = people_of([session("a")], [visitor("a", "a@acme.example", org_name=" ")]).itertuples()
    assert pd.isna(row.company) and row.domain == "acme.example" and not row.free_mail
