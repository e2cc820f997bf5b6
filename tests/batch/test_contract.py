"""The shapes relied on: what differs is told by key and kind, never by value."""

import json
from pathlib import Path

import pytest

from helpers import mavera, wistia
from helpers.batch import contract
from helpers.sandbox.server import create_app

SHAPES = wistia.SHAPES | mavera.SHAPES
EVENTS = "/v1/stats/events.json"
CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures"


def rows_of_the_sandbox() -> dict[str, list[dict]]:
    account = create_app(viewers=40).account
    return {
        EVENTS: [account.events[at] for at in range(50)],
        "/v1/stats/visitors.json": [account.visitors[at] for at in range(40)],
        "/v1/medias.json": account.medias,
    }


def told(path: str, answer) -> set[tuple]:
    """Key, expectation, rows and whether it is relied on, of each difference."""
    shape = SHAPES[path]
    return {
        (row.key, row.expected, row.rows, row.relied_on)
        for row in contract.differences(path, answer, shape)
    }


@pytest.mark.parametrize(
    ("path", "answer", "difference"),
    [
        (EVENTS, {"data": []}, ("(the answer)", "a valid list, not dict", 1, True)),
        ("/personas", {}, ("data", "a valid list, not NoneType", 1, True)),
        ("/mave/threads", {"data": [{"title": "x"}]}, ("data[].id", "present", 1, True)),
        (
            "/usage",
            {"credits": {"used": 1}, "jane@example.com": 1},  # may be somebody's text
            ("(odd name)", "no such key", 1, False),
        ),
    ],
)
def test_what_is_missing_odd_or_no_list_is_told_by_its_place(path, answer, difference):
    assert told(path, answer) == {difference}


def test_rows_of_the_sandbox_are_as_relied_on_and_a_key_that_goes_is_missed():
    for path, rows in rows_of_the_sandbox().items():
        assert told(path, rows) == set()
        fields = SHAPES[path].model.model_fields.items()
        needed = [field.alias or name for name, field in fields if field.is_required()]
        assert needed
        for key in needed:
            less = {name: value for name, value in rows[0].items() if name != key}
            assert told(path, [less]) == {(f"[].{key}", "present", 1, True)}


def test_another_kind_and_a_new_key_are_told_by_place_and_count_without_their_values():
    rows = rows_of_the_sandbox()[EVENTS][:3]
    for row in rows[:2]:
        row |= {"percent_viewed": 55, "country": 49, "viewed_on": "jane@example.com"}
        row["user_agent_details"] = {"mobile": "secret"}
    assert told(EVENTS, rows) == {
        ("[].percent_viewed", "less than or equal to 1.000000001", 2, True),
        ("[].country", "a valid string, not int", 2, True),
        ("[].user_agent_details.mobile", "a valid boolean, not str", 2, True),
        ("[].viewed_on", "no such key", 2, False),
    }


def test_a_list_out_of_order_is_a_difference_and_equal_times_are_not():
    rows = [{"received_at": f"2026-06-0{day}T10:00:00.000Z"} for day in (3, 3, 2)]
    assert contract.out_of_order(EVENTS, rows, SHAPES[EVENTS]) == []
    (found,) = contract.out_of_order(EVENTS, rows[::-1], SHAPES[EVENTS])
    assert (found.key, found.rows) == ("[].received_at", 1)
    assert contract.out_of_order("/usage", {"credits": {}}, SHAPES["/usage"]) == []


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="no captured rows beside this folder")
@pytest.mark.parametrize("name", ["stats/events", "stats/visitors", "medias"])
def test_captured_rows_are_as_relied_on(name):
    rows = json.loads((CAPTURES / f"{name.split('/')[-1]}.json").read_text("utf-8"))[:100]
    assert told(f"/v1/{name}.json", rows) == set()
