"""The part of the report about people: counts alone, one number of people to call everywhere."""

import pandas as pd
import pytest
from test_scoring import ANN, MEDIAS
from viewing import session, tables, visitor, window

from helpers.findings import people, scoring
from helpers.store import rules

RULES = rules.load()
ANN_HERSELF = visitor("a", "ann@acme.example")


def listed(sessions, visitors, *, opt_out=frozenset()):
    engine = tables(sessions, visitors=visitors, medias=MEDIAS)
    found = scoring.read_people(engine, RULES, window(), opt_out=opt_out)
    return people.list_people(engine, RULES, found, min_cell=10)


def crowd(count, prefix="z", percent=0.95, day=27, domain="else.example"):
    keys, videos = [f"{prefix}{n}" for n in range(count)], ("w1", "w2", "w3", "w4", "v2")
    sessions = [session(key, video, percent, day=day) for key in keys for video in videos]
    return sessions, [visitor(key, f"{key}@{domain}") for key in keys]


def test_the_headline_is_exact_and_the_table_is_published():
    sessions, visitors = crowd(12)
    more, others = crowd(31, "y", 0.2)
    found = listed(sessions + more, visitors + others)
    assert found.finding.startswith("12 of 43 identified people are worth a call: a score of 50")
    rows = found.table.set_index("cluster")
    assert rows["people"].tolist() == [10, 0, 0, 30, 0]
    assert rows["to_call"].tolist() == [10, 0, 0, 0, 0]
    assert rows["seen_7_days"].tolist() == [10, 0, 0, 30, 0]


def test_a_hidden_number_cannot_be_found_by_subtraction_from_the_exact_one():
    sessions, visitors = crowd(20)
    assert listed([*ANN, *sessions], [ANN_HERSELF, *visitors]).finding.startswith("21 of 21 ")
    one = listed(ANN, [ANN_HERSELF])
    assert one.finding.startswith("The one identified person is worth a call")
    assert list(one.table) == ["cluster"]
    # Seen lately are 10 of 22 and 2 of 21; the trend tells that they are 12.
    lately, known = crowd(10)
    early, others = crowd(12, "e", day=3)
    few, those = crowd(2, "f", 0.2)
    weak, more = crowd(19, "w", 0.2, day=3)
    found = listed(lately + early + few + weak, known + others + those + more).table
    assert found["people"].tolist() == [20, 0, 0, 20, 0] and "seen_7_days" not in found


def test_nobody_and_nobody_left_are_said():
    assert "no one to call" in listed([session("a")], []).finding
    out = listed(ANN, [ANN_HERSELF], opt_out=frozenset({"acme.example"}))
    assert out.finding.startswith("Everybody identified is on the opt-out list")
    assert "On the opt-out list: fewer than 10 e-mails" in out.note
    weak = listed([session("a", percent=0.1)], [visitor("a")])
    assert weak.finding.startswith("The one identified person is not worth a call")


def test_companies_are_counted_without_mail_providers_and_who_opted_out():
    sessions, visitors = crowd(5, "m", domain="gmail.com")
    for company in range(12):
        more, others = crowd(2, f"c{company}x", domain=f"firm{company}.example")
        sessions, visitors = sessions + more, visitors + others
    found = listed(sessions, visitors, opt_out=frozenset({"firm0.example"})).parts["companies"]
    assert found.finding == "11 companies by e-mail domain."
    assert found.table.values.tolist() == [["1", 0], ["2–4", 10], ["5 and more", 0]]


def test_the_catch_says_which_share_of_those_with_a_click_a_list_holds():
    sessions, visitors = crowd(20)
    old, others = crowd(40, "y", 0.3, day=-60)
    old = [row | {"conversion_type": "click"} for row in old[:150]]  # thirty of the forty
    table = listed(sessions + old, visitors + others[:30]).parts["catch"].table
    rows = table.set_index("score")
    assert rows.loc[30, ["people", "clicked", "caught", "caught_by_rest"]].tolist() == [
        50,
        30,
        1,
        0,
    ]
    assert rows.loc[40, ["people", "clicked"]].tolist() == [20, 0]
    assert rows["people"].notna().all()  # a hidden number of people has no row


def test_watch_time_is_length_times_the_largest_share_seen():
    sessions = [session(f"z{n}", "v2", 0.5, minutes=m) for n in range(12) for m in (0, 90)]
    sessions += [session(f"z{n}", "w1", 1.0) for n in range(12)]
    sessions += [session(f"u{n}", "w1", 0.5) for n in range(12)]  # of no known length alone
    found = listed([*sessions, session("lone", "v3", 1.0)], []).parts["watch_time"]
    assert found.finding.startswith("0 hours were watched")  # ten minutes
    row = found.table.set_index("cluster").loc["casual_viewers"]
    assert row["minutes"] == 10 and row["minutes_per_viewer"] == pytest.approx(10 / 13, abs=0.05)
    assert row["known"] == pytest.approx(1 / 2, abs=0.1)  # 25 of 49 sessions
    videos = found.parts["videos"].table.set_index("title")
    assert videos.loc["Pricing demo", "minutes"] == 8  # five whole views of 90 seconds
    assert pd.isna(videos.loc["Team day", "minutes"])  # one viewer's
    assert videos.loc["Video w1", "known"] == 0 and videos["minutes"].isna()["Video w1"]
    found = listed([session("z", "w1", 1.0)], []).parts["watch_time"]
    assert found.finding == "No length of a video is known: watch time cannot be told."
    assert found.table.empty and not found.parts


def test_minutes_of_a_video_are_rounded_to_five_whole_views():
    sessions = [session(f"z{n}", "v2", 0.6) for n in range(28)]  # 16.8 views of 90 seconds
    watched = listed(sessions, []).parts["watch_time"]
    assert watched.parts["videos"].table["minutes"].tolist() == [22]
    assert watched.table["minutes"].dropna().tolist() == [25]


def test_minutes_of_a_video_do_not_tell_how_many_saw_it():
    sessions = [session(f"z{n}", "v2", 1.0) for n in range(23)]
    sessions += [session(f"y{n}", "v3", 1.0) for n in range(17)]
    watched = listed(sessions, []).parts["watch_time"].parts["videos"].table.set_index("media_id")
    assert watched.loc["v2", "minutes"] == 38  # of 25 viewers; those of 23 are 34.5


def test_minutes_of_a_cluster_that_sees_nearly_all_to_the_end_are_hidden():
    # Of 120 and 180 seconds; all who watched to the end: minutes would tell how many saw which.
    sessions = [session(f"z{n}", "v2" if n < 14 else "v3", 1.0) for n in range(41)]
    watched = listed(sessions, []).parts["watch_time"].table.set_index("cluster")
    assert watched.loc["casual_viewers", ["minutes", "minutes_per_viewer"]].isna().all()
    sessions += [session(f"y{n}", "v2", 0.4) for n in range(20)]  # 12 views were not seen
    watched = listed(sessions, []).parts["watch_time"].table.set_index("cluster")
    assert watched.loc["casual_viewers", ["minutes", "minutes_per_viewer"]].notna().all()


def test_watch_time_has_no_row_of_a_cluster_without_viewers_and_no_table_of_hidden_minutes():
    sessions = [session(f"z{n}", "v2", 0.6) for n in range(25)] + [session("lone", "v3", 0.6)]
    watched = listed(sessions, []).parts["watch_time"]
    assert watched.table["cluster"].tolist() == ["casual_viewers"]
    assert not watched.parts, "all but one viewer saw the one, and one the other"
