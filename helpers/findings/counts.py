"""Counts of people as they may be published, and intervals of shares.

One rule stands at the door: :func:`publish`. Shares, lifts, intervals and sentences are computed
from what it lets through, so nothing that is shown can be turned back into a hidden count.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_

import numpy as np
import pandas as pd

LEAST_VALUES = 3  # so many values stay possible for a hidden count
LEAST_STEP = 5  # counts are rounded to a multiple of at least this
TOO_FEW = 30
"""Groups of fewer viewers are not compared: a 95 % interval of a share is up to 36 points wide."""


def publish(count: int, *, of: int, min_cell: int, known: bool = True) -> int | None:
    """A count as it may be shown, or None where it is hidden.

    Parameters
    ----------
    count, of : int
        People counted, and the people they are counted among.
    min_cell : int
        Groups of fewer people are hidden, and so are all but so few; 1 turns the rule off.
    known : bool
        Whether a reader knows `of`. Where not, a count is not cut to it, which would tell it.

    Returns
    -------
    int or None
        None where 0 < count < min_cell or 0 < of - count < min_cell; else rounded half up to a
        multiple of max(5, min_cell // 2), never above a known `of`.
    """
    if min_cell <= 1 or count == 0:
        return count
    if count < min_cell or 0 < of - count < min_cell:
        return None
    step = max(LEAST_STEP, min_cell // 2)
    rounded = (2 * count + step) // (2 * step) * step
    return min(rounded, of) if known else rounded


def read_counts(
    counts: pd.DataFrame, listed: pd.DataFrame, of: np.ndarray | int, min_cell: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a reader can take each count of a table for, from what is shown of it.

    Parameters
    ----------
    counts, listed : DataFrame of int and of bool
        The counts, and which of them the table has a row for.
    of : int, or an array with a value for each column
        What they are counts of.

    Returns
    -------
    least, most : arrays of int
    hidden : array of bool
    """
    values, is_listed = counts.to_numpy(int), listed.to_numpy(bool)
    step = max(LEAST_STEP, min_cell // 2)
    near = (values < of) & (of - values < min_cell)
    small = ~is_listed & (values < min_cell)
    rounded = (2 * values + step) // (2 * step) * step
    low, high = rounded - step // 2, np.minimum(rounded + (step - 1) // 2, of)
    nobody = is_listed & (values == 0)  # 0 stays 0
    least = np.select([~is_listed | nobody, near], [0, of - min_cell + 1], low)
    most = np.select(
        [nobody, small, ~is_listed, near], [0, np.minimum(min_cell - 1, of), of, of - 1], high
    )
    return least, most, ~is_listed | near


def are_solved(
    least: np.ndarray, most: np.ndarray, hidden: np.ndarray, sum_least, sum_most
) -> np.ndarray:
    """Whether the sum of a row leaves fewer than three values for one of its hidden counts.

    Parameters
    ----------
    least, most, hidden : arrays, as :func:`read_counts` gives them
    sum_least, sum_most : int, or an array with a value for each row
        What the reader knows of the sum.

    Returns
    -------
    array of bool, one for each row
    """
    rest_least = least.sum(axis=1, keepdims=True) - least
    rest_most = most.sum(axis=1, keepdims=True) - most
    high = np.minimum(most, np.reshape(sum_most, (-1, 1)) - rest_least)
    low = np.maximum(least, np.reshape(sum_least, (-1, 1)) - rest_most)
    return (hidden & (high - low < np.minimum(most - least, 2))).any(axis=1)


def publish_counts(
    counts: pd.Series, of: pd.Series | int, min_cell: int, *, known: bool = True
) -> pd.Series:
    """:func:`publish` for each row; Int64, hidden is missing."""
    totals = of if isinstance(of, pd.Series) else pd.Series(of, index=counts.index)
    shown = [
        publish(int(count), of=int(total), min_cell=min_cell, known=known)
        for count, total in zip(counts, totals, strict=True)
    ]
    return pd.Series(shown, index=counts.index, dtype="Int64")


def publish_parts(
    counts: pd.Series, of: pd.Series | int, min_cell: int, *, known: bool = True
) -> pd.Series:
    """:func:`publish_counts` of groups whose exact sum a reader knows.

    All are hidden where subtraction would leave fewer than three values for one that is hidden.
    """
    totals = of if isinstance(of, pd.Series) else pd.Series(of, index=counts.index)
    shown = publish_counts(counts, totals, min_cell, known=known)
    sets = [
        _values(None if pd.isna(value) else int(value), int(total), min_cell, known)
        for value, total in zip(shown, totals, strict=True)
    ]
    for place in range(len(sets)):
        sums = 1  # bit n is set where the other groups can add up to n
        for values in sets[:place] + sets[place + 1 :]:
            sums = reduce(or_, (sums << value for value in values))
        left = int(counts.sum())
        possible = [n for n in sets[place] if n <= left and sums >> (left - n) & 1]
        if pd.isna(shown.iloc[place]) and len(possible) < LEAST_VALUES:
            return shown.mask(shown.notna())
    return shown


def _values(shown: int | None, total: int, min_cell: int, known: bool) -> list[int]:
    """Counts that are published as `shown` among `total`."""
    near = {*range(min_cell), *(total - n for n in range(min_cell))}
    if shown is not None:
        near |= set(range(shown - min_cell, shown + min_cell + 1))
    possible = sorted(n for n in near if 0 <= n <= total)
    return [n for n in possible if publish(n, of=total, min_cell=min_cell, known=known) == shown]


def share_interval(count: int, total: int) -> tuple[float, float]:
    """95 % Wilson interval of a share, 0 to 1."""
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(count, total, method="wilson")
    return float(low), float(high)


def with_share(
    frame: pd.DataFrame, count: str, total: str, name: str = "share", *, interval: bool = True
) -> pd.DataFrame:
    """The frame with a share (0 to 1) of two columns of published counts.

    Returns
    -------
    DataFrame
        With `name` and, for its 95 % Wilson interval, ``{name}_low`` and ``{name}_high``; missing
        where a count is hidden or there is nothing to divide by.
    """
    from statsmodels.stats.proportion import proportion_confint

    counts, totals = (frame[key].to_numpy(float, na_value=np.nan) for key in (count, total))
    totals = np.where(totals > 0, totals, np.nan)
    columns = {name: counts / totals}
    if interval:
        ends = proportion_confint(counts, totals, method="wilson")
        columns[f"{name}_low"], columns[f"{name}_high"] = ends
    return frame.assign(**columns)


def adjust_p_values(p_values: Iterable[float]) -> np.ndarray:
    """p-values corrected together (Holm); missing ones stay missing."""
    # statsmodels' collects garbage at each call, which costs a notebook tenths of a second.
    values = np.asarray(list(p_values), dtype=float)
    order = np.argsort(values)[: np.isfinite(values).sum()]  # missing ones are last
    steps = values[order] * np.arange(len(order), 0, -1)
    values[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return values


def is_clear_maximum(most: float, second: float, *, groups: int = 1) -> bool:
    """Whether the largest of several counts is the largest beyond chance, and may be named.

    It is set against the second largest, two-sided, which allows for having been picked.

    References
    ----------
    Hung, K. and Fithian, W. (2019). Rank verification for exponential families.
    """
    from scipy.stats import binomtest

    both = int(most + second)
    return both > 0 and binomtest(int(most), both).pvalue < 0.05 / groups


def count_people(
    count: int | None, noun: str = "viewer", plural: str = "", *, min_cell: int = 10
) -> str:
    """A published count with its noun: ``1 viewer``, ``1,245 viewers``, ``fewer than 10 viewers``.

    A hidden count near the whole is named by the sentence that knows the whole, not here.
    """
    plural = plural or f"{noun}s"
    if count is None:
        return f"fewer than {min_cell} {plural}"
    return f"{count:,} {noun if count == 1 else plural}"
