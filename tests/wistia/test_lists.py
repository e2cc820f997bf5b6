"""Reading lists that move: pages, sessions, visitors, whatever their sizes, ends and moves are."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pyarrow.parquet as pq
import pytest
from fetching import Served, event, media, visitor
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from helpers.core.settings import load
from helpers.store import duck
from helpers.store.store import Store
from helpers.wistia import sessions
from helpers.wistia.client import Wistia
from helpers.wistia.paging import read_pages
from helpers.wistia.sessions import SessionReader
from helpers.wistia.visitors import update_visitors


def reading(served: Served, tmp_path_factory, size: int) -> tuple[Wistia, Store]:
    service = Wistia("http://127.0.0.1:1", SecretStr("t"), per_page=size)
    service.client = served
    made = Store(tmp_path_factory.mktemp("store") / "live")
    made.open("x")
    return service, made


def connection(made: Store):
    return duck.connect(load().memory_limit, made.folder / ".spill")


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
    tmp_path_factory, minutes, size, cuts, kills, deepest
):
    sessions.DEEPEST_PAGE = deepest
    rows = [event(n, END_OF_SEPTEMBER - timedelta(minutes=m)) for n, m in enumerate(minutes)]
    served = Served(events=rows)
    service, made = reading(served, tmp_path_factory, size)
    last = date(2026, 9, 30)
    kills = iter(kills)

    class Killed(Exception):
        pass

    def run(first: date, number: int) -> None:
        begun, limit = len(served.log), next(kills, None)

        def kill(path, query, count):
            if limit and count - begun > limit:
                raise Killed

        served.before = kill
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
    served.before, sessions.DEEPEST_PAGE = None, 1000
    stored = {
        day: sorted(key for path in made.folder.glob(f"sessions/day={day}/part-*")
                    for key in pq.ParquetFile(path).read()["event_key"].to_pylist())
        for day in made.days()
    }  # fmt: skip
    expected = {last - timedelta(days=n): [] for n in range(10)}
    for row in served.events:
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
    tmp_path_factory, people, size, plays, incremental
):
    base = END_OF_SEPTEMBER - timedelta(days=300)
    rows = [visitor(f"visitor-{n}", base - timedelta(hours=n)) for n in range(people)]
    served = Served(rows, medias=[media("0012345678")])
    service, made = reading(served, tmp_path_factory, size)
    con = connection(made)
    mark = None
    if incremental and people:
        mark = datetime.fromisoformat(update_visitors(service, made, con).known_until)
    waiting, begun, clock = sorted(plays), len(served.log), [base]

    def somebody_plays(path, query, count):
        while waiting and waiting[0][0] <= count - begun:
            clock[0] += timedelta(hours=1)
            served.play(f"visitor-{waiting.pop(0)[1]}", clock[0])

    served.before = somebody_plays
    facts = update_visitors(service, made, con, known_until=mark)
    served.before = None
    met = pd.read_parquet(made.visitors_path).set_index("visitor_key")["last_active_at"]
    assert met.index.is_unique and facts.complete
    there = {row["visitor_key"]: pd.Timestamp(row["last_active_at"]) for row in served.visitors}
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
