"""People to call: identified only, a row per e-mail, best first; only counts go to the report."""

import csv
import json
import stat
from types import SimpleNamespace

import pandas as pd
import pytest

from helpers.findings import affinity, outreach
from helpers.store import rules
from tests.viewing import session, tables, window

RULES = rules.load()
MEDIAS = [
    {"media_id": "v2", "name": "Pricing demo", "duration": 90.0},
    {"media_id": "v3", "name": "Team day", "duration": 60.0},
]
ANN = [session("a", f"w{n}", 0.95, day=20) for n in range(5)]
ANN += [session("a", "v2", 1.0, day=27), session("a", "v3", 0.2, day=26)]


def people_of(sessions, visitors, **options):
    con = tables(sessions, visitors=visitors, medias=MEDIAS)
    affinity.prepare(con)
    return outreach.people_of(con, RULES, window(), **options)


def visitor(key, email, **more):
    return {"visitor_key": key, "email": email, **more}


def test_a_row_says_why_in_words_and_when():
    (row,) = people_of(ANN, [visitor("a", "Ann@Acme.example", name="Ann Mary Lee")]).itertuples()
    assert row.reason == "finished 6 of 7 videos, “Pricing demo” yesterday, 3 visits"
    assert (row.first, row.last, row.company) == ("Ann", "Mary Lee", "acme.example")
    assert (row.videos, row.finished, row.visits) == (7, 6, 3)
    assert row.hours == 12  # noon of the last day to the end of the window
    assert row.cluster == "binge_watchers"


def test_the_score_is_the_sum_that_is_written_down():
    (row,) = people_of(ANN, [visitor("a", "ann@acme.example")]).itertuples()
    assert row.recency_points == pytest.approx(40 * 0.5 ** (12 / 168))
    assert row.depth_points == 40  # six finished: more than five videos' worth
    assert row.content_points == 20  # all of a video about prices
    assert row.score == pytest.approx(row.recency_points + 60)


def test_several_cookies_of_one_e_mail_are_one_row_of_the_cookie_that_watched_most():
    sessions = [*ANN, session("b", "x1", 0.1, day=27, minutes=30)]
    visitors = [visitor("a", "Ann@Acme.example"), visitor("b", "ann@acme.EXAMPLE ", name="Ann Lee")]
    (row,) = people_of(sessions, visitors).itertuples()
    assert (row.cookies, row.videos, row.cluster) == (2, 8, "binge_watchers")
    assert row.email == "Ann@Acme.example"
    assert (row.first, row.last) == ("Ann", "Lee")  # any cookie may know the name


def test_anonymous_viewers_are_never_in_it_and_nobody_is_no_error():
    found = people_of([session("a")], [visitor("a", "someone without an at sign")])
    assert found.empty
    assert "no one to call" in outreach.outreach(found, RULES)["finding"]
    assert "no company is known" in outreach.companies_part(found)["finding"]
    assert outreach.companies(found).empty


def test_only_the_first_cluster_is_worth_a_call():
    sessions = [session(f"z{n}", "v1", 0.1) for n in range(12)]
    found = people_of(sessions, [visitor(f"z{n}", f"z{n}@x.example") for n in range(12)])
    part = outreach.outreach(found, RULES)
    assert part["finding"] == (
        "Nobody among Binge Watchers is on the list: there is no one to call first. The lists of "
        "the other clusters hold 12 to write to."
    )
    assert part["figures"]["to_call"] == 0


def test_people_who_opted_out_are_identified_all_the_same():
    found = people_of(ANN, [visitor("a", "ann@acme.example")], opt_out={"acme.example"})
    part = outreach.outreach(found, RULES)
    assert part["finding"].startswith("Everybody identified is on the opt-out list")


def test_best_first():
    sessions = [session("a", "v1", 0.9, day=27), session("b", "v1", 0.9, day=7),
                session("c", "v1", 0.1, day=27)]  # fmt: skip
    visitors = [visitor(key, f"{key}@x.example") for key in "abc"]
    assert people_of(sessions, visitors)["person"].str[0].tolist() == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("domain", "free"),
    [("gmail.com", True), ("yahoo.co.uk", True), ("web.de", True), ("acme.com", False),
     ("notgmail.com", False), ("gmail.com.acme.com", False), ("localhost", True)],
)  # fmt: skip
def test_free_mail_is_no_company(domain, free):
    (row,) = people_of([session("a")], [visitor("a", f"x@{domain}")]).itertuples()
    assert row.free_mail is free


@pytest.mark.parametrize(
    ("title", "about_buying"),
    [("Pricing demo", True), ("How we compare", True), ("Our ROI calculator", True),
     ("Team day", False), ("Democracy in America", False), ("Costumes", False)],
)  # fmt: skip
def test_titles_about_buying(title, about_buying):
    assert bool(outreach.INTENT.search(title)) is about_buying


def test_the_next_video_is_one_the_person_has_not_seen():
    follow = [session(f"f{n}", media, 0.9, minutes=minute) for n in range(12)
              for minute, media in enumerate(["v1", "v2", "v3"])]  # fmt: skip
    sessions = [*follow, *[session("a", media, 0.9) for media in ("v1", "v4", "v2")]]
    (row,) = people_of(sessions, [visitor("a", "a@x.example")]).itertuples()
    assert row.next_video == "Team day"


def run_in(folder):
    def private(name):
        (folder / "private").mkdir(exist_ok=True)
        return folder / "private" / name

    return SimpleNamespace(private=private)


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_files_are_private_safe_and_there_for_every_cluster(tmp_path):
    visitors = [visitor("a", "ann@acme.example", name="=cmd|' /C calc'!A0", org_name="+Acme"),
                visitor("b", "@evil@acme.example", org_title="-1+1")]  # fmt: skip
    found = people_of([*ANN, session("b", "v1", 0.1)], visitors)
    stale = run_in(tmp_path).private("outreach_gone.csv")
    stale.touch()
    outreach.write(run_in(tmp_path), found, RULES)
    assert not stale.exists()
    files = {path.name for path in (tmp_path / "private").iterdir()}
    assert files == {*(f"outreach_{name}.csv" for name in RULES.names), "companies.csv"}
    for path in (tmp_path / "private").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for row in rows_of(path):
            assert not any(str(cell).startswith(("=", "+", "-", "@")) for cell in row.values())
    (row,) = rows_of(tmp_path / "private" / "outreach_binge_watchers.csv")
    assert list(row)[:6] == ["Email", "First Name", "Last Name", "Company", "Job Title", "Country"]
    assert row["Hours Since Last View"] == "12.0"
    assert row["First Name"].startswith("'=cmd")
    assert rows_of(tmp_path / "private" / "outreach_skimmers.csv") == []


def test_companies_group_people_by_domain_with_their_clusters():
    visitors = [visitor("a", "ann@acme.example", org_name="Acme Ltd"),
                visitor("b", "bob@acme.example"), visitor("c", "c@gmail.com")]  # fmt: skip
    found = people_of([*ANN, session("b", "v1", 0.1), session("c")], visitors)
    (row,) = outreach.companies(found).to_dict("records")
    assert (row["Domain"], row["Company"], row["People"]) == ("acme.example", "Acme Ltd", 2)
    assert row["Clusters"] == "Binge Watchers: 1, Bouncers: 1"
    part = outreach.companies_part(found)
    assert part["finding"] == (
        "1 company by e-mail domain, 1 with two people or more; on free mail: 1 person."
    )


def test_the_report_gets_counts_and_no_name_address_or_domain():
    sessions = [*ANN, *[session(f"z{n}", f"w{m}", 0.9, day=9) for n in range(3) for m in range(5)]]
    visitors = [visitor("a", "ann@acme.example", name="Ann Lee"),
                *(visitor(f"z{n}", f"z{n}@else.example") for n in range(3))]  # fmt: skip
    found = people_of(sessions, visitors)
    part = outreach.outreach(found, RULES, min_cell=1)
    assert part["finding"].startswith(
        "4 people among Binge Watchers are worth a call, freshest first: 1 within 48 hours of the "
        "last view, 1 within 7 days."
    )
    assert part["rows"][0] == {"cluster": "binge_watchers", "people": 4, "hours_48": 1, "week": 1}
    text = json.dumps([part, outreach.companies_part(found)])
    assert not any(secret in text for secret in ("ann", "Ann", "Lee", "acme", "else.example"))


def test_a_view_exactly_48_hours_old_is_still_to_be_called():
    sessions = [session("a", f"v{n}", 0.9, day=26, minutes=-720) for n in range(5)]
    found = people_of(sessions, [visitor("a", "a@x.example")])
    assert found["hours"].tolist() == [48]
    assert outreach.outreach(found, RULES, min_cell=1)["figures"]["to_call"] == 1


def test_text_columns_hold_text_only():
    found = people_of(ANN, [visitor("a", "ann@acme.example")])
    assert isinstance(found["reason"][0], str) and pd.isna(found["last"][0])


def test_a_few_people_are_told_as_few():
    found = people_of(ANN, [visitor("a", "ann@acme.example")])
    part = outreach.outreach(found, RULES)
    assert part["finding"].startswith(
        "Fewer than 10 people among Binge Watchers are worth a call, freshest first: fewer than 10 "
        "within 48 hours"
    )
    assert part["figures"]["to_call"] is None
