"""Identified people: one row per e-mail, scored, in the order in which to call them."""

import pandas as pd
import pytest
from viewing import session, tables, window

from helpers.findings import scoring
from helpers.store import rules

RULES = rules.load()
MEDIAS = [
    {"media_id": "v2", "name": "Pricing demo", "duration": 90.0},
    {"media_id": "v3", "name": "Team day", "duration": 60.0},
]
ANN = [session("a", f"w{n}", 0.95, day=20) for n in range(5)]
ANN += [session("a", "v2", 1.0, day=27), session("a", "v3", 0.2, day=26)]


def visitor(key, email, **more):
    return {"visitor_key": key, "email": email, **more}


def people_of(sessions, visitors, *, chosen=RULES, **options):
    engine = tables(sessions, visitors=visitors, medias=MEDIAS, chosen=chosen)
    return scoring.read_people(engine, chosen, window(), **options)


def test_a_row_says_why_and_its_score_is_the_sum_of_its_points():
    (row,) = people_of(ANN, [visitor("a", "Ann@Acme.example", name="Ann Mary Lee")]).itertuples()
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
    visitors = [visitor("a", "a@x.example"), visitor("b", "b@x.example")]
    sessions = [session("a", conversion_type="post-roll-click", day=1),
                session("b", conversion_type="pre-roll-email", day=1)]  # fmt: skip
    found = people_of(sessions, visitors).set_index("person")
    assert found["clicked"].to_dict() == {"a@x.example": True, "b@x.example": False}
    assert found.loc["a@x.example", "clicks_points"] == 25
    assert found.loc["a@x.example", "reason"].endswith("(watched 2 Jun 2026), clicked")


def test_cookies_of_one_person_are_judged_together_as_one_viewer():
    # An engaged explorer and a casual viewer, 20 minutes apart, are one binge watcher's visit.
    one = [session("a", f"v{n}", 0.9, day=5) for n in range(3)]
    two = [session("b", f"v{n}", 0.9, day=5, minutes=20) for n in (3, 4)]
    visitors = [visitor("a", "Ann@acme.example", org_name="Acme Ltd"),
                visitor("b", " ann@ACME.example", name="Ann Lee")]  # fmt: skip
    alone = [session("c", "v9", 0.1)]
    found = people_of([*one, *two, *alone], [*visitors, visitor("c", "c@x.example")])
    assert len(found) == 2
    row = found.set_index("person").loc["ann@acme.example"]
    assert (row["cookies"], row["video_count"], row["total_visits"]) == (2, 5, 1)
    assert row["avg_percent_watched"] == pytest.approx(90)
    assert row["cluster"] == "binge_watchers"
    assert (row["first_name"], row["company"], row["email"]) == (
        "Ann", "Acme Ltd", "ann@ACME.example"
    )  # fmt: skip
    assert row["score"] == pytest.approx(
        sum(row[f"{part}_points"] for part in ("recency", "depth", "visits", "clicks", "content")),
        abs=0.05,
    )


def test_whom_to_call_comes_first_whatever_the_cluster_then_the_score():
    old = [session("a", f"v{n}", 1.0, day=-16, conversion_type="click") for n in range(5)]
    old += [session("a", "v2", 1.0, day=-17 - n) for n in range(4)]
    new = [session("b", "v2", 1.0, day=27 - n) for n in range(3)]
    weak = [session("c", "v1", 0.1, day=27)]
    sessions = [*old, *new, *weak]
    visitors = [visitor(key, f"{key}@x.example") for key in "abc"]
    found = people_of(sessions, visitors)
    assert found["person"].str[0].tolist() == ["b", "a", "c"]
    assert found["to_call"].tolist() == [True, False, False]
    assert found["cluster"][0] == "casual_viewers"
    assert found["score"][1] > found["score"][0]  # but last seen 44 days before the end


def test_who_opted_out_is_marked_and_never_to_call():
    found = people_of(ANN, [visitor("a", "Ann@acme.example")], opt_out=frozenset({"acme.example"}))
    assert found["opted_out"].all() and not found["to_call"].any()


def test_a_score_exactly_at_the_least_is_to_call_and_so_is_a_view_exactly_that_old():
    text = "scores:\n  weights: {recency: 0, depth: 50, visits: 0, clicks: 0, content: 50}\n"
    chosen = rules.parse(text + "clusters:\n  - name: all\n")
    sessions = [
        session("a", "v2", 1.0, day=13, minutes=720)
    ]  # the day ends, fourteen days are left
    sessions += [session("a", f"x{n}", 1.0, day=12) for n in range(4)]
    sessions += [session("b", f"x{n}", 1.0, day=13, minutes=719) for n in range(5)]
    found = people_of(
        sessions, [visitor(key, f"{key}@x.example") for key in "ab"], chosen=chosen
    ).set_index("person")
    assert found["days"].round(3).to_dict() == {"a@x.example": 14.0, "b@x.example": 14.001}
    assert found["score"].to_dict() == {"a@x.example": 100.0, "b@x.example": 50.0}
    assert found["to_call"].to_dict() == {"a@x.example": True, "b@x.example": False}


def test_anonymous_viewers_are_never_in_it():
    found = people_of([session("a")], [visitor("a", "someone without an at sign")])
    assert found.empty and {"to_call", "opted_out", "score"} <= set(found)


def test_the_next_video_is_one_the_person_has_not_seen():
    offers = pd.DataFrame(
        [("bouncers", "v1", "First"), ("bouncers", "v3", "Team day"), ("skimmers", "v2", "Demo")],
        columns=["cluster", "media_id", "title"],
    )
    found = people_of(
        [session("a", "v1", 0.1), session("b", "v9", 0.9)],
        [visitor("a", "a@x.example"), visitor("b", "b@x.example")],
        next_videos=offers,
    ).set_index("person")["next_video"]
    assert found["a@x.example"] == "Team day"
    assert pd.isna(found["b@x.example"])


@pytest.mark.parametrize(
    ("title", "buying"),
    [("Pricing demo", True), ("How we compare", True), ("Our ROI calculator", True),
     ("Talk to sales", True), ("Contact us", True), ("Book a  meeting", True),
     ("Customer story: Kestrel", True), ("PRICES", True), ("Total cost of ownership", True),
     ("Cost of living", False), ("Onboarding session for new customers", False),
     ("Pricing changes for customers", False), ("Team day", False), ("Costumes", False),
     ("Democracy in America", False), ("Contact usage", False), ("", False)],
)  # fmt: skip
def test_titles_speak_of_buying_unless_they_are_for_customers(title, buying):
    assert scoring.speak_of_buying(pd.Series([title]), RULES.scores).tolist() == [buying]


def test_words_of_a_clusters_file_take_the_place_of_the_built_in_ones():
    text = (
        "scores:\n  buying_words: ['c++', straße]\n  customer_words: []\nclusters:\n  - name: a\n"
    )
    chosen = rules.parse(text).scores
    titles = pd.Series(["Why C++", "Die Straße", "Pricing", "C+"])
    assert scoring.speak_of_buying(titles, chosen).tolist() == [True, True, False, False]
    none = chosen.model_copy(update={"buying_words": ()})
    assert not scoring.speak_of_buying(titles, none).any()


@pytest.mark.parametrize(
    "domain",
    ["gmail.com", "yahoo.co.uk", "web.de", "live.dk", "hotmail.se", "bluewin.ch", "seznam.cz",
     "wp.pl", "rediffmail.com", "sfr.fr", "telia.com", "docomo.ne.jp", "hey.com", "localhost"],
)  # fmt: skip
def test_mail_providers_are_no_companies(domain):
    assert not scoring.is_company(domain)


@pytest.mark.parametrize("domain", ["acme.com", "notgmail.com", "gmail.com.acme.com", "sap.com"])
def test_other_domains_are_companies(domain):
    assert scoring.is_company(domain)


def test_a_company_is_what_the_person_gave_and_never_a_domain():
    (row,) = people_of([session("a")], [visitor("a", "a@acme.example", org_name=" ")]).itertuples()
    assert pd.isna(row.company) and row.domain == "acme.example" and not row.free_mail
