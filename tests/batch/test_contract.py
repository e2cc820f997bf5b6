"""The shapes relied on: what differs is told by key and kind, never by value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers import mavera, wistia
from helpers.batch import contract
from helpers.sandbox.server import create_app

EVENTS = "/v1/stats/events.json"
CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures"


def rows_of_the_sandbox() -> dict[str, list[dict]]:
    account = create_app(viewers=40).account
    return {
        EVENTS: [account.events[at] for at in range(50)],
        "/v1/stats/visitors.json": [account.visitors[at] for at in range(40)],
        "/v1/medias.json": account.medias,
    }


def test_an_answer_that_is_no_list_is_a_difference():
    (row,) = contract.differences(EVENTS, {"data": []}, wistia.SHAPES[EVENTS])
    assert (row["key"], row["relied_on"]) == ("(the answer)", True)
    (row,) = contract.differences("/personas", {}, mavera.SHAPES["/personas"])
    assert (row["key"], row["expected"]) == ("data", "present")


def test_rows_of_the_sandbox_are_as_relied_on_and_a_key_that_goes_is_missed():
    for path, rows in rows_of_the_sandbox().items():
        shape = wistia.SHAPES[path]
        assert contract.differences(path, rows, shape) == []
        fields = shape.model.model_fields.items()
        needed = [field.alias or name for name, field in fields if field.is_required()]
        assert needed
        for key in needed:
            less = {name: value for name, value in rows[0].items() if name != key}
            (found,) = contract.differences(path, [less], shape)
            assert (found["key"], found["expected"]) == (f"[].{key}", "present")


def test_another_kind_and_a_new_key_are_told_by_place_and_count_without_their_values():
    rows = rows_of_the_sandbox()[EVENTS][:3]
    for row in rows[:2]:
        row |= {"percent_viewed": 55, "country": 49, "viewed_on": "jane@example.com"}
        row["user_agent_details"] = {"mobile": "secret"}
    found = contract.differences(EVENTS, rows, wistia.SHAPES[EVENTS])
    told = {(row["key"], row["rows"], row["relied_on"]) for row in found}
    assert told == {
        ("[].percent_viewed", 2, True),
        ("[].country", 2, True),
        ("[].user_agent_details.mobile", 2, True),
        ("[].viewed_on", 2, False),
    }
    assert "secret" not in json.dumps(found) and "jane" not in json.dumps(found)
    assert "55" not in json.dumps(found) and "49" not in json.dumps(found)
    assert [r["expected"] for r in found if "country" in r["key"]] == ["a valid string, not int"]


def test_a_list_out_of_order_is_a_difference_and_equal_times_are_not():
    rows = [{"received_at": f"2026-06-0{day}T10:00:00.000Z"} for day in (3, 3, 2)]
    assert contract.order(EVENTS, rows, wistia.SHAPES[EVENTS]) == []
    (found,) = contract.order(EVENTS, rows[::-1], wistia.SHAPES[EVENTS])
    assert (found["key"], found["rows"]) == ("[].received_at", 1)
    assert contract.order("/usage", {"credits": {}}, mavera.SHAPES["/usage"]) == []


def test_a_key_that_may_be_somebodys_text_is_not_written():
    usage = {"credits": {"used": 1}, "jane@example.com": 1}
    (row,) = contract.differences("/usage", usage, mavera.SHAPES["/usage"])
    assert row["key"] == "(odd name)" and not row["relied_on"]


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="no captured rows beside this folder")
@pytest.mark.parametrize("name", ["stats/events", "stats/visitors", "medias"])
def test_captured_rows_are_as_relied_on(name):
    rows = json.loads((CAPTURES / f"{name.split('/')[-1]}.json").read_text("utf-8"))[:100]
    path = f"/v1/{name}.json"
    assert contract.differences(path, rows, wistia.SHAPES[path]) == []
