"""What a run is given: text to types, files, stages by number."""

from __future__ import annotations

import pytest

from helpers import run as runs
from helpers.batch import plan
from helpers.core.errors import ParameterError


def test_text_becomes_the_type_of_the_parameter_and_ids_stay_text():
    assert plan.typed("max_credits", "300") == 300
    assert plan.typed("show_identities", "True") is True
    assert plan.typed("ask_personas", "yes") is True and plan.typed("ask_personas", "No") is False
    assert plan.typed("ask_personas", "perhaps") == "perhaps"  # refused later
    assert plan.typed("media_ids", "5e12345678, 02134") == ["5e12345678", "02134"]
    assert plan.typed("media_ids", "[5, 02134]") == "[5, 02134]"  # no JSON: refused later
    assert plan.typed("media_ids", '["0012345678", 7]') == ["0012345678", "7"]
    assert plan.typed("time_zone", "123") == "123"
    assert plan.typed("max_credits", "1e3") == "1e3"


def test_a_parameter_file_keeps_ids_that_look_like_numbers(tmp_path):
    file = tmp_path / "p.yml"
    file.write_text("media_ids: [5e12345678, 02134]\nmax_credits: 300\nstart_date: 2026-01-05\n")
    found = {name: plan.typed(name, value) for name, value in plan.read_file(file).items()}
    assert found == {
        "media_ids": ["5e12345678", "02134"],
        "max_credits": 300,
        "start_date": "2026-01-05",
    }


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "just words\n"])
def test_a_parameter_file_of_another_form_is_refused_by_name(tmp_path, text):
    (tmp_path / "p.yml").write_text(text)
    with pytest.raises(ParameterError, match=r"Parameter file p\.yml"):
        plan.read_file(tmp_path / "p.yml")


@pytest.mark.parametrize(
    ("text", "stages"),
    [("", runs.STAGES), ("3", runs.STAGES[2:3]), ("2-4", runs.STAGES[1:4])],
)
def test_stages_are_named_by_number(text, stages):
    assert plan.chosen_stages(text) == stages


@pytest.mark.parametrize("text", ["0", "6", "4-2", "1,2", "a", "1-", "²"])
def test_stages_that_are_none_are_refused(text):
    with pytest.raises(ParameterError, match="Expected N or N-M"):
        plan.chosen_stages(text)
