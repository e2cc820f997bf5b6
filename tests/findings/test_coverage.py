"""What the data cover, counted by hand, and said in words."""

from datetime import date

import pytest

from helpers.findings import coverage
from helpers.store import rules
from tests.viewing import session, tables, window

TITLES = rules.load().titles
SESSIONS = [
    session("a", "v1", 0.0, day=0, country="DE"),
    session("a", "v2", 1.0, day=1, org="Amazon.com"),
    session("b", "v1", 0.5, day=1, org="Digital Ocean"),
    session("c", "v1", 0.5, day=2, org="Comcast Cable"),
    session("d", "v1", 0.5, day=2, org="Google Fiber"),
]
VISITORS = [
    {"visitor_key": "a", "email": "Ann@x.example"},
    {"visitor_key": "b", "email": "ann@X.example "},
    {"visitor_key": "c", "email": "no address"},
]


def test_counts_are_those_made_by_hand():
    medias = [{"media_id": "v1", "name": "One", "duration": 60.0}]
    assert coverage.counts(tables(SESSIONS, visitors=VISITORS, medias=medias)) == {
        "sessions": 5, "zero_sessions": 1, "full_sessions": 1, "data_centre_sessions": 2,
        "data_centre_viewers": 2, "days_with_sessions": 3, "sessions_with_length": 4,
        "viewers": 4, "anonymous": 2, "one_session": 3, "without_row": 1, "identified": 2,
        "emails": 1, "without_place": 3, "split_cookies": 2, "split_people": 1,
        "sessions_without_row": 1,
    }  # fmt: skip


def test_days_missing_count_from_the_first_day_that_was_fetched():
    days = [date(2026, 6, 3), date(2026, 6, 4), date(2026, 6, 6)]
    found = coverage.missing_days(days, window(date(2026, 6, 1), date(2026, 6, 7)))
    assert found == [date(2026, 6, 5), date(2026, 6, 7)]
    assert coverage.missing_days([], window()) == []


def test_every_limit_has_its_number_and_what_follows_from_it():
    found = coverage.coverage(tables(SESSIONS, visitors=VISITORS), window(), TITLES, fetched=[])
    assert (
        found["finding"] == "50\u00a0% of 4 viewers are anonymous, and 75\u00a0% have one session."
    )
    rows = {row["topic"]: row for row in found["rows"]}
    split = rows["identified cookies that share an e-mail"]
    assert split["meaning"].startswith("1 person came with several; 2.00 cookies an e-mail")
    assert "private window" in split["meaning"]
    assert rows["days not fetched"]["count"] == 0
    assert rows["sessions from data centres or VPNs"]["share"] == pytest.approx(0.4)
    assert all(row["meaning"] for row in rows.values())
    assert "Too few viewers" in found["note"] and "Casual Viewers" in found["note"]


@pytest.mark.parametrize(
    ("org", "centre"),
    [("Amazon.com", True), ("Digital Ocean", True), ("M247 Europe", True), ("OVHcloud", True),
     ("NordVPN", True), ("Ace Data Centers II", True), ("Cloudflare Warp", True), ("Vultr", True),
     ("Comcast Cable", False), ("Google Fiber", False), ("PenTeleData", False),
     ("iCloud Private Relay", False), ("COLTON TELEPHONE", False), ("Spectrum Business", False)],
)  # fmt: skip
def test_data_centres_are_known_by_name(org, centre):
    found = coverage.counts(tables([session("a", org=org)]))
    assert found["data_centre_sessions"] == int(centre)


def test_nobody_and_nothing_is_said_so():
    found = coverage.coverage(tables([]), window(), TITLES)
    assert found["finding"] == "No viewer had a session in the window."
    assert all(row["share"] in (None, 1.0) for row in found["rows"])
