"""Kill -9, faults and moving rows while the account is fetched: nothing lost, nothing double."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta

import fetching
import pytest
from fetching import EVENTS, VISITORS, Served, event, go, kill_and_go_on, rows_of, tables

from helpers.core import http
from helpers.core.settings import load
from helpers.sandbox.faults import READ_KINDS, Faults
from helpers.store.store import Store
from helpers.wistia.client import Wistia

WINDOW = {"start_date": "2026-09-21", "end_date": "2026-09-30"}
PAGE = 5


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(http.Client, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(http.Client, "ATTEMPTS", 12)
    monkeypatch.setitem(Wistia.__init__.__kwdefaults__, "per_page", PAGE)


@pytest.fixture
def served(bare_environment, monkeypatch):
    """10 days of 13 sessions, 80 visitors: 26 pages of sessions and 16 of visitors."""
    server = Served(*rows_of(10, 13, 80)).start()
    for name, value in fetching.settings(bare_environment, server.url).items():
        monkeypatch.setenv(name, value)
    yield server
    server.stop()


def store() -> Store:
    return Store(load().outputs / "store" / "live")


def undisturbed(served) -> tuple[dict, int]:
    """The tables of a fetch that nothing disturbs, and its requests."""
    served.before = None
    served.log.clear()
    go(**WINDOW)
    found = tables(store())
    shutil.rmtree(load().outputs)
    return found, len(served.log)


@pytest.mark.parametrize("kinds", [*([kind] for kind in READ_KINDS), READ_KINDS], ids="-".join)
def test_a_fault_at_15_percent_of_the_requests_changes_nothing(served, kinds, monkeypatch):
    monkeypatch.setattr(http.Client, "READ_TIMEOUT", 1.0)
    expected, _ = undisturbed(served)
    served.app.faults = Faults(seed=3, rate=0.15, kinds=kinds, stall_seconds=1.5, retry_after=0.02)
    fetched = go(**WINDOW)
    assert tables(store()) == expected
    assert fetched.retries > 0
    assert (fetched.throttled > 0) == bool({"429", "429_retry_after", "503"} & set(kinds))


@pytest.mark.parametrize("part", range(2))
def test_a_fetch_killed_anywhere_goes_on_and_ends_with_the_same_tables(
    served, bare_environment, part
):
    """8 kill points over a fetch, in two parts for two cores; benchmarks/fetch.py has 200."""
    expected, requests = undisturbed(served)
    environment = fetching.settings(bare_environment, served.url)
    for point in range(part, 8, 2):
        at = 1 + point * requests // 8
        late = (point % 5) * 0.01
        found, twice = kill_and_go_on(served, environment, PAGE, at, late, WINDOW)
        assert found == expected
        assert twice == []


@pytest.mark.parametrize("seed", range(6))
def test_sessions_that_come_late_to_closed_days_push_no_other_out(served, seed):
    chance, number = random.Random(seed), [100_000]
    there = {row["event_key"] for row in served.events}

    def late_session(path, query, _):
        if path == EVENTS and chance.random() < 0.1:
            number[0] += 1
            late = timedelta(minutes=chance.randrange(10 * 24 * 60), seconds=7)
            row = event(number[0], datetime(2026, 9, 21, tzinfo=UTC) + late)
            served.events = [*served.events, row]

    served.before = late_session
    go(**WINDOW)
    stored = Counter(
        dict(row)["event_key"] for _, rows in tables(store())["sessions"] for row in rows
    )
    assert there <= set(stored), "a session was lost"
    assert set(stored.values()) == {1}, "a session is stored twice"


@pytest.mark.parametrize("seed", range(4))
def test_visitors_who_play_while_they_are_read_are_neither_lost_nor_doubled(served, seed):
    chance, clock = random.Random(seed), [datetime(2026, 10, 1, 11, tzinfo=UTC)]

    def somebody_plays(path, query, _):
        if path == VISITORS and chance.random() < 0.3:
            clock[0] += timedelta(seconds=1)
            served.play(f"visitor-{chance.randrange(90)}", clock[0])

    there = {row["visitor_key"] for row in served.visitors}
    served.before, served.app.latency = somebody_plays, 0.01
    facts = go(**WINDOW).visitors
    served.before, served.app.latency = None, 0.0
    stored = [dict(row)["visitor_key"] for row in tables(store())["visitors"]]
    assert len(stored) == len(set(stored))
    assert facts.moved > 0
    # Who played so late that the top was not read again after it is met by the next run.
    go(**WINDOW)
    stored = {dict(row)["visitor_key"]: dict(row) for row in tables(store())["visitors"]}
    assert there <= set(stored) == {row["visitor_key"] for row in served.visitors}
    for row in served.visitors:
        active = datetime.fromisoformat(row["last_active_at"])
        assert stored[row["visitor_key"]]["last_active_at"] == active
