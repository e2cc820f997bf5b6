"""Kill -9, faults and moving rows while the account is fetched: nothing lost, nothing double."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta

import fetching
import pytest
from fake_wistia import EVENTS, VISITORS, FakeWistia, account, event, media
from fetching import go, kill_and_go_on, tables

from helpers.core import http
from helpers.core.settings import load
from helpers.store.store import Store
from helpers.wistia.client import Wistia

WINDOW = {"start_date": "2026-09-21", "end_date": "2026-09-30"}
PAGE = 5
SHARE = 0.15
FAULTS = {
    "429": (429, {}, ""),
    "429 with Retry-After": (429, {"Retry-After": "0.02"}, "slow down"),
    "500": (500, {}, '{"error": "boom"}'),
    "502": (502, {}, "<html>bad gateway</html>"),
    "503": (503, {}, ""),
    "truncated": (0, {}, "[" + '{"a": 1},' * 50 + "{}]"),
    "not JSON": (200, {}, "[{"),
    "HTML with 200": (200, {}, "<!doctype html><title>Sign in</title>"),
    "reset": (0, {}, None),
    "stall": (1.5, {}, None),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(http.Client, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(http.Client, "ATTEMPTS", 12)
    monkeypatch.setitem(Wistia.__init__.__kwdefaults__, "per_page", PAGE)


@pytest.fixture
def fake(bare_environment, monkeypatch):
    """10 days of 13 sessions, 80 visitors: 26 pages of sessions and 16 of visitors."""
    events, visitors = account(10, 13, 80)
    with FakeWistia(events, visitors, [media("0012345678")]) as server:
        for name, value in fetching.settings(bare_environment, server.url).items():
            monkeypatch.setenv(name, value)
        yield server


def store() -> Store:
    return Store(load().outputs / "store" / "live")


def undisturbed(fake) -> tuple[dict, int]:
    """The tables of a fetch that nothing disturbs, and its requests."""
    fake.before = None
    fake.log.clear()
    go(**WINDOW)
    found = tables(store())
    shutil.rmtree(load().outputs)
    return found, len(fake.log)


@pytest.mark.parametrize("name", [*FAULTS, "all of them"])
def test_a_fault_at_15_percent_of_the_requests_changes_nothing(fake, name, monkeypatch):
    if name in ("stall", "all of them"):
        monkeypatch.setattr(http.Client, "READ_TIMEOUT", 1.0)
    expected, _ = undisturbed(fake)
    chance = random.Random(name)
    kinds = list(FAULTS.values()) if name == "all of them" else [FAULTS[name]]
    fake.before = lambda *_: chance.choice(kinds) if chance.random() < SHARE else None
    facts = go(**WINDOW)
    assert tables(store()) == expected
    assert facts.retries > 0
    assert (facts.throttled > 0) == (name[:3] in ("429", "503", "all"))


@pytest.mark.parametrize("part", range(4))
def test_a_fetch_killed_anywhere_goes_on_and_ends_with_the_same_tables(
    fake, bare_environment, part
):
    """20 kill points over a fetch, in four parts for two cores."""
    expected, requests = undisturbed(fake)
    environment = fetching.settings(bare_environment, fake.url)
    for point in range(part, 20, 4):
        at = 1 + point * requests // 20
        late = (point % 5) * 0.01
        found, twice = kill_and_go_on(fake, environment, PAGE, at, late, WINDOW)
        assert found == expected
        assert twice == []


@pytest.mark.parametrize("seed", range(6))
def test_sessions_that_come_late_to_closed_days_push_no_other_out(fake, seed):
    chance, number = random.Random(seed), [100_000]
    there = Counter(row["event_key"] for row in fake.events)

    def late_session(path, query, _):
        if path == EVENTS and chance.random() < 0.1:
            number[0] += 1
            late = timedelta(minutes=chance.randrange(10 * 24 * 60), seconds=7)
            fake.events.append(event(number[0], datetime(2026, 9, 21, tzinfo=UTC) + late))
            fake.events.sort(key=lambda row: row["received_at"], reverse=True)

    fake.before = late_session
    go(**WINDOW)
    stored = Counter(
        dict(row)["event_key"] for _, rows in tables(store())["sessions"] for row in rows
    )
    assert set(there) <= set(stored), "a session was lost"
    assert set(stored.values()) == {1}, "a session is stored twice"


@pytest.mark.parametrize("seed", range(4))
def test_visitors_who_play_while_they_are_read_are_neither_lost_nor_doubled(fake, seed):
    chance, clock = random.Random(seed), [datetime(2026, 10, 1, 11, tzinfo=UTC)]

    def somebody_plays(path, query, _):
        if path == VISITORS and chance.random() < 0.3:
            clock[0] += timedelta(seconds=1)
            fake.play(f"visitor-{chance.randrange(90)}", clock[0])

    there = {row["visitor_key"] for row in fake.visitors}
    fake.before, fake.latency = somebody_plays, 0.01
    facts = go(**WINDOW).visitors
    fake.before, fake.latency = None, 0.0
    stored = [dict(row)["visitor_key"] for row in tables(store())["visitors"]]
    assert len(stored) == len(set(stored))
    assert facts.moved > 0
    # Whom the last look could not meet any more is met by the next run.
    go(**WINDOW)
    stored = {dict(row)["visitor_key"]: dict(row) for row in tables(store())["visitors"]}
    assert there <= set(stored) == {row["visitor_key"] for row in fake.visitors}
    for row in fake.visitors:
        assert stored[row["visitor_key"]]["play_count"] == row["play_count"]
