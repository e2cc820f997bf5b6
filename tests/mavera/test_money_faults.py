"""Faults and deaths by seed: never two personas for a cluster, never a credit over the bill.

The long form is ``benchmarks/money.py``.
"""

import pytest
from dying import killed_for_real, trial

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
