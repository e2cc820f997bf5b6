"""What a table of people may show."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import binomtest

from helpers.findings import disclosure

tables = st.integers(1, 4).flatmap(
    lambda columns: st.lists(
        st.lists(st.one_of(st.just(0), st.integers(1, 40)), min_size=columns, max_size=columns),
        min_size=1,
        max_size=4,
    )
).map(pd.DataFrame)  # fmt: skip


def test_a_small_cell_takes_a_second_one_with_it_in_its_row_and_in_its_column():
    shown = disclosure.suppress(pd.DataFrame([[50, 3, 20], [40, 30, 0], [12, 11, 60]]), 10)
    assert shown.isna().to_numpy().tolist() == [
        [False, True, True], [False, False, False], [False, True, True],
    ]  # fmt: skip
    assert shown.loc[1].tolist() == [40, 30, 0]


def test_cells_at_the_limit_and_empty_cells_stay():
    table = pd.DataFrame([[10, 0], [25, 99]])
    assert disclosure.suppress(table, 10).equals(table.astype("Int64"))


def test_a_single_row_needs_two_hidden_cells_when_its_total_is_known():
    shown = disclosure.suppress_counts(pd.Series({"a": 4, "b": 30, "c": 12}), 10)
    assert shown.isna().to_dict() == {"a": True, "b": False, "c": True}


def test_hidden_cells_of_a_line_never_add_up_to_a_small_group():
    shown = disclosure.suppress_counts(pd.Series({"a": 4, "b": 3, "c": 50, "d": 12}), 10)
    assert shown.isna().to_dict() == {"a": True, "b": True, "c": False, "d": True}


@settings(max_examples=60, deadline=None)
@given(tables, st.sampled_from([5, 10]))
def test_no_small_cell_is_shown_and_none_can_be_found_from_the_totals(table, min_cell):
    shown = disclosure.suppress(table, min_cell)
    counts, hidden = table.to_numpy(), shown.isna().to_numpy()
    small = (counts > 0) & (counts < min_cell)
    assert hidden[small].all()
    assert (shown.to_numpy()[~hidden] == counts[~hidden]).all()
    if hidden.all():
        return
    for cell in map(tuple, np.argwhere(small)):
        low, high = what_totals_tell(counts, hidden, cell)
        assert high - low > 0.5, f"{cell} must be {low:g} in\n{table}\n{shown}"


def what_totals_tell(counts, hidden, cell):
    """Least and most that a hidden cell can be, for one who knows all totals and open cells."""
    places = list(map(tuple, np.argwhere(hidden)))
    lines = [(0, row) for row in range(counts.shape[0])] if counts.shape[1] > 1 else []
    lines += [(1, column) for column in range(counts.shape[1])] if counts.shape[0] > 1 else []
    if not lines:
        return 0, np.inf
    known = [[float(place[axis] == number) for place in places] for axis, number in lines]
    totals = [sum(counts[p] for p in places if p[axis] == number) for axis, number in lines]
    goal = np.array([float(place == cell) for place in places])
    ends = [sign * linprog(sign * goal, A_eq=known, b_eq=totals).fun for sign in (1, -1)]
    return min(ends), max(ends)


def test_the_interval_of_a_share_is_scipys_wilson_interval():
    for count, total in itertools.product([0, 1, 7, 50], [50, 51, 1247]):
        expected = binomtest(count, total).proportion_ci(method="wilson")
        assert disclosure.wilson(count, total) == pytest.approx((expected.low, expected.high))


def test_a_share_of_nothing_has_no_interval():
    assert disclosure.wilson(0, 0) is None
    assert disclosure.share_of(0, 0) == "not known"


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0 %"), (0.001, "under 1 %"), (0.3304, "33 %"), (0.999, "over 99 %"), (1, "100 %"),
     (None, "not known"), (float("nan"), "not known")],
)  # fmt: skip
def test_shares_are_told_in_whole_percent_and_never_rounded_to_none_or_all(share, words):
    assert disclosure.whole_percent(share).replace("\u00a0", " ") == words


def test_a_share_in_words_carries_its_total_and_interval():
    words = disclosure.share_of(412, 1247).replace("\u00a0", " ")
    assert words == "33 % of 1,247 (95 % interval 30–36 %)"


def test_a_narrow_interval_is_never_told_as_a_point():
    assert disclosure.span(0, 0.002) == "0–1\u00a0%"
    assert disclosure.span(0.9981, 1) == "99–100\u00a0%"
    assert disclosure.span(0.304, 0.356) == "30–36\u00a0%"
