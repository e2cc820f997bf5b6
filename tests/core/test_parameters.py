"""Parameters are checked before anything starts; dates name a window."""

from datetime import date

import pytest
from hypothesis import given, strategies as st

from helpers.core.errors import ParameterError
from helpers.core.parameters import DEFAULTS, Parameters, Window, inherit


@pytest.fixture(autouse=True)
def on_a_known_day(monkeypatch):
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", "2026-03-01T00:30:00+00:00")


@pytest.mark.parametrize(
    ("given_dates", "sandbox", "start", "end"),
    [
        ({}, False, date(2024, 3, 1), date(2026, 2, 28)),
        ({"run_date": "2024-03-01"}, False, date(2022, 3, 2), date(2024, 2, 29)),
        ({"run_date": "2030-01-01"}, True, date(2024, 7, 1), date(2026, 6, 30)),
        ({"start_date": "2001-01-01", "end_date": "2099-12-31"}, False, date(2001, 1, 1),
         date(2099, 12, 31)),
    ],
)  # fmt: skip
def test_dates_name_a_window_and_are_never_clamped(given_dates, sandbox, start, end):
    window = Window.of(Parameters(**given_dates), sandbox=sandbox)
    assert (window.start, window.end) == (start, end)


def test_an_end_before_the_start_is_refused():
    with pytest.raises(ParameterError, match="end_date 2026-01-01 comes before start_date"):
        Window.of(Parameters(start_date="2026-01-02", end_date="2026-01-01"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"start_date": text}, "a day in ISO 8601")
        for text in ["0001-01-01", "9999-12-31", "2026-02-30", "2026-1-1", "today", "²026-01-01"]
    ]
    + [
        ({"n_cell": 3}, "Did you mean 'min_cell'"),
        ({"min_cell": "ten"}, "whole number"),
        ({"min_cell": True}, "whole number"),
        ({"min_cell": 3}, "5 or more"),
        ({"max_credits": -1}, "0 or more"),
        ({"max_credits": "1e3"}, "whole number"),
        ({"media_ids": [2134]}, "list of text"),
        ({"media_ids": [float("inf")]}, "papermill -y"),
        ({"media_ids": "no id"}, "ids of videos"),
        ({"exclude_domains": "bob@umbrella.example"}, "domains, such as"),
        ({"persona_clusters": "ann@acme.example"}, "without an e-mail"),
        ({"show_identities": "perhaps"}, "true or false"),
        ({"source": "demo"}, "'auto', 'live' or 'sandbox'"),
        ({"time_zone": "../../etc/passwd"}, "IANA name"),
        ({"api_key": "bob@x"}, "sounds like a secret"),
        ({"run": "2026-01-01.11"}, "run folder's name"),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_was_expected(values, expected):
    with pytest.raises(ParameterError) as refused:
        Parameters.check(values, where="03_cluster")
    assert expected in str(refused.value)
    assert str(refused.value).startswith("03_cluster")
    assert "bob@" not in str(refused.value)


def test_text_becomes_the_kind_of_the_parameter_and_ids_stay_text():
    values = Parameters.check(
        {
            "max_credits": "1,575",
            "show_identities": "yes",
            "media_ids": '["5e12345678"," 0012345678"]',
            "exclude_domains": "@ACME.com, umbrella.example",
        }
    )
    assert values.max_credits == 1575 and values.show_identities is True
    assert values.media_ids == ["5e12345678", "0012345678"]
    assert values.exclude_domains == ["acme.com", "umbrella.example"]
    assert Parameters(media_ids="[5e12345678, 7]").media_ids == ["5e12345678", "7"]


@pytest.mark.parametrize(
    "address",
    [
        "https://acme.wistia.com/medias/a1b2c3d4e5",
        "https://fast.wistia.net/embed/iframe/a1b2c3d4e5?autoPlay=true",
        "https://acme.example/page?wvideo=a1b2c3d4e5",
    ],
)
def test_the_id_in_a_wistia_address_is_taken(address):
    assert Parameters(media_ids=[address]).media_ids == ["a1b2c3d4e5"]


@given(st.sampled_from(sorted(DEFAULTS)), st.text(max_size=40) | st.integers() | st.none())
def test_any_value_is_understood_or_refused(name, value):
    try:
        checked = Parameters.check({name: value})
    except ParameterError as refused:
        assert name in str(refused) and refused.expected
    else:
        assert Parameters.check(checked.model_dump()) == checked


def test_a_later_stage_takes_what_is_recorded_where_it_was_given_nothing_of_its_own():
    recorded = {"start_date": "2026-01-01", "media_ids": ["a"], "max_credits": 700, "gone": 1}
    asked = Parameters(start_date="", media_ids=[], max_credits=0)
    assert inherit(asked, recorded, "03_cluster").media_ids == ["a"]
    assert inherit(asked, recorded, "02_enrich").media_ids == []  # the stage that sets them
    assert inherit(asked, recorded, "05_mave_analysis").start_date == "2026-01-01"
    assert inherit(asked, recorded, "05_mave_analysis").max_credits == 0  # money never is
