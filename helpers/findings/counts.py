"""Counts of people as they may be published, and intervals of shares.

One rule stands at the door: :func:`publish`. Shares, lifts, intervals and sentences are computed
from what it lets through, so nothing that is shown can be turned back into a hidden count.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from helpers.core.parameters import DEFAULTS

LEAST_STEP = 5  # counts are rounded to a multiple of at least this
LEAST_WHOLE = 20  # with a small min_cell, too, sizes and means of fewer viewers tell a lot
TOO_FEW = 30
"""Groups of fewer viewers are not compared: a 95 % interval of a share is up to 36 points wide."""


def publish(count: int, *, of: int, min_cell: int, known: bool = True) -> int | None:
    """A count as it may be shown, or None where it is hidden; see :func:`publish_counts`."""
    shown = publish_counts(pd.Series([count]), of, min_cell, known=known)[0]
    return None if pd.isna(shown) else int(shown)


def publish_counts(
    counts: pd.Series, of: pd.Series | int, min_cell: int, *, known: bool = True
) -> pd.Series:
    """Counts as they may be shown; Int64, hidden is missing.

    Parameters
    ----------
    counts, of : Series of int, or int
        People counted, and the people they are counted among.
    min_cell : int
        Groups of fewer people are hidden, and so are all but so few; 1 turns the rule off.
    known : bool
        Whether a reader knows `of`. Where not, a count is not cut to it, which would tell it.

    Returns
    -------
    Series
        Missing where 0 < count < min_cell or 0 < of - count < min_cell; else rounded half up to a
        multiple of max(5, min_cell // 2), never above a known `of`.
    """
    counts, of = counts.astype("Int64"), pd.Series(of, counts.index, "Int64")
    if min_cell <= 1:
        return counts
    few, near = counts < min_cell, (of - counts).between(1, min_cell - 1)
    step = max(LEAST_STEP, min_cell // 2)
    rounded = (2 * counts + step) // (2 * step) * step
    return rounded.clip(upper=of if known else None).mask((counts > 0) & (few | near))


def have_two_groups(sizes: pd.Series, min_cell: int) -> pd.Series:
    """Whether two groups that may be shown fit into each whole, and 20 viewers.

    Of a smaller one exact size and means would tell what is hidden, so it has rows in no table.
    """
    return (sizes >= max(2 * min_cell, LEAST_WHOLE)) | (min_cell <= 1)


def read_counts(
    counts: pd.DataFrame, listed: pd.DataFrame | bool, of: np.ndarray | int, min_cell: int
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
    values = counts.to_numpy(int)
    is_listed = np.broadcast_to(np.asarray(listed, bool), values.shape)
    step = max(LEAST_STEP, min_cell // 2)
    of = np.asarray(of)
    mixed = of < 2 * min_cell  # a hidden one may be few or nearly all
    small, near = values < min_cell, (values < of) & (of - values < min_cell)
    small, near = small | (mixed & near), near & ~mixed
    nobody = is_listed & (values == 0)  # 0 stays 0
    rounded = (2 * values + step) // (2 * step) * step
    low = np.maximum(rounded - step // 2, min_cell)
    high = rounded + (step - 1) // 2
    # Nearly all would be hidden: it is all of them, or not so many.
    low = np.where(low > of - min_cell, of, low)
    high = np.where((low < of) & (high < of), np.minimum(high, of - min_cell), of)
    kinds = [nobody, small, near, ~is_listed]
    few = np.where(mixed, of - (of >= min_cell), min_cell - 1)  # so many a hidden few may be
    least = np.select(kinds, [0, is_listed.astype(int), of - min_cell + 1, 0], low)
    most = np.select(kinds, [0, few, of - 1, of], high)
    return least, most, ~is_listed | ((near | small) & ~nobody)


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
    # That there is nobody is no secret.
    return (hidden & (high > 0) & (high - low < np.minimum(most - least, 2))).any(axis=1)


def publish_parts(
    counts: pd.Series,
    of: pd.Series | int,
    min_cell: int,
    *,
    known: bool = True,
    listed: pd.Series | bool = True,
) -> pd.Series:
    """:func:`publish_counts` of groups whose exact sum a reader knows.

    All are hidden where subtraction, or what they are counted among, would leave fewer than three
    values for one that is hidden; what is not listed is not shown, but part of the sum.
    """
    listed = pd.Series(listed, counts.index).to_frame().T
    shown = publish_counts(counts, of, min_cell, known=known)
    least, most, hidden = read_counts(counts.to_frame().T, listed, np.asarray(of), min_cell)
    narrow = (hidden & listed.to_numpy(bool) & (most - least < 2)).any()
    solved = narrow or are_solved(least, most, hidden, counts.sum(), counts.sum()).any()
    return shown.mask(shown.notna()) if solved else shown


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
    count: int | None,
    noun: str = "viewer",
    plural: str = "",
    *,
    min_cell: int = DEFAULTS["min_cell"],
) -> str:
    """A published count with its noun: ``1 viewer``, ``1,245 viewers``, ``fewer than 10 viewers``.

    A hidden count near the whole is named by the sentence that knows the whole, not here.
    """
    plural = plural or f"{noun}s"
    if count is None:
        return f"fewer than {min_cell} {plural}"
    return f"{count:,} {noun if count == 1 else plural}"
