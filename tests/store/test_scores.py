"""Scores in a clusters file: what is left out is as built in, what is wrong is told by line."""

import pytest

from helpers.core.errors import ParameterError
from helpers.store import rules

CLUSTERS = "clusters:\n  - name: a\n    when: video_count > 3\n  - name: b\n"


def scores(text):
    return rules.parse(f"scores:\n{text}{CLUSTERS}").scores


def test_what_a_file_leaves_out_is_as_in_the_built_in_one():
    built_in = rules.load().scores
    assert sum(built_in.weights.model_dump().values()) == 100
    assert rules.parse(CLUSTERS).scores == built_in
    own = scores("  call_days: 30\n  buying_words: [offer]\n")
    assert (own.call_days, own.buying_words) == (30, ("offer",))
    assert own.weights == built_in.weights


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("  call_score: 120\n", 2, "call_score"),
        ("  half_life_days: .inf\n", 2, "half_life_days"),
        ("  call_days: 0\n", 2, "call_days"),
        ("  call_dayz: 3\n", 2, "call_dayz: unknown key. Did you mean .call_days"),
        ("  weights: {recency: 60, depth: 20, visits: 10, clicks: 25, content: 15}\n", 2,
         "add up to 130"),
        ("  weights:\n    recency: 100\n    depht: 0\n", 4, "weights: depht: unknown key"),
        ("  buying_words:\n    - demo\n    - 3\n", 4, "buying_words"),
        ("  - demo\n", 1, "scores: Input should be a valid dictionary"),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_refused_by_line(text, line, told):
    with pytest.raises(ParameterError, match=f"line {line}: .*{told}"):
        scores(text)
