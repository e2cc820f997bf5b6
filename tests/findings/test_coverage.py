"""What the data cover, held against counts typed by hand."""

from datetime import date

import pytest
from viewing import session, tables, window

from helpers.findings.coverage import describe_coverage, missing_days


def test_each_limit_has_its_published_count():
    sessions = [session(f"a{n}", "v1", 0.5, country="DE") for n in range(40)]
    sessions += [session(f"a{n}", "v2", 0, org="Amazon Technologies") for n in range(13)]
    visitors = [{"visitor_key": f"a{n}", "email": f"P{n // 2}@acme.example"} for n in range(30)]
    medias = [{"media_id": "v2", "name": "Demo", "duration": 60.0}]
    engine = tables(sessions, visitors=visitors, medias=medias)
    section = describe_coverage(engine, window(), 10, fetched=[date(2026, 6, 1)])
    table = section.table.set_index("topic")
    assert table["value"].to_dict() == {
        "identified viewers": 30, "people with several cookies": 15, "days not fetched": 27,
        "sessions from data centres or VPNs": 15, "sessions of exactly 0 %": 15,
        "sessions of videos of known length": 15, "viewers from data centres or VPNs": 15,
        "viewers with one session": 25, "viewers without a place": 0,
        "viewers without a visitor row": 10,
    }  # fmt: skip
    assert table.loc["viewers with one session", "share"] == pytest.approx(25 / 40)
    assert "25\u00a0% of 40 viewers are anonymous" in section.finding
    assert table["meaning"].str.endswith(".").all()


def test_days_are_missing_from_the_first_one_held_on():
    held = [date(2026, 6, 26), date(2026, 6, 28)]
    assert missing_days(held, window()) == [date(2026, 6, 27)]
    assert missing_days([], window()) == []


def test_nothing_watched_is_one_sentence():
    section = describe_coverage(tables([]), window(), 10, fetched=[])
    assert section.finding == "No viewer had a session in the window."


def test_a_file_of_sessions_tells_neither_missing_days_nor_networks():
    engine = tables([session(f"a{n}") for n in range(20)])
    topics = describe_coverage(engine, window(), 10, fetched=None).table["topic"]
    assert "days not fetched" not in set(topics) and not topics.str.contains("data centres").any()
    assert "viewers with one session" in set(topics)
