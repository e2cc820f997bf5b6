"""Every part has one form, holds plain JSON, and hides small groups."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, false_discovery_control

from helpers.findings.section import false_discovery, hide_small, part, people, plain, with_interval


def test_a_part_shows_the_columns_it_names_under_their_labels():
    rows = pd.DataFrame({"cluster": ["bouncers"], "reach": [0.5], "secret": ["x"]})
    found = part("Half.", rows, "cluster reach", "By hand.", total=np.int64(2))
    assert found == {
        "finding": "Half.",
        "rows": [{"cluster": "bouncers", "reach": 0.5}],
        "columns": {"cluster": "cluster", "reach": "reach [share of the cluster]"},
        "note": "By hand.",
        "figures": {"total": 2},
        "more": {},
    }


def test_plain_values_are_what_json_knows():
    given = {
        "a": np.float64("nan"), "b": np.inf, "c": pd.NA, "d": np.bool_(True), "e": pd.NaT,
        "f": pd.Timestamp("2026-06-01", tz="UTC"), "g": (np.int32(3), None), "h": np.array([1.5]),
    }  # fmt: skip
    assert plain(given) == {
        "a": None, "b": None, "c": None, "d": True, "e": None, "f": "2026-06-01T00:00:00+00:00",
        "g": [3, None], "h": [1.5],
    }  # fmt: skip
    json.dumps(plain(given), allow_nan=False)


def test_intervals_of_shares_are_wilsons_and_missing_where_nothing_is_divided():
    frame = with_interval(pd.DataFrame({"k": [9, 0, 0], "n": [20, 15, 0]}), "k", "n", "share")
    for row in frame.iloc[:2].itertuples():
        exact = binomtest(row.k, row.n).proportion_ci(method="wilson")
        assert (row.share_low, row.share_high) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert frame.iloc[2][["share", "share_low", "share_high"]].isna().all()


def test_q_values_are_those_of_scipy_and_missing_ones_stay_missing():
    p_values = [0.001, 0.04, 0.03, 0.5, 0.9]
    found = false_discovery([*p_values, np.nan])
    assert found[:-1] == pytest.approx(false_discovery_control(p_values))
    assert np.isnan(found[-1])


def test_counts_that_tell_of_a_small_group_are_hidden_with_what_follows_from_them():
    frame = pd.DataFrame({"viewers": [100, 50, 40], "did": [3, 20, 39], "rate": [0.03, 0.4, 0.98]})
    found = hide_small(frame, "did", "viewers", 10, also=["rate"])
    assert found["did"].isna().tolist() == [True, False, True]
    assert found["rate"].isna().tolist() == [True, False, True]
    assert found.loc[1, "did"] == 20


def test_a_count_comes_with_its_noun():
    assert [people(1), people(1247), people(2, "person", "people")] == [
        "1 viewer", "1,247 viewers", "2 people",
    ]  # fmt: skip
