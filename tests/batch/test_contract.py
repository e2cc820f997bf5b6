"""The shapes relied on: what differs is told by key and kind, never by value."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from helpers.batch import contract

EVENTS = "/v1/stats/events.json"
CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures"


def test_an_answer_that_is_no_list_is_a_difference():
    (row,) = contract.differences(EVENTS, {"data": []}, contract.WISTIA[EVENTS])
    assert (row["key"], row["expected"]) == ("(the answer)", "array, not object")


def test_every_key_that_is_relied_on_is_missed_when_it_goes():
    for path, schema in contract.WISTIA.items():
        needed = schema.get("items", {}).get("required", [])
        row = dict.fromkeys(needed, "2026-06-30T10:00:00Z") | (
            {"percent_viewed": 1} if "percent_viewed" in needed else {}
        )
        for key in needed:
            less = copy.copy(row)
            del less[key]
            found = contract.differences(path, [less], schema)
            assert [(r["key"], r["expected"]) for r in found] == [(f"[].{key}", "present")]


def test_a_list_out_of_order_is_a_difference_and_equal_times_are_not():
    rows = [{"received_at": f"2026-06-0{day}T10:00:00.000Z"} for day in (3, 3, 2)]
    assert contract.order(EVENTS, rows) == []
    (found,) = contract.order(EVENTS, rows[::-1])
    assert (found["key"], found["rows"]) == ("[].received_at", 1)
    assert contract.order("/usage", {"credits": {}}) == []


def test_a_key_that_may_be_somebodys_text_is_not_written():
    (row,) = contract.differences("/usage", {"credits": {"used": 1}, "jane@example.com": 1},
                                  contract.MAVERA["/usage"])  # fmt: skip
    assert row["key"] == "(odd name)" and not row["relied_on"]


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="no captured rows beside this folder")
@pytest.mark.parametrize("name", ["stats/events", "stats/visitors", "medias"])
def test_captured_rows_are_as_relied_on(name):
    rows = json.loads((CAPTURES / f"{name.split('/')[-1]}.json").read_text("utf-8"))[:100]
    path = f"/v1/{name}.json"
    assert contract.differences(path, rows, contract.WISTIA[path]) == []
