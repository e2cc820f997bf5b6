"""Stage 01: only what the store lacks, nothing twice, and clear words when something is wrong."""

from __future__ import annotations

import errno
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import fetching
import pandas as pd
import pyarrow.parquet as pq
import pytest
from fake_wistia import EVENTS, MEDIAS, VISITORS, FakeWistia, account, event, media, visitor
from fetching import go, tables
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from helpers import fetch
from helpers.core import http
from helpers.core.errors import AccessError, DataError, ParameterError, ServiceError
from helpers.core.settings import load
from helpers.run import Run
from helpers.store import engine
from helpers.store.store import Store
from helpers.wistia import sessions
from helpers.wistia.client import Wistia
from helpers.wistia.paging import read_pages
from helpers.wistia.sessions import SessionReader
from helpers.wistia.visitors import update_visitors

START, END = "2026-09-01", "2026-09-30"
WINDOW = {"start_date": START, "end_date": END}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(http.Client, "FIRST_WAIT", 0.01)
    monkeypatch.setitem(Wistia.__init__.__kwdefaults__, "per_page", 10)


@pytest.fixture
def fake(bare_environment, monkeypatch):
    """30 days of 12 sessions up to 30 September 2026, 155 visitors, a video."""
    events, visitors = account(30, 12, 155)
    with FakeWistia(events, visitors, [media("0012345678")]) as server:
        for name, value in fetching.settings(bare_environment, server.url).items():
            monkeypatch.setenv(name, value)
        yield server


def at(monkeypatch, moment: str) -> None:
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", moment)


def store(account: str = "live") -> Store:
    return Store(load().outputs / "store" / account)


def windows(fake) -> set[tuple[str, str]]:
    return {(query["start_date"], query["end_date"]) for query in fake.requests(EVENTS)}


# ---- what a fetch brings


def test_a_first_fetch_stores_every_session_by_day_every_visitor_and_video(fake):
    fetched = go(**WINDOW)
    assert {str(day): about["rows"] for day, about in store().days().items()} == dict.fromkeys(
        [f"2026-09-{day:02d}" for day in range(1, 31)], 12
    )
    found = tables(store())
    assert sum(len(rows) for _, rows in found["sessions"]) == 360
    assert len(found["visitors"]) == 155 and len(found["medias"]) == 1
    assert fetched.sessions.new == 360 and fetched.visitors.new == 155


def test_few_requests_fall_on_pages_that_are_not_there(fake):
    fetched = go(**WINDOW)
    pages = 36 + 16 + 1  # of sessions, visitors, videos
    assert fetched.requests == len(fake.log)
    assert len(fake.log) <= pages * 1.5 + 10


def test_the_line_a_notebook_shows_is_the_same_on_a_second_run(fake):
    first, second = go(**WINDOW), go(**WINDOW)
    assert (
        repr(first)
        == repr(second)
        == ("155 visitors in the account, 360 sessions of 7 videos in the window.")
    )
    assert first.details.loc["sessions new", "value"] == 360


def test_a_second_fetch_reads_the_last_three_days_again_and_little_else(fake):
    go(**WINDOW)
    before = tables(store())
    fake.log.clear()
    facts = go(**WINDOW)
    assert windows(fake) == {("2026-09-28", "2026-09-30")}
    assert facts.sessions.new == 0
    assert facts.visitors.incremental and facts.visitors.pages <= 4
    assert tables(store()) == before


def test_the_next_day_brings_its_sessions_and_the_three_days_before(fake, monkeypatch):
    go(**WINDOW)
    fake.events.insert(0, event(9999, datetime(2026, 10, 1, 18, tzinfo=UTC)))
    grown = next(row for row in fake.events if row["received_at"] < "2026-09-30T12")
    grown["percent_viewed"] = 1.0
    at(monkeypatch, "2026-10-02T06:00:00Z")
    fake.log.clear()
    facts = go(start_date=START, end_date="2026-10-01").sessions
    assert windows(fake) == {("2026-09-28", "2026-10-01")}
    assert facts.new == 1


def test_days_read_while_they_were_young_are_read_once_more_later(fake, monkeypatch):
    go(**WINDOW)
    at(monkeypatch, "2026-10-20T06:00:00Z")
    go(start_date=START, end_date="2026-10-19")
    fake.log.clear()
    at(monkeypatch, "2026-11-20T06:00:00Z")
    go(start_date=START, end_date="2026-10-19")
    # read on 20 October: 17 to 19 were young then, and are not any more
    assert windows(fake) == {("2026-10-17", "2026-10-19")}
    fake.log.clear()
    go(start_date=START, end_date="2026-10-19")
    assert windows(fake) == set()


def test_a_wider_window_reads_only_what_it_adds(fake):
    go(start_date="2026-09-20", end_date=END)
    fake.log.clear()
    go(**WINDOW)
    assert windows(fake) == {("2026-09-28", "2026-09-30"), ("2026-09-01", "2026-09-19")}


def test_the_running_day_is_read_page_after_page_and_again_next_time(fake, monkeypatch):
    at(monkeypatch, "2026-09-30T20:00:00Z")
    number = [1000]

    def one_more_after_each_page(path, query, _):
        if path == EVENTS and query["end_date"] == END and query["start_date"] == END:
            number[0] += 1
            moment = datetime(2026, 9, 30, 23, 59, tzinfo=UTC) + timedelta(seconds=number[0] / 100)
            fake.events.insert(0, event(number[0], moment))

    fake.before = one_more_after_each_page
    facts = go(**WINDOW).sessions
    fake.before = None
    stored = tables(store())["sessions"][-1][1]
    assert len(stored) == len({dict(row)["event_key"] for row in stored}) == 13
    assert facts.repeated == 1
    at(monkeypatch, "2026-10-01T20:00:00Z")
    go(**WINDOW)
    assert len(tables(store())["sessions"][-1][1]) == len(
        [row for row in fake.events if row["received_at"][:10] == END]
    )


def test_an_account_with_nothing_in_it_is_fetched_too(fake):
    fake.events, fake.visitors, fake.medias = [], [], []
    fetched = go(**WINDOW)
    assert repr(fetched).startswith("0 visitors in the account, 0 sessions of 0 videos")
    assert len(store().days()) == 30 and len(fake.log) <= 10
    assert fetch.days(Run.open("01_fetch", **WINDOW)).empty


def test_videos_that_may_not_be_read_are_no_obstacle(fake):
    fake.before = lambda path, *_: (403, {}, "") if path == MEDIAS else None
    assert 'the token lacks "Read all folder and media data"' in repr(go(**WINDOW))


def test_run_json_tells_what_was_fetched_and_what_it_cost(fake):
    run = Run.open("01_fetch", **WINDOW)
    fetch.everything(run)
    told = run.manifest().model_dump()
    assert told["requests"] == len(fake.log) and told["retries"] == 0
    assert told["counts"] == {"visitors": 155, "sessions": 360}
    assert told["fetch"]["sessions"]["pages"] == 37
    assert told["fetch"]["visitors"]["complete"] is True
    assert told["dropped_rows"] == told["repeated_rows"] == 0


def test_summary_counts_a_repeated_event_key_once(fake):
    fake.events.insert(0, fake.events[0] | {"visitor_key": "other", "percent_viewed": 0.01})
    go(**WINDOW)
    found = fetch.summary(Run.open("01_fetch", **WINDOW)).iloc[0]
    assert (found["sessions"], found["repeated_rows"]) == (360, 1)
    assert f"{found['first_day']:%F} {found['last_day']:%F}" == f"{START} {END}"


def test_days_are_counted_without_a_gap_and_by_week_in_long_windows(fake):
    fake.events = [row for row in fake.events if row["received_at"][8:10] != "05"]
    go(**WINDOW)
    found = fetch.days(Run.open("01_fetch", **WINDOW))
    assert len(found) == 30 and found["sessions"].loc["2026-09-05"].tolist() in (0, [0])
    weekly = fetch.days(Run.open("01_fetch", **WINDOW), weekly_above=7)
    assert weekly.index.name == "week" and weekly["sessions"].sum() == 29 * 12


def test_no_page_is_asked_for_that_is_deeper_than_pages_are_known_to_work(fake, monkeypatch):
    monkeypatch.setattr(sessions, "DEEPEST_PAGE", 10)
    go(**WINDOW)
    asked = fake.requests(EVENTS)
    assert max(int(query["page"]) for query in asked) == 10
    # 36 pages: the next window begins with the day that the tenth page broke off in.
    assert windows(fake) == {
        ("2026-09-28", END), (START, "2026-09-27"), (START, "2026-09-19"), (START, "2026-09-11"),
        (START, "2026-09-03"),
    }  # fmt: skip
    assert len(asked) <= 36 * 1.2 + 20
    assert [len(rows) for _, rows in tables(store())["sessions"]] == [12] * 30


def test_a_late_session_that_pushes_one_off_the_last_page_is_noticed(fake):
    fake.events = fake.events[:50]
    late = event(
        9999, datetime.fromisoformat(fake.events[25]["received_at"]) + timedelta(minutes=5)
    )

    def late_on_the_empty_page(path, query, _):
        if path == EVENTS and query["page"] == "6" and late not in fake.events:
            fake.events.insert(25, late)

    fake.before = late_on_the_empty_page
    assert go(**WINDOW).sessions.lists_read_again == 1
    assert sum(len(rows) for _, rows in tables(store())["sessions"]) == 51


def test_a_day_longer_than_the_deepest_page_is_read_to_its_end(fake, monkeypatch):
    monkeypatch.setattr(sessions, "DEEPEST_PAGE", 3)
    for number, row in enumerate(fake.events[:100]):
        row["received_at"] = f"2026-09-30T{23 - number // 5:02d}:00:00.000Z"
    go(**WINDOW)
    assert sum(len(rows) for _, rows in tables(store())["sessions"]) == 360


# ---- bad input


def test_a_percent_viewed_of_55_refuses_its_day_and_keeps_all_others(fake):
    bad = next(row for row in fake.events if row["received_at"].startswith("2026-09-17"))
    bad["percent_viewed"] = 55
    with pytest.raises(DataError, match=r"day 2026-09-17, event 'event-\d+': percent_viewed is 55"):
        go(**WINDOW)
    assert len(store().days()) == 29 and date(2026, 9, 17) not in store().days()
    bad["percent_viewed"] = 0.55
    fake.log.clear()
    go(**WINDOW)
    assert windows(fake) == {("2026-09-17", "2026-09-17")}
    assert len(store().days()) == 30


def test_a_changed_unit_stops_the_fetch_early(fake):
    for row in fake.events:
        row["percent_viewed"] *= 100
    with pytest.raises(DataError, match="more days were refused"):
        go(**WINDOW)
    assert len(fake.requests(EVENTS)) < 36 and not store().days()


def test_a_wrong_token_is_told_and_nothing_is_stored(fake):
    fake.before = lambda *_: (401, {}, '{"code":"unauthorized_credentials","error":"Invalid"}')
    with pytest.raises(AccessError, match='401 on GET .*"Read detailed stats"'):
        go(**WINDOW)


def test_a_token_revoked_half_way_keeps_the_days_before(fake):
    fake.before = lambda path, query, number: (401, {}, "") if number > 25 else None
    with pytest.raises(AccessError):
        go(**WINDOW)
    kept = store().days()
    assert 5 < len(kept) < 30
    fake.before = None
    fake.log.clear()
    go(**WINDOW)
    oldest = f"{min(kept)}"
    assert all(end < oldest for _, end in windows(fake))
    assert len(store().days()) == 30


def test_a_network_that_vanishes_keeps_the_days_before(fake):
    fake.before = lambda path, query, number: (0, {}, None) if number > 25 else None
    with pytest.raises(ServiceError, match="Check the network"):
        go(**WINDOW)
    assert len(store().days()) > 5


def test_a_full_disk_is_told_and_keeps_what_was_fetched(fake, monkeypatch):
    commit, left = fetch.Store.stage, [12]

    def stage(self, day):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return commit(self, day)

    monkeypatch.setattr(Store, "stage", stage)
    with pytest.raises(ServiceError, match="is full. Every day fetched whole is kept. Make room"):
        go(**WINDOW)
    assert len(store().days()) == 12
    assert not store().staging.exists()


def test_a_store_of_another_address_is_refused(fake, monkeypatch):
    go(**WINDOW)
    monkeypatch.setenv("WISTIA_BASE_URL", fake.url.replace("127.0.0.1", "localhost"))
    with pytest.raises(ParameterError, match="Two addresses never mix"):
        go(**WINDOW)


def test_sessions_outside_the_window_are_left_out(fake):
    stray = event(7777, datetime(2026, 8, 1, tzinfo=UTC))
    page = fake._page
    fake._page = lambda path, query: (
        page(path, query) + ([stray] if path == EVENTS and query["page"] == "2" else [])
    )
    facts = go(**WINDOW)
    assert facts.sessions.outside >= 1 and facts.dropped_rows["outside the window"] >= 1
    assert len(store().days()) == 30


# ---- people


def test_who_was_erased_stays_out(fake):
    fake.visitors[3]["visitor_identity"]["email"] = "ann@example.com"
    key = fake.visitors[3]["visitor_key"]
    go(**WINDOW)
    store().forget("ann@example.com")
    facts = go(full_sweep=True, **WINDOW)
    found = tables(store())
    assert f"'{key}'" not in str(found["visitors"]) and f"'{key}'" not in str(found["sessions"])
    assert facts.visitors.erased >= 1 and facts.dropped_rows["erased people"] >= 1


def test_retention_lets_days_go_unless_the_window_asks_for_them(fake, monkeypatch):
    go(**WINDOW)
    monkeypatch.setenv("VIEWER_PERSONAS_RETENTION_DAYS", "10")
    go(**WINDOW)
    assert len(store().days()) == 30
    at(monkeypatch, "2026-10-02T12:00:00Z")
    fake.log.clear()
    go(start_date="", end_date="")
    assert list(store().days()) == [date(2026, 9, 22) + timedelta(n) for n in range(10)]
    assert min(start for start, _ in windows(fake)) >= "2026-09-22"


# ---- visitors


def test_a_visitor_who_plays_again_between_runs_is_read_anew_and_others_are_not(fake):
    go(**WINDOW)
    fake.play("visitor-154", datetime(2026, 10, 1, 9, tzinfo=UTC))
    fake.play("visitor-new", datetime(2026, 10, 1, 10, tzinfo=UTC))
    fake.log.clear()
    facts = go(**WINDOW).visitors
    assert (facts.new, facts.rows) == (1, 156)
    assert len(fake.requests(VISITORS)) <= 5


def test_a_full_sweep_on_demand_lets_go_of_who_is_gone_at_wistia(fake):
    go(**WINDOW)
    fake.visitors.pop(100)
    assert go(**WINDOW).visitors.rows == 155
    facts = go(full_sweep=True, **WINDOW).visitors
    assert (facts.rows, facts.incremental) == (154, False)


def test_the_newest_visitors_gone_at_wistia_do_not_end_incremental_sweeps(fake):
    go(**WINDOW)
    del fake.visitors[:2]  # 40 minutes of activity
    for _ in range(2):
        facts = go(**WINDOW).visitors
        assert facts.incremental and facts.pages <= 4 and facts.rows == 155


def test_a_broken_order_is_answered_with_a_full_sweep_and_said(fake):
    go(**WINDOW)
    fake.visitors[3], fake.visitors[150] = fake.visitors[150], fake.visitors[3]
    fake.play("visitor-new", datetime(2026, 10, 1, 10, tzinfo=UTC))
    fake.visitors.insert(5, fake.visitors.pop(0))
    fetched = go(**WINDOW)
    assert fetched.visitors.order_broken and fetched.visitors.rows == 156
    assert "out of order" in repr(fetched)


def test_sessions_out_of_order_are_all_kept(fake):
    first, last = fake.events[40], fake.events[300]
    fake.events[40], fake.events[300] = last, first
    facts = go(**WINDOW).sessions
    assert facts.order_broken
    assert [len(rows) for _, rows in tables(store())["sessions"]] == [12] * 30


# ---- rules that hold for all input


class Direct:
    """Answers from the lists of a fake, without HTTP, in any order of arrival."""

    def __init__(self, fake: FakeWistia):
        self.fake, self.counts = fake, Counter()

    def get(self, path, params=None, **_):
        with self.fake.lock:
            query = {key: str(value) for key, value in (params or {}).items()}
            self.fake.log.append((path, query))
            if self.fake.before:
                self.fake.before(path, query, len(self.fake.log))
            return self.fake._page(path, query)


@pytest.fixture(scope="module")
def silent():
    with FakeWistia() as server:
        yield server


def reading(silent, tmp_path_factory, size: int):
    service = Wistia("http://127.0.0.1:1", SecretStr("t"), per_page=size)
    service.client = Direct(silent)
    made = Store(tmp_path_factory.mktemp("store") / "live")
    made.open("x")
    return service, made


def connection(made: Store):
    return engine.connect(load().memory_limit, made.folder / ".spill")


END_OF_SEPTEMBER = datetime(2026, 10, 1, tzinfo=UTC)
moments = st.lists(st.integers(1, 9 * 24 * 60), max_size=60)


@settings(max_examples=30)
@given(
    minutes=moments,
    size=st.sampled_from([1, 2, 3, 7, 100]),
    cuts=st.lists(st.integers(0, 9), max_size=3),
    kills=st.lists(st.integers(1, 40), max_size=3),
    deepest=st.sampled_from([2, 5, 1000]),
)
def test_the_stored_sessions_do_not_depend_on_pages_windows_or_restarts(
    silent, tmp_path_factory, minutes, size, cuts, kills, deepest
):
    sessions.DEEPEST_PAGE = deepest
    silent.events = sorted(
        (event(n, END_OF_SEPTEMBER - timedelta(minutes=m)) for n, m in enumerate(minutes)),
        key=lambda row: row["received_at"],
        reverse=True,
    )
    service, made = reading(silent, tmp_path_factory, size)
    last = date(2026, 9, 30)
    kills = iter(kills)

    class Killed(Exception):
        pass

    def run(first: date, number: int) -> None:
        begun, limit = len(silent.log), next(kills, None)

        def kill(path, query, count):
            if limit and count - begun > limit:
                raise Killed

        silent.before = kill
        reader = SessionReader(
            service, made, pass_number=number, today=date(2026, 10, 1),
            recent=date(2026, 9, 28),
        )  # fmt: skip
        try:
            reader.read(first, last)
        except Killed:
            run(first, number)

    for number, back in enumerate([*cuts, 9]):
        run(last - timedelta(days=back), number)
    silent.before, sessions.DEEPEST_PAGE = None, 1000
    stored = {
        day: sorted(key for path in made.folder.glob(f"sessions/day={day}/part-*")
                    for key in pq.ParquetFile(path).read()["event_key"].to_pylist())
        for day in made.days()
    }  # fmt: skip
    expected = {last - timedelta(days=n): [] for n in range(10)}
    for row in silent.events:
        expected[date.fromisoformat(row["received_at"][:10])].append(row["event_key"])
    assert stored == {day: sorted(keys) for day, keys in expected.items()}


@settings(max_examples=30)
@given(
    people=st.integers(0, 120),
    size=st.sampled_from([1, 2, 3, 7, 100]),
    plays=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 140)), max_size=12),
    incremental=st.booleans(),
)
def test_no_visitor_is_missed_whoever_plays_while_the_list_is_read(
    silent, tmp_path_factory, people, size, plays, incremental
):
    base = END_OF_SEPTEMBER - timedelta(days=300)
    rows = [visitor(f"visitor-{n}", base - timedelta(hours=n)) for n in range(people)]
    silent.visitors, silent.before = rows, None
    service, made = reading(silent, tmp_path_factory, size)
    con = connection(made)
    mark = None
    if incremental and people:
        mark = datetime.fromisoformat(update_visitors(service, made, con).known_until)
    waiting, begun, clock = sorted(plays), len(silent.log), [base]

    def somebody_plays(path, query, count):
        while waiting and waiting[0][0] <= count - begun:
            clock[0] += timedelta(hours=1)
            silent.play(f"visitor-{waiting.pop(0)[1]}", clock[0])

    silent.before = somebody_plays
    facts = update_visitors(service, made, con, known_until=mark)
    silent.before = None
    met = pd.read_parquet(made.visitors_path).set_index("visitor_key")["last_active_at"]
    assert met.index.is_unique and facts.complete
    there = {row["visitor_key"]: pd.Timestamp(row["last_active_at"]) for row in silent.visitors}
    late = {f"visitor-{n}" for at, n in plays if at > 0}
    for key, active in there.items():
        if key not in late:
            assert met[key] == active
    # Who played so late that no look met them anymore is met by the next run.
    update_visitors(service, made, con, known_until=facts.known_until and
          datetime.fromisoformat(facts.known_until))  # fmt: skip
    met = pd.read_parquet(made.visitors_path).set_index("visitor_key")["last_active_at"]
    assert met.to_dict() == there


@settings(max_examples=60)
@given(pages=st.integers(0, 300), workers=st.integers(1, 25), at_once=st.sampled_from([1, 8]))
def test_pages_are_read_once_each_in_order_and_few_beyond_the_end(pages, workers, at_once):
    asked = []

    def read(number):
        asked.append(number)
        return number if number <= pages else None

    found = read_pages(read, lambda page: page is None, workers=workers, at_once=at_once)
    numbers = [number for number, page in found if page]
    assert numbers == list(range(1, pages + 1))
    assert len(asked) == len(set(asked)) <= pages + max(pages // 2, at_once) + 1
    assert len(asked) <= pages + workers


def test_with_one_worker_no_page_is_asked_for_before_the_one_before_it_was_taken():
    asked = []
    for number, _ in read_pages(asked.append, lambda page: len(asked) == 9, workers=1):
        assert asked == list(range(1, number + 1))


def test_no_page_is_read_below_the_deepest():
    asked = []
    pages = read_pages(lambda n: asked.append(n) or n, lambda page: False, deepest=40)
    assert [number for number, _ in pages] == sorted(asked) == list(range(1, 41))


def test_a_page_that_fails_raises_its_error_after_all_pages_before_it():
    def read(number):
        if number == 7:
            raise ValueError("seven")
        return number if number < 20 else None

    got = []
    with pytest.raises(ValueError, match="seven"):
        for number, _ in read_pages(read, lambda page: page is None, at_once=10):
            got.append(number)
    assert got == [1, 2, 3, 4, 5, 6]
