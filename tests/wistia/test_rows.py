"""Wistia's rows as the kit's: what is kept, what is dropped on intake, what is refused."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from unittest.mock import Mock

import pytest
from fetching import event, media, visitor
from hypothesis import given, settings, strategies as st
from pydantic import SecretStr

from helpers.core.errors import AccessError, DataError, ServiceError
from helpers.store.facts import refuse_unusable
from helpers.store.schema import MEDIAS, SESSIONS, VISITORS
from helpers.wistia.client import Wistia
from helpers.wistia.rows import to_table

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = date(2026, 6, 1)
CAPTURES = Path(__file__).parents[3] / "shared" / "captures"


class Answers:
    """Stands in for the HTTP client: gives the rows it was made with."""

    def __init__(self, rows):
        self.rows, self.asked = rows, []

    def get(self, path, params=None, **_):
        self.asked.append((path, params))
        return self.rows


def wistia(rows) -> Wistia:
    made = Wistia("http://127.0.0.1:1", SecretStr("t"))
    made.client = Answers(rows)
    return made


def sessions(*rows):
    return next(wistia(list(rows)).sessions(DAY, DAY))


def visitors(*rows):
    return next(wistia(list(rows)).visitors())


def one(row) -> dict:
    return to_table(sessions(row).rows, SESSIONS).to_pylist()[0]


def test_text_stays_as_it_came_but_for_what_cannot_be_seen():
    kept = one(event(1, NOON, "ann", country=" US ", city="New\u200b York ", region=" \x00"))
    assert (kept["country"], kept["city"], kept["region"]) == (" US ", "New York ", None)


def test_a_session_keeps_what_the_kit_needs_and_nothing_personal_else():
    kept = one(event(1, NOON, "ann", email=" Ann@Example.com ", percent_viewed=1))
    assert {name: value for name, value in kept.items() if value is not None} == {
        "event_key": "event-1", "visitor_key": "ann", "media_id": "0012345678",
        "media_name": "A video", "received_at": NOON, "percent_viewed": 1.0,
        "email": "Ann@Example.com", "country": "US", "org": "Comcast Cable",
        "page": "example.com/page", "utm_source": "news", "mobile": False,
    }  # fmt: skip


@pytest.mark.parametrize("key", ["5e12345678", "0012345678", "1e400", "NaN", "null", " x"])
def test_ids_that_look_like_numbers_stay_text(key):
    kept = one(event(1, NOON, key, media_id=key, event_key=key))
    assert (kept["event_key"], kept["visitor_key"], kept["media_id"]) == (key, key, key)


@pytest.mark.parametrize("percent", [55, 1.0000001, -0.1, None, "0.5", True, float("nan"), [], {}])
def test_a_percent_viewed_outside_0_to_1_is_a_problem_of_its_day(percent):
    page = sessions(event(1, NOON), event(2, NOON, percent_viewed=percent))
    assert [row.event_key for row in page.rows] == ["event-1"]
    (problem,) = page.problems
    assert (problem.name, problem.day) == ("percent_viewed", DAY)
    assert problem.what == f"percent_viewed is {percent!r} (event 'event-2')"


@pytest.mark.parametrize(
    ("percent", "kept"),
    [(1.0000000000000002, 1.0), (1 + 1e-9, 1.0), (-1e-12, 0.0), (1 - 1e-10, 1.0), (0.999, 0.999)],
)
def test_float_noise_at_the_ends_is_rounded_away(percent, kept):
    assert one(event(1, NOON, percent_viewed=percent))["percent_viewed"] == kept


@pytest.mark.parametrize("name", ["event_key", "visitor_key", "media_id"])
@pytest.mark.parametrize("value", [None, "", "  ", 12345678, 1.5, ["x"], "a\0b", "\ud800"])
def test_a_row_without_a_usable_id_is_left_out_and_its_day_is_known(name, value):
    page = sessions(event(1, NOON), event(2, NOON, **{name: value}))
    assert len(page.rows) == 1
    assert [(problem.name, problem.day) for problem in page.problems] == [(name, DAY)]


@pytest.mark.parametrize("time", [None, "", "yesterday", 1765400000])
@pytest.mark.parametrize("row", ["text", None, []])
def test_a_row_without_a_time_and_what_is_no_row_are_left_out_of_no_known_day(time, row):
    page = sessions(event(1, NOON), event(2, NOON, received_at=time), row)
    assert len(page.rows) == 1
    assert [(problem.name, problem.day) for problem in page.problems] == [
        ("received_at", None), ("the row", None),
    ]  # fmt: skip


def test_more_than_one_in_a_hundred_unusable_rows_are_refused_and_one_never_is():
    problems = sessions({}, {}).problems
    refuse_unusable(problems[:1], 0, "a day")
    refuse_unusable(problems, 198, "a day")
    with pytest.raises(DataError, match="2 of 199 rows have no usable id.*may have changed"):
        refuse_unusable(problems, 197, "a day")


def test_unknown_keys_missing_optional_ones_and_odd_text_are_tolerated():
    needed = ("event_key", "visitor_key", "media_id", "received_at", "percent_viewed")
    bare = {key: value for key, value in event(1, NOON).items() if key in needed}
    kept = one(bare | {"new_field": {"a": 1}, "media_name": "a\ud800b\0c"})
    assert kept["media_name"] == "abc" and kept["percent_viewed"] == 0.01
    assert {kept[name] for name in SESSIONS.names[6:]} == {None}


def test_lists_are_asked_for_page_by_page_to_an_empty_one_and_sessions_by_inclusive_days():
    made = wistia([visitor("v", NOON)])
    pages = made.visitors(3)
    assert len(next(pages).rows) == 1
    made.client.rows = []
    assert list(pages) == list(made.sessions(date(2026, 6, 1), date(2026, 6, 2))) == []
    size = {"per_page": 100}
    days = {"start_date": "2026-06-01", "end_date": "2026-06-02"}
    assert made.client.asked == [
        ("/v1/stats/visitors.json", {"page": 3} | size),
        ("/v1/stats/visitors.json", {"page": 4} | size),
        ("/v1/stats/events.json", {"page": 1} | size | days),
    ]


@pytest.mark.parametrize("identity", [None, {}, {"name": "", "email": None, "org": None}, "x"])
def test_a_visitor_without_identity_is_anonymous(identity):
    row = visitor("v", NOON) | {"visitor_identity": identity}
    kept = visitors(row).rows[0].model_dump()
    assert kept["visitor_key"] == "v" and kept["last_active_at"] == NOON
    assert kept["name"] is kept["email"] is kept["org_name"] is kept["org_title"] is None


def test_an_identifier_is_kept_as_given_but_trimmed_and_without_a_key_a_visitor_is_left_out():
    page = visitors(visitor("a", NOON, email=" Bob-17 "), visitor(None, NOON))
    assert [row.email for row in page.rows] == ["Bob-17"] and len(page.problems) == 1


def test_a_video_keeps_id_name_duration_and_folder():
    row = media("0012345678") | {"duration": None, "folder": {"name": "New"}}
    kept = [row.model_dump() for row in next(wistia([media("5e12345678"), row]).medias()).rows]
    video = {"media_id": "5e12345678", "name": "Video 5e12345678", "duration": 61.5}
    assert kept[0] == video | {"folder": "Demos"}
    assert kept[1]["duration"] is None and kept[1]["folder"] == "New"


def test_a_token_that_may_not_read_stats_is_told_before_work_begins():
    made = wistia({"scopes": ["media:read"]})
    with pytest.raises(AccessError, match='may read media:read, but not stats. .*"Read det'):
        made.scopes()


@pytest.mark.parametrize(
    ("answer", "scopes"),
    [
        ({"scopes": ["stats:read", "media:read"]}, {"stats:read", "media:read"}),
        ({"scopes": "all:read"}, {"all:read"}),
        ({"scopes": [{"name": "stats:read"}]}, None),
        ({"data": {}}, None),
    ],
)
def test_scopes_of_an_unknown_shape_say_nothing(answer, scopes):
    assert wistia(answer).scopes() == scopes


@pytest.mark.parametrize("error", [AccessError("refused"), ServiceError("not there")])
def test_a_token_page_that_is_not_there_is_no_obstacle(error, monkeypatch):
    made = wistia([])
    monkeypatch.setattr(made.client, "get", Mock(side_effect=error))
    assert made.scopes() is None


text = st.text(max_size=20)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)


ROWS = {
    "sessions": (event(1, NOON), SESSIONS),
    "visitors": (visitor("v", NOON), VISITORS),
    "medias": (media("m"), MEDIAS),
}


@pytest.mark.parametrize("name", ROWS)
@settings(max_examples=60)
@given(data=st.data())
def test_whatever_stands_in_a_row_it_is_stored_or_refused(name, data):
    good, schema = ROWS[name]
    odd = data.draw(st.dictionaries(st.sampled_from(sorted(good)), anything, max_size=6))
    read = getattr(wistia([good | odd]), name)
    page = next(read(DAY, DAY) if name == "sessions" else read())
    assert len(page.rows) + len(page.problems) == 1
    assert to_table(page.rows, schema).num_rows == len(page.rows)


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="captured responses are not here")
def test_captured_responses_are_read_whole():
    rows = {name: json.loads((CAPTURES / f"{name}.json").read_text("utf-8"))
            for name in ("events", "visitors", "medias")}  # fmt: skip
    page = sessions(*rows["events"])
    assert (len(page.rows), page.problems) == (1694, [])
    assert "" not in {value for row in page.rows for value in row.model_dump().values()}
    assert len(visitors(*rows["visitors"]).rows) == 4000
    videos = next(wistia(rows["medias"]).medias()).rows
    assert len(videos) == 96 and all(row.folder for row in videos)
