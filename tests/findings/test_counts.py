"""The rule at the door, and what a reader could work out behind it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from scipy.stats import binomtest

from helpers.findings.counts import (
    adjust_p_values,
    are_solved,
    count_people,
    is_clear_maximum,
    publish,
    publish_counts,
    publish_parts,
    read_counts,
    with_share,
)

min_cells = st.sampled_from([1, 5, 7, 10, 12, 25, 100])
pairs = st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("count", "of", "min_cell", "shown"),
    [
        (9, 100, 10, None), (10, 100, 10, 10), (12, 100, 10, 10), (13, 100, 10, 15),
        (91, 100, 10, None), (90, 100, 10, 90), (12, 12, 10, 10), (13, 13, 10, 13),
        (35, 100, 20, 40), (34, 100, 20, 30), (0, 0, 10, 0), (3, 4, 1, 3), (13, 100, 5, 15),
    ],
)  # fmt: skip
def test_counts_typed_by_hand_are_published_as_the_contract_says(count, of, min_cell, shown):
    assert publish(count, of=of, min_cell=min_cell) == shown


def test_a_column_is_published_like_its_values():
    shown = publish_counts(pd.Series([9, 13, 0]), pd.Series([50, 50, 50]), 10)
    assert shown.tolist() == [pd.NA, 15, 0]
    assert publish_counts(pd.Series([45, 5]), 50, 10).isna().all()
    assert publish(13, of=13, min_cell=10, known=False) == 15  # 13 would tell how many there are


def test_shares_have_wilsons_interval_and_none_where_a_count_is_hidden():
    frame = pd.DataFrame({"n": pd.array([15, None, 0], "Int64"), "of": [20, 20, 0]})
    found = with_share(frame, "n", "of")[["share", "share_low", "share_high"]]
    exact = binomtest(15, 20).proportion_ci(method="wilson")
    assert found.loc[0].tolist() == pytest.approx([0.75, *exact])
    assert found.loc[1:].isna().all(axis=None)


def test_holm_corrects_what_is_there():
    adjusted = [0.03, 0.06, np.nan, 0.06]
    assert adjust_p_values([0.01, 0.04, np.nan, 0.03]) == pytest.approx(adjusted, nan_ok=True)
    assert adjust_p_values([0.6, 0.7]).tolist() == [1, 1]


def test_a_count_comes_with_its_noun():
    assert (count_people(1), count_people(1245)) == ("1 viewer", "1,245 viewers")
    assert count_people(None, "person") == "fewer than 10 persons"


@given(st.lists(pairs, min_size=1, max_size=6), min_cells, st.data())
def test_a_readers_range_holds_the_count(cells, min_cell, data):
    counts = pd.DataFrame([[count for count, _ in cells]])
    of = np.array([total for _, total in cells])
    listed = data.draw(st.lists(st.booleans(), min_size=len(cells), max_size=len(cells)))
    least, most, hidden = read_counts(counts, pd.DataFrame([listed]), of, min_cell)
    assert (least <= counts.to_numpy()).all() and (counts.to_numpy() <= most).all()
    assert hidden[0][~np.array(listed)].all()


def test_a_reader_takes_a_count_for_what_is_shown_alike():
    counts, listed = [[0, 9, 95, 47, 47, 3]], [[True, True, True, True, False, False]]
    read = read_counts(pd.DataFrame(counts), pd.DataFrame(listed), 100, 12)  # shown in steps of 6
    assert read[0].tolist() == [[0, 1, 89, 45, 0, 0]]
    assert read[1].tolist() == [[0, 11, 99, 50, 100, 11]]
    assert read[2].tolist() == [[False, True, True, False, True, True]]


def test_what_is_shown_of_a_small_group_is_all_of_it():
    counts = pd.DataFrame([[11, 17, 13, 20]])  # 10, 15, 15 and 20 are shown; nearly all is hidden
    read = read_counts(counts, True, np.array([11, 17, 25, 30]), 10)
    assert (read[0].tolist(), read[1].tolist()) == ([[11, 17, 13, 18]], [[11, 17, 15, 20]])


def test_a_hidden_count_is_solved_where_the_sum_leaves_two_values_for_it():
    # 98 to 102 and 23 to 27 are shown as 100 and 25; the third is 0 to 9 unless the sum tells more.
    listed = pd.DataFrame([[True, True, False]])
    read = read_counts(pd.DataFrame([[102, 27, 9]]), listed, 400, 10)
    assert are_solved(*read, 138, 138).tolist() == [True]  # 9 alone: 138 − 129
    assert are_solved(*read, 137, 137).tolist() == [True]  # 8 or 9
    assert are_solved(*read, 136, 136).tolist() == [False]  # 7 to 9
    assert are_solved(*read, 134, 140).tolist() == [False]
    # Nobody is there, which is no hidden count.
    all_of_it = read_counts(pd.DataFrame([[30, 0]]), pd.DataFrame([[True, False]]), 30, 10)
    assert are_solved(*all_of_it, 30, 30).tolist() == [False]
    # Of two viewers it is 1 or 2, whatever the sum.
    assert not are_solved(*read_counts(pd.DataFrame([[2]]), True, 2, 10), 1, 2).any()


@pytest.mark.parametrize(
    ("most", "second", "groups", "clear"),
    [
        (40, 20, 1, True),
        (40, 30, 1, False),
        (40, 22, 1, True),
        (40, 22, 5, False),
        (0, 0, 1, False),
    ],
)
def test_a_maximum_is_named_where_it_is_beyond_chance(most, second, groups, clear):
    # 40 of 60: p = 0.013; 40 of 70: 0.28; 40 of 62: 0.030.
    assert is_clear_maximum(most, second, groups=groups) == clear


@pytest.mark.parametrize(
    ("counted", "of", "min_cell", "shown"),
    [
        # Were only those of 9 hidden whole, it would be 10 or 11.
        ([11, 10], [18, 25], 10, [None, 10]),
        ([9, 12], [18, 25], 10, [None, 10]),
        ([5, 1, 6], [5, 11, 8], 5, [5, None, None]),
        ([5, 3, 4], [5, 11, 8], 5, [5, None, None]),
    ],
)
def test_that_all_are_hidden_tells_nothing_of_those_that_are_not(counted, of, min_cell, shown):
    parts = publish_parts(pd.Series(counted), pd.Series(of), min_cell)
    assert [None if pd.isna(value) else value for value in parts] == shown
