"""Faults and deaths by seed: never two personas for a cluster, never a credit over the bill.

The long form is ``benchmarks/money.py``.
"""

from __future__ import annotations

import pytest
from dying import Killed, killed_for_real, trial

from helpers import personas
from helpers.core import http

pytest_plugins = ("money_fixtures",)


@pytest.mark.parametrize("seed", range(12))
def test_no_fault_and_no_death_buys_anything_twice(seed, tmp_path, template, monkeypatch):
    found = trial(seed, tmp_path, template, monkeypatch)
    assert found["done"], found
    assert sorted(found["personas"]) == [
        "Binge Watchers", "Bouncers", "Casual Viewers", "Engaged Explorers", "Skimmers",
    ]  # fmt: skip
    assert found["used"] <= found["bill"], found
    assert found["booked"] == found["used"] or found["unknown"], found


def test_a_killed_process_is_cleared_up_after_by_the_next(tmp_path, template, monkeypatch):
    found = killed_for_real(17, tmp_path, template, monkeypatch)
    assert found["killed"] and len(found["personas"]) == 5 and found["used"] <= found["bill"]


def test_a_mave_of_35_seconds_is_waited_for_and_asked_once(make_world):
    world = make_world(mave_seconds=0.035)  # a second is a millisecond here
    world.spend(2000)
    assert len(world.sent("POST", "/mave/chat")) == 1


def test_what_a_dead_process_left_open_is_settled_before_the_next_bill(make_world, monkeypatch):
    world = make_world()
    run = world.run(max_credits=2000)
    personas.drafts(run)
    personas.bill(run)
    post = http.Client.post

    def dies(*args, **kwargs):
        post(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as mortal, pytest.raises(Killed):
        mortal.setattr(http.Client, "post", dies)
        personas.buy(run)
    table = personas.bill(world.run(max_credits=2000)).set_index("item")
    assert list(table["status"][:5]) == ["reuse", "buy", "buy", "buy", "buy"]
    assert table.at["total, at most", "credits"] == 1275
