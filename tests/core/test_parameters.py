"""Parameters are checked before anything starts; dates name a window."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.core import parameters
from helpers.core.errors import ParameterError


@pytest.fixture(autouse=True)
def on_a_known_day(monkeypatch):
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", "2026-03-01T00:30:00+00:00")


def test_an_empty_window_ends_the_day_before_the_run_and_lasts_730_days():
    window = parameters.window()
    assert (window.start, window.end) == (date(2024, 3, 1), date(2026, 2, 28))
    assert window.days == 730


def test_a_given_run_date_moves_the_window():
    window = parameters.window(run_date="2024-03-01")
    assert (window.end, window.start) == (date(2024, 2, 29), date(2022, 3, 2))


def test_the_sandbox_keeps_its_own_calendar():
    window = parameters.window(run_date="2030-01-01", sandbox=True)
    assert window.end == date(2026, 6, 30)
    assert window.as_of == date(2026, 7, 1)


def test_given_dates_are_never_clamped():
    window = parameters.window(start_date="2001-01-01", end_date="2099-12-31")
    assert (window.start, window.end) == (date(2001, 1, 1), date(2099, 12, 31))


def test_an_end_before_the_start_is_refused():
    with pytest.raises(ParameterError, match="end_date 2026-01-01 comes before start_date"):
        parameters.window(start_date="2026-01-02", end_date="2026-01-01")


@pytest.mark.parametrize(
    "text", ["2026-02-30", "1.2.2026", "2026-1-1", "20260101", "today", "²026-01-01"]
)
def test_a_malformed_day_is_refused(text):
    with pytest.raises(ParameterError, match="is not a day"):
        parameters.check({"start_date": text})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"n_cell": 3}, "Did you mean 'min_cell'"),
        ({"min_cell": "10"}, "Expected int"),
        ({"min_cell": True}, "Expected int"),
        ({"min_cell": 0}, "1 or more"),
        ({"max_credits": -1}, "0 or more"),
        ({"media_ids": "abc"}, "Expected a list of str"),
        ({"media_ids": [2134]}, "Expected a list of str"),
        ({"show_identities": "yes"}, "Expected bool"),
        ({"source": "demo"}, "auto, live or sandbox"),
        ({"time_zone": "Mars/Base"}, "IANA name"),
        ({"time_zone": "../../etc/passwd"}, "IANA name"),
        ({"wistia_api_token": "x"}, "sounds like a secret"),
        ({"password": "x"}, "sounds like a secret"),
        ({"run": "../up"}, "run folder's name"),
        ({"run": "2026-01-01.11"}, "run folder's name"),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_was_expected(values, said):
    with pytest.raises(ParameterError) as refused:
        parameters.check(values, where="03_cluster")
    assert said in str(refused.value)
    assert str(refused.value).startswith("03_cluster")


def test_a_secret_like_value_is_never_repeated_in_the_message():
    with pytest.raises(ParameterError) as refused:
        parameters.check({"api_key": "mvra_live_123"})
    assert "mvra_live_123" not in str(refused.value)


def test_ids_that_look_like_numbers_stay_strings():
    values = parameters.check({"media_ids": ["5e12345678", "0012345678"]})
    assert values["media_ids"] == ["5e12345678", "0012345678"]


@given(st.dates(), st.dates())
def test_a_window_survives_run_json(start, end):
    window = parameters.Window(start, end, end)
    assert parameters.Window.from_dict(window.as_dict()) == window
