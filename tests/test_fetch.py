"""Stage 01: only what the store lacks, nothing twice, and clear words when something is wrong."""

import errno
import shutil
import threading
from datetime import UTC, date, datetime, timedelta

import fetching
import pandas as pd
import pytest
from fetching import EVENTS, MEDIAS, Served, event, go, kill_and_go_on, rows_of, swap, tables

from helpers import fetch
from helpers.core import http
from helpers.core.errors import AccessError, DataError, ServiceError
from helpers.core.settings import load
from helpers.run import Run
from helpers.sandbox.faults import READ_KINDS, Faults
from helpers.store.days import Days
from helpers.store.store import Store
from helpers.wistia import sessions
from helpers.wistia.client import Wistia

START, END = "2026-09-01", "2026-09-30"
WINDOW = {"start_date": START, "end_date": END}


@pytest.fixture
def serve(bare_environment, monkeypatch):
    """A live account of given rows, up to 30 September 2026, in small pages."""
    servers = []
    monkeypatch.setattr(http.Client, "FIRST_WAIT", 0.01)

    def start(rows, page_size: int) -> Served:
        monkeypatch.setattr(Wistia, "per_page", page_size)
        server = Served(*rows).start()
        servers.append(server)
        for name, value in fetching.settings(bare_environment, server.url).items():
            monkeypatch.setenv(name, value)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def served(serve):
    """30 days of 12 sessions, 155 visitors, a video, ten rows a page."""
    return serve(rows_of(30, 12, 155), 10)


def at(monkeypatch, moment: str) -> None:
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", moment)


def store() -> Store:
    return Store(load().outputs / "store" / "live")


def days_asked(served) -> tuple[str, str]:
    """First and last day that sessions were asked for."""
    asked = served.requests(EVENTS)
    return min(q["start_date"] for q in asked), max(q["end_date"] for q in asked)


def sessions_a_day() -> list[int]:
    return [len(rows) for _, rows in tables(store())["sessions"]]


# ---- what a fetch brings


def test_a_first_fetch_stores_everything_and_a_second_reads_three_days_again(served):
    run = Run.open("01_fetch", **WINDOW)
    fetched = fetch.everything(run)
    assert [(f"{day}", facts["rows"]) for day, facts in store().days().items()] == [
        (f"2026-09-{day:02d}", 12) for day in range(1, 31)
    ]
    before = tables(store())
    assert len(before["visitors"]) == 155 and len(before["medias"]) == 1
    line = "155 visitors in the account, 360 sessions of 7 videos in the window."
    assert repr(fetched) == line
    told = run.manifest().model_dump()
    assert told["counts"] == {"visitors": 155, "sessions": 360}
    assert told["requests"] == len(served.log) and told["retries"] == 0
    assert told["fetch"]["sessions"]["new"] == 360 and told["fetch"]["visitors"]["rows"] == 155
    assert told["dropped_rows"] == told["repeated_rows"] == 0
    pages = 36 + 16 + 1  # of sessions, visitors, videos
    assert len(served.log) <= pages * 1.5 + 10
    served.log.clear()
    again = go(**WINDOW)
    assert repr(again) == line and again.sessions.new == 0
    assert days_asked(served) == ("2026-09-28", END)
    assert again.visitors.incremental and again.visitors.pages <= 4 and len(served.log) <= 15
    assert tables(store()) == before


def test_the_next_day_brings_its_sessions_and_what_grew_in_the_three_days_before(
    served, monkeypatch
):
    go(**WINDOW)
    served.events = [event(9999, datetime(2026, 10, 1, 18, tzinfo=UTC)), *served.events]
    grown = next(row for row in served.events if row["received_at"] < "2026-09-30T12")
    grown["percent_viewed"] = 1.0
    at(monkeypatch, "2026-10-02T06:00:00Z")
    served.log.clear()
    facts = go(start_date=START, end_date="2026-10-01").sessions
    assert days_asked(served) == ("2026-09-28", "2026-10-01")
    assert facts.new == 1 and len(tables(store())["days"]) == 31
    (kept,) = [row for day, rows in tables(store())["sessions"] for row in map(dict, rows)
               if row["event_key"] == grown["event_key"]]  # fmt: skip
    assert kept["percent_viewed"] == 1.0


def test_days_read_while_they_were_young_are_read_once_more_later(served, monkeypatch):
    window = {"start_date": START, "end_date": "2026-10-19"}
    at(monkeypatch, "2026-10-20T06:00:00Z")
    go(**window)
    at(monkeypatch, "2026-11-20T06:00:00Z")
    served.log.clear()
    go(**window)  # 17 to 19 October were young then, and are not any more
    assert days_asked(served) == ("2026-10-17", "2026-10-19")
    served.log.clear()
    go(**window)
    assert served.requests(EVENTS) == []


def test_a_wider_window_reads_only_what_it_adds(served):
    go(start_date="2026-09-20", end_date="2026-09-26")
    served.log.clear()
    go(start_date=START, end_date="2026-09-26")
    lists = {(q["start_date"], q["end_date"]) for q in served.requests(EVENTS)}
    assert days_asked(served) == (START, "2026-09-19") and len(lists) > 1


def test_rows_that_come_while_the_running_day_is_read_are_not_stored_twice(served, monkeypatch):
    at(monkeypatch, "2026-09-30T20:00:00Z")
    number = [1000]

    def one_more_before_each_page(path, query, _):
        if path == EVENTS and int(query["page"]) > 1:
            number[0] += 1
            moment = datetime(2026, 9, 30, 23, 59, tzinfo=UTC) + timedelta(seconds=number[0] / 100)
            served.events = [event(number[0], moment), *served.events]

    served.before = one_more_before_each_page
    facts = go(start_date=END, end_date=END).sessions
    served.before = None
    (first,) = tables(store())["sessions"]
    assert facts.repeated == 1 and len(first[1]) == 12
    at(monkeypatch, "2026-10-01T20:00:00Z")
    go(start_date=END, end_date=END)
    assert len(tables(store())["sessions"][0][1]) == 14


def test_an_account_with_nothing_in_it_is_fetched_too(served):
    served.events, served.visitors, served.medias = [], [], []
    fetched = go(**WINDOW)
    assert repr(fetched).startswith("0 visitors in the account, 0 sessions of 0 videos")
    assert len(store().days()) == 30 and len(served.log) <= 10
    assert fetch.days(Run.open("01_fetch", **WINDOW)).empty


def test_videos_that_may_not_be_read_are_no_obstacle(served):
    served.app.faults = Faults(rate=1, kinds=["403"], only=lambda method, path: path == MEDIAS)
    assert 'the token lacks "Read all folder and media data"' in repr(go(**WINDOW))


def test_summary_counts_a_repeated_event_key_once(served):
    served.events += [served.events[0] | {"visitor_key": "other", "percent_viewed": 0.01}]
    go(**WINDOW)
    found = fetch.summary(Run.open("01_fetch", **WINDOW)).iloc[0]
    assert (found["sessions"], found["repeated_rows"]) == (360, 1)
    assert f"{found['first_day']:%F} {found['last_day']:%F}" == f"{START} {END}"


def test_days_are_published_counts_without_a_gap_and_weeks_in_long_windows(served, monkeypatch):
    served.events = [row for row in served.events if row["received_at"][8:10] != "05"]
    go(**WINDOW)
    run = Run.open("01_fetch", **WINDOW)
    daily = fetch.days(run)
    assert len(daily) == 30 and daily.loc[pd.Timestamp("2026-09-05"), "sessions"] == 0
    assert set(daily["sessions"]) == {0, 10}  # 12, rounded to fives
    monkeypatch.setattr(fetch, "WEEKLY_ABOVE", 7)
    weekly = fetch.days(run)
    # 31 August to 6 September has 5 days of 12; the last week is three days.
    assert weekly.index.name == "week" and weekly["sessions"].tolist() == [60, 85, 85, 85, 35]


def test_a_list_that_is_longer_than_expected_is_left_and_gone_on_with(served, monkeypatch):
    monkeypatch.setattr(sessions, "MOST_PAGES", 2)
    rows = served.events
    for number, row in enumerate(rows[:100]):  # a day that fills more pages than a list has
        row["received_at"] = f"2026-09-15T{23 - number // 5:02d}:00:00.000Z"
    served.events = rows
    go(**WINDOW)
    assert sum(sessions_a_day()) == 360
    asked = {(q["start_date"] == q["end_date"], int(q["page"])) for q in served.requests(EVENTS)}
    assert max(page for of_one_day, page in asked if not of_one_day) == 2
    assert max(page for of_one_day, page in asked if of_one_day) > 10


# ---- bad input


def test_a_percent_viewed_of_55_refuses_its_day_and_keeps_all_others(served):
    bad = next(row for row in served.events if row["received_at"].startswith("2026-09-17"))
    bad["percent_viewed"] = 55
    with pytest.raises(
        DataError, match=r"day 2026-09-17: percent_viewed is 55 \(event 'event-\d+'\)"
    ):
        go(**WINDOW)
    assert len(store().days()) == 29 and date(2026, 9, 17) not in store().days()
    bad["percent_viewed"] = 0.55
    served.log.clear()
    go(**WINDOW)
    assert days_asked(served) == ("2026-09-17", "2026-09-17")
    assert len(store().days()) == 30


def test_one_row_without_id_or_time_is_left_out_and_told_on_every_run(served):
    rows = served.events
    rows[40]["event_key"], rows[200]["received_at"] = None, "yesterday"
    rows[300]["percent_viewed"] = 1.0000000000000002
    first, second = go(**WINDOW), go(**WINDOW)
    assert "358 sessions" in repr(first) and "; 2 rows without an id or a time" in repr(first)
    assert repr(second) == repr(first)
    assert first.sessions.unusable == first.dropped_rows == 2
    assert len(store().days()) == 30


def test_a_changed_unit_stops_the_fetch_early(served):
    for row in served.events:
        row["percent_viewed"] *= 100
    with pytest.raises(DataError, match="more days were refused"):
        go(**WINDOW)
    assert not store().days()


@pytest.mark.parametrize(("fault", "error"), [("401", AccessError), ("reset", ServiceError)])
def test_a_fetch_that_fails_half_way_keeps_the_days_before_and_goes_on(served, fault, error):
    served.app.faults = Faults(script=dict.fromkeys(range(26, 999), fault))
    with pytest.raises(error, match="401 on|Check the network"):
        go(**WINDOW)
    for thread in threading.enumerate():  # what was under way when the first one failed
        if thread.name.startswith("ThreadPool"):
            thread.join(60)
    kept = {f"{day}" for day in store().days()}
    assert 3 <= len(kept) < 30
    served.app.faults = None
    served.log.clear()
    go(**WINDOW)
    asked = served.requests(EVENTS)
    assert not [day for q in asked for day in kept if q["start_date"] <= day <= q["end_date"]]
    assert sessions_a_day() == [12] * 30


def test_a_full_disk_keeps_what_was_fetched(served, monkeypatch):
    write, left = Days.write, [12]

    def full(self, day, *args, **facts):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, day, *args, **facts)

    monkeypatch.setattr(Days, "write", full)
    with pytest.raises(OSError, match="No space left"):
        go(**WINDOW)
    assert len(store().days()) == 12
    assert not list(store().folder.rglob(".*.tmp"))


def test_sessions_of_other_days_than_asked_for_are_left_out(served):
    served.account.events.columns["row"][15] = event(7777, datetime(2026, 8, 1, tzinfo=UTC))
    facts = go(**WINDOW)
    assert facts.sessions.outside == facts.dropped_rows == 1
    assert len(store().days()) == 30


def test_sessions_out_of_order_are_all_kept(served):
    rows = served.account.events.columns["row"]
    rows[38:74] = rows[73:37:-1]  # three days the wrong way round
    go(**WINDOW)
    assert sessions_a_day() == [12] * 30


# ---- people


def test_who_was_erased_stays_out(served):
    served.visitors[3]["visitor_identity"]["email"] = "ann@example.com"
    key = served.visitors[3]["visitor_key"]
    go(**WINDOW)
    store().forget("ann@example.com")
    facts = go(full_sweep=True, **WINDOW)
    found = tables(store())
    assert f"'{key}'" not in str(found["visitors"]) and f"'{key}'" not in str(found["sessions"])
    assert facts.visitors.erased >= 1 and facts.dropped_rows >= 1


def test_retention_lets_days_go_unless_the_window_asks_for_them(served, monkeypatch):
    go(**WINDOW)
    monkeypatch.setenv("VIEWER_PERSONAS_RETENTION_DAYS", "10")
    go(**WINDOW)
    assert len(store().days()) == 30
    at(monkeypatch, "2026-10-02T12:00:00Z")
    served.log.clear()
    go(start_date="", end_date="")
    assert list(store().days()) == [date(2026, 9, 22) + timedelta(n) for n in range(10)]
    assert days_asked(served)[0] >= "2026-09-22"


# ---- visitors


def test_who_is_gone_at_wistia_goes_with_a_full_sweep_alone(served):
    go(**WINDOW)
    served.visitors = served.visitors[2:]  # the newest, 40 minutes of activity
    for _ in range(2):
        facts = go(**WINDOW).visitors
        assert facts.incremental and facts.pages <= 4 and facts.rows == 155
    facts = go(full_sweep=True, **WINDOW).visitors
    assert (facts.rows, facts.incremental) == (153, False)


def test_a_broken_order_is_answered_with_a_full_sweep_and_said(served):
    go(**WINDOW)
    served.play("visitor-new", datetime(2026, 10, 1, 10, tzinfo=UTC))
    swap(served.account.visitors, 0, 5)
    fetched = go(**WINDOW)
    assert fetched.visitors.order_broken and fetched.visitors.rows == 156
    assert fetched.visitors.pages >= 16 and "out of order" in repr(fetched)


# ---- faults and kills


@pytest.fixture
def small(serve):
    """10 days of 13 sessions, 80 visitors, in pages of five; its tables and requests when all is
    well.
    """
    server = serve(rows_of(10, 13, 80), 5)
    go(**WINDOW)
    expected, requests = tables(store()), len(server.log)
    shutil.rmtree(load().outputs)
    return server, expected, requests


def test_faults_at_15_percent_of_the_requests_change_nothing(small, monkeypatch):
    served, expected, _ = small
    monkeypatch.setattr(http.Client, "READ_TIMEOUT", 1.0)
    served.app.faults = Faults(
        seed=3, rate=0.15, kinds=READ_KINDS, stall_seconds=1.5, retry_after=0.02
    )
    fetched = go(**WINDOW)
    assert tables(store()) == expected
    assert fetched.retries > 0 and fetched.throttled > 0


def test_a_fetch_killed_anywhere_goes_on_and_ends_with_the_same_tables(small, bare_environment):
    """4 kill points over a fetch; benchmarks/fetch.py has 40."""
    served, expected, requests = small
    environment = fetching.settings(bare_environment, served.url)
    for point in range(4):
        late = (point % 5) * 0.01
        at_request = 1 + point * requests // 4
        found, twice = kill_and_go_on(served, environment, 5, at_request, late, WINDOW)
        assert found == expected
        assert twice == []
