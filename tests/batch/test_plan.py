"""What a run is given: files, stages by number."""

import pytest

from helpers.batch import plan
from helpers.core.errors import ParameterError
from helpers.core.folders import STAGES


@pytest.mark.parametrize(
    ("text", "stages"), [("", STAGES), ("3", STAGES[2:3]), ("2-4", STAGES[1:4])]
)
def test_stages_are_named_by_number(text, stages):
    assert plan.choose_stages(text) == stages


@pytest.mark.parametrize("text", ["0", "7", "4-2", "1,2", "a", "1-", "²"])
def test_stages_that_are_none_are_refused(text):
    with pytest.raises(ParameterError, match="Expected N or N-M"):
        plan.choose_stages(text)
