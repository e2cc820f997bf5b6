"""What a run is given: files, stages by number."""

from __future__ import annotations

import pytest

from helpers.batch import plan
from helpers.core.errors import ParameterError
from helpers.core.parameters import Parameters
from helpers.run import STAGES


def test_a_parameter_file_keeps_ids_that_look_like_numbers(tmp_path):
    file = tmp_path / "p.yml"
    file.write_text("media_ids: [5e12345678, 02134]\nmax_credits: 300\nstart_date: 2026-01-05\n")
    values = Parameters.check(plan.read_parameter_file(file))
    assert values.media_ids == ["5e12345678", "02134"]
    assert (values.max_credits, values.start_date) == (300, "2026-01-05")


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "just words\n"])
def test_a_parameter_file_of_another_form_is_refused_by_name(tmp_path, text):
    (tmp_path / "p.yml").write_text(text)
    with pytest.raises(ParameterError, match=r"Parameter file p\.yml"):
        plan.read_parameter_file(tmp_path / "p.yml")


@pytest.mark.parametrize(
    ("text", "stages"), [("", STAGES), ("3", STAGES[2:3]), ("2-4", STAGES[1:4])]
)
def test_stages_are_named_by_number(text, stages):
    assert plan.choose_stages(text) == stages


@pytest.mark.parametrize("text", ["0", "7", "4-2", "1,2", "a", "1-", "²"])
def test_stages_that_are_none_are_refused(text):
    with pytest.raises(ParameterError, match="Expected N or N-M"):
        plan.choose_stages(text)
