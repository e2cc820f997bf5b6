"""Stage 01: only what the store lacks, nothing twice, and clear words when something is wrong."""

from __future__ import annotations

import errno
from datetime import UTC, date, datetime, timedelta

import fetching
import pytest
from fetching import EVENTS, MEDIAS, VISITORS, Served, event, go, rows_of, swap, tables

from helpers import fetch
from helpers.core import http
from helpers.core.errors import AccessError, DataError, ParameterError, ServiceError
from helpers.core.settings import load
from helpers.run import Run
from helpers.sandbox.faults import Faults
from helpers.store.store import Store
from helpers.wistia import sessions
from helpers.wistia.client import Wistia

START, END = "2026-09-01", "2026-09-30"
WINDOW = {"start_date": START, "end_date": END}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(http.Client, "FIRST_WAIT", 0.01)
    monkeypatch.setitem(Wistia.__init__.__kwdefaults__, "per_page", 10)


@pytest.fixture
def served(bare_environment, monkeypatch):
    """30 days of 12 sessions up to 30 September 2026, 155 visitors, a video."""
    server = Served(*rows_of(30, 12, 155)).start()
    for name, value in fetching.settings(bare_environment, server.url).items():
        monkeypatch.setenv(name, value)
    yield server
    server.stop()


def at(monkeypatch, moment: str) -> None:
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", moment)


def store(account: str = "live") -> Store:
    return Store(load().outputs / "store" / account)


def windows(served) -> set[tuple[str, str]]:
    return {(query["start_date"], query["end_date"]) for query in served.requests(EVENTS)}


# ---- what a fetch brings


def test_a_first_fetch_stores_every_session_by_day_every_visitor_and_video(served):
    fetched = go(**WINDOW)
    assert {str(day): about["rows"] for day, about in store().days().items()} == dict.fromkeys(
        [f"2026-09-{day:02d}" for day in range(1, 31)], 12
    )
    found = tables(store())
    assert sum(len(rows) for _, rows in found["sessions"]) == 360
    assert len(found["visitors"]) == 155 and len(found["medias"]) == 1
    assert fetched.sessions.new == 360 and fetched.visitors.new == 155


def test_few_requests_fall_on_pages_that_are_not_there(served):
    fetched = go(**WINDOW)
    pages = 36 + 16 + 1  # of sessions, visitors, videos
    assert fetched.requests == len(served.log)
    assert len(served.log) <= pages * 1.5 + 10


def test_the_line_a_notebook_shows_is_the_same_on_a_second_run(served):
    first, second = go(**WINDOW), go(**WINDOW)
    assert (
        repr(first)
        == repr(second)
        == ("155 visitors in the account, 360 sessions of 7 videos in the window.")
    )
    assert first.details.loc["sessions new", "value"] == 360


def test_a_second_fetch_reads_the_last_three_days_again_and_little_else(served):
    go(**WINDOW)
    before = tables(store())
    served.log.clear()
    facts = go(**WINDOW)
    assert windows(served) == {("2026-09-28", "2026-09-30")}
    assert facts.sessions.new == 0
    assert facts.visitors.incremental and facts.visitors.pages <= 4
    assert tables(store()) == before


def test_the_next_day_brings_its_sessions_and_the_three_days_before(served, monkeypatch):
    go(**WINDOW)
    served.events = [event(9999, datetime(2026, 10, 1, 18, tzinfo=UTC)), *served.events]
    grown = next(row for row in served.events if row["received_at"] < "2026-09-30T12")
    grown["percent_viewed"] = 1.0
    at(monkeypatch, "2026-10-02T06:00:00Z")
    served.log.clear()
    facts = go(start_date=START, end_date="2026-10-01").sessions
    assert windows(served) == {("2026-09-28", "2026-10-01")}
    assert facts.new == 1


def test_days_read_while_they_were_young_are_read_once_more_later(served, monkeypatch):
    go(**WINDOW)
    at(monkeypatch, "2026-10-20T06:00:00Z")
    go(start_date=START, end_date="2026-10-19")
    served.log.clear()
    at(monkeypatch, "2026-11-20T06:00:00Z")
    go(start_date=START, end_date="2026-10-19")
    # read on 20 October: 17 to 19 were young then, and are not any more
    assert windows(served) == {("2026-10-17", "2026-10-19")}
    served.log.clear()
    go(start_date=START, end_date="2026-10-19")
    assert windows(served) == set()


def test_a_wider_window_reads_only_what_it_adds(served):
    go(start_date="2026-09-20", end_date=END)
    served.log.clear()
    go(**WINDOW)
    assert windows(served) == {("2026-09-28", "2026-09-30"), ("2026-09-01", "2026-09-19")}


def test_the_running_day_is_read_page_after_page_and_again_next_time(served, monkeypatch):
    at(monkeypatch, "2026-09-30T20:00:00Z")
    number = [1000]

    def one_more_after_each_page(path, query, _):
        if path == EVENTS and query["end_date"] == END and query["start_date"] == END:
            number[0] += 1
            moment = datetime(2026, 9, 30, 23, 59, tzinfo=UTC) + timedelta(seconds=number[0] / 100)
            served.events = [event(number[0], moment), *served.events]

    served.before = one_more_after_each_page
    facts = go(**WINDOW).sessions
    served.before = None
    stored = tables(store())["sessions"][-1][1]
    assert len(stored) == len({dict(row)["event_key"] for row in stored}) == 13
    assert facts.repeated == 1
    at(monkeypatch, "2026-10-01T20:00:00Z")
    go(**WINDOW)
    assert len(tables(store())["sessions"][-1][1]) == len(
        [row for row in served.events if row["received_at"][:10] == END]
    )


def test_an_account_with_nothing_in_it_is_fetched_too(served):
    served.events, served.visitors, served.medias = [], [], []
    fetched = go(**WINDOW)
    assert repr(fetched).startswith("0 visitors in the account, 0 sessions of 0 videos")
    assert len(store().days()) == 30 and len(served.log) <= 10
    assert fetch.days(Run.open("01_fetch", **WINDOW)).empty


def test_videos_that_may_not_be_read_are_no_obstacle(served):
    served.app.faults = Faults(rate=1, kinds=["403"], only=lambda method, path: path == MEDIAS)
    assert 'the token lacks "Read all folder and media data"' in repr(go(**WINDOW))


def test_run_json_tells_what_was_fetched_and_what_it_cost(served):
    run = Run.open("01_fetch", **WINDOW)
    fetch.everything(run)
    told = run.manifest().model_dump()
    assert told["requests"] == len(served.log) and told["retries"] == 0
    assert told["counts"] == {"visitors": 155, "sessions": 360}
    assert told["fetch"]["sessions"]["pages"] == 37
    assert told["fetch"]["visitors"]["complete"] is True
    assert told["dropped_rows"] == told["repeated_rows"] == 0


def test_summary_counts_a_repeated_event_key_once(served):
    served.events += [served.events[0] | {"visitor_key": "other", "percent_viewed": 0.01}]
    go(**WINDOW)
    found = fetch.summary(Run.open("01_fetch", **WINDOW)).iloc[0]
    assert (found["sessions"], found["repeated_rows"]) == (360, 1)
    assert f"{found['first_day']:%F} {found['last_day']:%F}" == f"{START} {END}"


def test_days_are_counted_without_a_gap_and_by_week_in_long_windows(served):
    served.events = [row for row in served.events if row["received_at"][8:10] != "05"]
    go(**WINDOW)
    found = fetch.days(Run.open("01_fetch", **WINDOW))
    assert len(found) == 30 and found["sessions"].loc["2026-09-05"].tolist() in (0, [0])
    weekly = fetch.days(Run.open("01_fetch", **WINDOW), weekly_above=7)
    assert weekly.index.name == "week" and weekly["sessions"].sum() == 29 * 12


def test_no_page_is_asked_for_that_is_deeper_than_pages_are_known_to_work(served, monkeypatch):
    monkeypatch.setattr(sessions, "DEEPEST_PAGE", 10)
    go(**WINDOW)
    asked = served.requests(EVENTS)
    assert max(int(query["page"]) for query in asked) == 10
    # 36 pages: the next window begins with the day that the tenth page broke off in.
    assert windows(served) == {
        ("2026-09-28", END), (START, "2026-09-27"), (START, "2026-09-19"), (START, "2026-09-11"),
        (START, "2026-09-03"),
    }  # fmt: skip
    assert len(asked) <= 36 * 1.2 + 20
    assert [len(rows) for _, rows in tables(store())["sessions"]] == [12] * 30


def test_a_late_session_that_pushes_one_off_the_last_page_is_noticed(served):
    served.events = rows = served.events[36:86]  # of closed days that are over for long
    moment = datetime.fromisoformat(rows[25]["received_at"]) + timedelta(minutes=5)
    late = event(9999, moment)

    def late_on_the_empty_page(path, query, _):
        if path == EVENTS and query["page"] == "6" and late not in served.events:
            served.events = [*served.events, late]

    served.before = late_on_the_empty_page
    assert go(start_date=START, end_date="2026-09-27").sessions.lists_read_again == 1
    assert sum(len(rows) for _, rows in tables(store())["sessions"]) == 51


def test_a_day_longer_than_the_deepest_page_is_read_to_its_end(served, monkeypatch):
    monkeypatch.setattr(sessions, "DEEPEST_PAGE", 3)
    rows = served.events
    for number, row in enumerate(rows[:100]):
        row["received_at"] = f"2026-09-30T{23 - number // 5:02d}:00:00.000Z"
    served.events = rows
    go(**WINDOW)
    assert sum(len(rows) for _, rows in tables(store())["sessions"]) == 360


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
    assert windows(served) == {("2026-09-17", "2026-09-17")}
    assert len(store().days()) == 30


def test_one_row_without_id_or_time_is_left_out_and_told_on_every_run(served):
    rows = served.events
    rows[40]["event_key"], rows[200]["received_at"] = None, "yesterday"
    rows[300]["percent_viewed"] = 1.0000000000000002
    first, second = go(**WINDOW), go(**WINDOW)
    assert "358 sessions" in repr(first) and "; 2 rows without an id or a time" in repr(first)
    assert repr(second) == repr(first)
    assert first.sessions.unusable == first.dropped_rows["without an id or a time"] == 2
    assert len(store().days()) == 30


def test_more_than_one_in_a_hundred_rows_without_an_id_refuse_their_day(served):
    bad = [row for row in served.events if row["received_at"].startswith("2026-09-17")][:2]
    for row in bad:
        row["visitor_key"] = ""
    with pytest.raises(DataError, match="day 2026-09-17: 2 of 12 rows.*visitor_key is ''"):
        go(**WINDOW)
    assert len(store().days()) == 29 and date(2026, 9, 17) not in store().days()


def test_a_changed_unit_stops_the_fetch_early(served):
    for row in served.events:
        row["percent_viewed"] *= 100
    with pytest.raises(DataError, match="more days were refused"):
        go(**WINDOW)
    assert len(served.requests(EVENTS)) < 36 and not store().days()


def test_a_wrong_token_is_told_and_nothing_is_stored(served):
    served.app.faults = Faults(rate=1, kinds=["401"])
    with pytest.raises(AccessError, match='401 on GET .*"Read detailed stats"'):
        go(**WINDOW)


def test_a_token_revoked_half_way_keeps_the_days_before(served):
    served.app.faults = Faults(script=dict.fromkeys(range(26, 999), "401"))
    with pytest.raises(AccessError):
        go(**WINDOW)
    kept = store().days()
    assert 3 <= len(kept) < 30
    served.app.faults = None
    served.log.clear()
    go(**WINDOW)
    oldest = f"{min(kept)}"
    assert all(end < oldest for _, end in windows(served))
    assert len(store().days()) == 30


def test_a_network_that_vanishes_keeps_the_days_before(served):
    served.app.faults = Faults(script=dict.fromkeys(range(26, 999), "reset"))
    with pytest.raises(ServiceError, match="Check the network"):
        go(**WINDOW)
    assert len(store().days()) >= 3


def test_a_full_disk_keeps_what_was_fetched(served, monkeypatch):
    commit, left = Store.stage, [12]

    def stage(self, day):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return commit(self, day)

    monkeypatch.setattr(Store, "stage", stage)
    with pytest.raises(OSError, match="No space left"):
        go(**WINDOW)
    assert len(store().days()) == 12
    assert not store().staging.exists()


def test_a_store_of_another_address_is_refused(served, monkeypatch):
    go(**WINDOW)
    monkeypatch.setenv("WISTIA_BASE_URL", served.url.replace("127.0.0.1", "localhost"))
    with pytest.raises(ParameterError, match="Two addresses never mix"):
        go(**WINDOW)


def test_sessions_outside_the_window_are_left_out(served):
    table, stray = served.account.events, event(7777, datetime(2026, 8, 1, tzinfo=UTC))
    table.columns["row"][15] = stray
    facts = go(**WINDOW)
    assert facts.sessions.outside == facts.dropped_rows["outside the window"] == 1
    assert len(store().days()) == 30


# ---- people


def test_who_was_erased_stays_out(served):
    served.visitors[3]["visitor_identity"]["email"] = "ann@example.com"
    key = served.visitors[3]["visitor_key"]
    go(**WINDOW)
    store().forget("ann@example.com")
    facts = go(full_sweep=True, **WINDOW)
    found = tables(store())
    assert f"'{key}'" not in str(found["visitors"]) and f"'{key}'" not in str(found["sessions"])
    assert facts.visitors.erased >= 1 and facts.dropped_rows["erased people"] >= 1


def test_retention_lets_days_go_unless_the_window_asks_for_them(served, monkeypatch):
    go(**WINDOW)
    monkeypatch.setenv("VIEWER_PERSONAS_RETENTION_DAYS", "10")
    go(**WINDOW)
    assert len(store().days()) == 30
    at(monkeypatch, "2026-10-02T12:00:00Z")
    served.log.clear()
    go(start_date="", end_date="")
    assert list(store().days()) == [date(2026, 9, 22) + timedelta(n) for n in range(10)]
    assert min(start for start, _ in windows(served)) >= "2026-09-22"


# ---- visitors


def test_a_visitor_who_plays_again_between_runs_is_read_anew_and_others_are_not(served):
    go(**WINDOW)
    served.play("visitor-154", datetime(2026, 10, 1, 9, tzinfo=UTC))
    served.play("visitor-new", datetime(2026, 10, 1, 10, tzinfo=UTC))
    served.log.clear()
    facts = go(**WINDOW).visitors
    assert (facts.new, facts.rows) == (1, 156)
    assert len(served.requests(VISITORS)) <= 5


def test_a_full_sweep_on_demand_lets_go_of_who_is_gone_at_wistia(served):
    go(**WINDOW)
    served.account.visitors.pop(100)
    assert go(**WINDOW).visitors.rows == 155
    facts = go(full_sweep=True, **WINDOW).visitors
    assert (facts.rows, facts.incremental) == (154, False)


def test_the_newest_visitors_gone_at_wistia_do_not_end_incremental_sweeps(served):
    go(**WINDOW)
    served.visitors = served.visitors[2:]  # 40 minutes of activity
    for _ in range(2):
        facts = go(**WINDOW).visitors
        assert facts.incremental and facts.pages <= 4 and facts.rows == 155


def test_a_broken_order_is_answered_with_a_full_sweep_and_said(served):
    go(**WINDOW)
    served.play("visitor-new", datetime(2026, 10, 1, 10, tzinfo=UTC))
    swap(served.account.visitors, 0, 5)
    fetched = go(**WINDOW)
    assert fetched.visitors.order_broken and fetched.visitors.rows == 156
    assert "out of order" in repr(fetched)


def test_sessions_out_of_order_are_all_kept(served):
    swap(served.account.events, 40, 300)
    facts = go(**WINDOW).sessions
    assert facts.order_broken
    assert [len(rows) for _, rows in tables(store())["sessions"]] == [12] * 30
