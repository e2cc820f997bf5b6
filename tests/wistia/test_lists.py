"""Reading lists that move: sessions and visitors, whatever their sizes, ends and moves are."""

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest
from fetching import Served, event, visitor
from hypothesis import given, settings, strategies as st
from pydantic import SecretStr

from helpers.store import duck
from helpers.store.store import Store
from helpers.wistia import sessions, visitors
from helpers.wistia.client import Wistia
from helpers.wistia.sessions import SessionReader
from helpers.wistia.visitors import VisitorReader

END_OF_SEPTEMBER = datetime(2026, 10, 1, tzinfo=UTC)
LAST = date(2026, 9, 30)
sizes = st.sampled_from([1, 2, 3, 7, 100])
moments = st.lists(st.integers(1, 9 * 24 * 60), max_size=60)  # minutes before the end of September


@pytest.fixture(scope="module", autouse=True)
def small_lists():
    """A few rows make several lists, and several blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "PAGES", 2)
        patch.setattr(sessions, "MOST_PAGES", 4)
        patch.setattr(visitors, "BLOCK", 3)
        yield


def reading(served: Served, tmp_path_factory, size: int) -> tuple[Wistia, Store]:
    service = Wistia("http://127.0.0.1:1", SecretStr("t"))
    service.per_page = size
    service.client = served
    made = Store(tmp_path_factory.mktemp("store") / "live")
    made.open("x")
    return service, made


def at(minutes: float) -> datetime:
    return END_OF_SEPTEMBER - timedelta(minutes=minutes)


class Killed(Exception):
    pass


@settings(max_examples=30)
@given(
    minutes=moments,
    size=sizes,
    windows=st.lists(st.integers(0, 9), max_size=3),
    kills=st.lists(st.integers(1, 40), max_size=3),
    late=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9 * 24 * 60)), max_size=5),
)
def test_no_session_is_lost_or_doubled_by_pages_windows_restarts_or_late_ones(
    tmp_path_factory, minutes, size, windows, kills, late
):
    served = Served(events=[event(n, at(m)) for n, m in enumerate(minutes)])
    there = {row["event_key"] for row in served.events}
    service, made = reading(served, tmp_path_factory, size)
    kills, waiting = iter(kills), sorted(late)

    def run(first: date, number: int) -> None:
        begun, limit = len(served.log), next(kills, None)

        def disturb(path, query, count):
            if waiting and waiting[0][0] <= count:
                row = event(1000 + len(waiting), at(waiting.pop(0)[1] + 0.5))
                served.events = [*served.events, row]
            if limit and count - begun > limit:
                raise Killed

        served.before = disturb
        reader = SessionReader(service, made, pass_number=number, recent=date(2026, 9, 28))
        try:
            reader.read(first, LAST)
        except Killed:
            run(first, number)

    for number, back in enumerate([*windows, 9]):
        run(LAST - timedelta(days=back), number)
    served.before = None
    stored = rows_of(made)
    assert len(made.days()) == 10 and there <= set(stored)
    received = {row["event_key"]: row["received_at"][:10] for row in served.events}
    assert stored == {key: received[key] for key in stored}


def rows_of(store: Store) -> dict[str, str]:
    """Day of each stored session, by event_key; none of them is there twice."""
    with duck.connect(None, store.folder / ".spill") as connection:
        query = f"SELECT event_key, day::VARCHAR FROM ({store.sessions.sql()})"
        rows = connection.execute(query).fetchall()
    assert len(rows) == len(dict(rows)), "a session is stored twice"
    return dict(rows)


@settings(max_examples=30)
@given(
    people=st.integers(0, 120),
    size=sizes,
    plays=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 140)), max_size=12),
    incremental=st.booleans(),
)
def test_no_visitor_is_missed_whoever_plays_while_the_list_is_read(
    tmp_path_factory, people, size, plays, incremental
):
    base = END_OF_SEPTEMBER - timedelta(days=300)
    served = Served([visitor(f"visitor-{n}", base - timedelta(hours=n)) for n in range(people)])
    service, made = reading(served, tmp_path_factory, size)
    mark = None
    if incremental and people:
        mark = VisitorReader(service, made).read().known_until
    waiting, begun, clock = sorted(plays), len(served.log), [base]

    def somebody_plays(path, query, count):
        while waiting and waiting[0][0] <= count - begun:
            clock[0] += timedelta(hours=1)
            served.play(f"visitor-{waiting.pop(0)[1]}", clock[0])

    served.before = somebody_plays
    facts = VisitorReader(service, made, mark).read()
    served.before = None
    there = {row["visitor_key"]: pd.Timestamp(row["last_active_at"]) for row in served.visitors}
    late = {f"visitor-{n}" for at, n in plays if at > 0}
    met = stored_visitors(made)
    assert met.index.is_unique
    assert met.drop(late, errors="ignore").to_dict() == {
        key: active for key, active in there.items() if key not in late
    }
    # Who played so late that no look met them anymore is met by the next run.
    VisitorReader(service, made, facts.known_until).read()
    assert stored_visitors(made).to_dict() == there


def stored_visitors(store: Store) -> pd.Series:
    return pd.read_parquet(store.visitors_path).set_index("visitor_key")["last_active_at"]


def test_a_list_that_tells_no_times_is_read_once_and_its_first_page_again(tmp_path_factory):
    blank = {"last_active_at": None}
    served = Served([visitor(f"visitor-{n}", END_OF_SEPTEMBER) | blank for n in range(25)])
    service, made = reading(served, tmp_path_factory, 10)
    assert VisitorReader(service, made).read().rows == 25
    pages = [query["page"] for _, query in served.log]
    assert pages[-1] == "1" and pages.count("2") == 1
