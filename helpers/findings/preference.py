"""What stands out: whether a cluster chooses something more than all viewers do, by one test.

A choice is a video that a viewer watched, or the page that a viewer came from. The test asks
whether a cluster's viewers made a choice more often than they would if all clusters had the same
taste, and does not take for taste

- that a viewer of many videos gets round to the popular ones: with the same taste a viewer of n
  videos watches one with chance 1 − exp(−weight × time of n), as in a race of all videos;
- that viewers of one video are those whom links and accidents bring: they are compared with each
  other, and viewers of several videos with each other;
- that a campaign brings many viewers to one video at once: the variance is that between viewers,
  or that between periods of first visits where it is larger.

References
----------
Rosén, B. (1997). Asymptotic theory for order sampling. Breslow, N. E. (1984). Extra-Poisson
variation in log-linear models.
"""

import numpy as np
import pandas as pd

from helpers.findings import counts
from helpers.store.engine import Engine

LEVEL = 0.05
PERIODS = 60  # the window is cut into at most so many
MOST_VALUES = 300  # so many videos or pages, those with most viewers, are tested
ROUNDS, TOLERANCE = 500, 1e-6  # of the fit of chances
P_VALUES = (0.001, 0.01, 0.05, 0.1, 1.0)  # rounded up to these, lest a hidden count be solved
TINY = 1e-9  # a variance under it is none


def choose_period(engine: Engine) -> int:
    """Length of a period [days] that cuts the first visits of viewers into 60 or fewer."""
    days = engine.counts("SELECT first_seen::DATE AS day, count(*) FROM viewers GROUP BY 1")["day"]
    return max((days.max() - days.min()).days // PERIODS + 1, 1) if len(days) else 1


def find_preferences(
    chosen: pd.DataFrame, viewers: pd.DataFrame, shown: pd.DataFrame, min_cell: int
) -> pd.DataFrame:
    """The cells that stand out: chosen more than by all viewers, beyond what chance explains.

    Parameters
    ----------
    chosen, viewers : DataFrame
        See :func:`compare_choices`.
    shown : DataFrame
        Of :func:`publish_shares`; what it does not hold is not named.

    Returns
    -------
    DataFrame, the clearest first
        The columns of `shown`, and of the preference low and high (each at 95 %, all tests
        together, rounded outwards to a tenth), and q_value (see :func:`coarsen_p_values`).
    """
    if shown.empty:
        return shown.assign(low=None, high=None, q_value=None)
    clear = pick_clear(compare_choices(chosen, viewers, min_cell))
    clear["low"], clear["high"] = np.floor(clear["low"] * 10) / 10, np.ceil(clear["high"] * 10) / 10
    clear["q_value"] = coarsen_p_values(clear["q_value"])
    named = shown.dropna(subset="preference")
    keys = ["value", "cluster"]
    return clear[[*keys, "low", "high", "q_value"]].merge(named, on=keys)


def sum_choices(viewers: pd.DataFrame, chosen: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Viewers and choices of each cluster; of each value in it count, and watched of videos."""
    sizes = viewers.groupby("cluster")[["viewers", "choices"]].sum()
    cells = chosen.groupby(["value", "cluster"], as_index=False).sum(numeric_only=True)
    return sizes, cells.rename(columns={"viewers": "count"})


def pick_clear(tested: pd.DataFrame) -> pd.DataFrame:
    """Of what :func:`compare_choices` gives, the cells that stand out, the clearest first."""
    more = tested[["ratio", "low"]].min(axis=1) > 1
    clear = tested[more & (tested["q_value"] < LEVEL)]
    return clear.sort_values(["low", "value"], ascending=[False, True])


def compare_choices(chosen: pd.DataFrame, viewers: pd.DataFrame, min_cell: int) -> pd.DataFrame:
    """Viewers who made each choice beside those expected if all clusters had the same taste.

    Parameters
    ----------
    chosen : DataFrame
        value, cluster, stratum, period, viewers: who chose what. All values, so that chances add
        up.
    viewers : DataFrame
        cluster, stratum, period, number (choices of each of them), viewers, choices (their sum).

    Returns
    -------
    DataFrame, a row per cluster and value that have `min_cell` viewers, whatever the cell holds
        cluster, value, count, expected, total [viewers], ratio (of the first two), low and high
        of the preference (each at 95 %, all tests together), q_value (Holm).
    """
    sizes = viewers.groupby("cluster")[["viewers", "choices"]].sum()
    totals = chosen.groupby("value")["viewers"].sum()
    values = totals[totals >= min_cell].nlargest(MOST_VALUES, keep="first").index
    periods = sorted(viewers["period"].unique())
    cells = pd.MultiIndex.from_product([sizes.index, periods], names=["cluster", "period"])
    strata = [
        _compare_stratum(group, chosen[chosen["stratum"] == stratum], cells, values)
        for stratum, group in viewers.groupby("stratum")
    ]
    count, expected, variance, residual = (sum(tables) for tables in zip(*strata, strict=True))
    # A count above the expected varies more for that alone, which is no sign of campaigns.
    by_period = residual.groupby("cluster").var() * len(periods)
    by_period *= (expected / count).clip(upper=1)
    found = {"count": count, "expected": expected}
    found["variance"] = np.maximum(variance, by_period.fillna(0))
    frame = pd.DataFrame({name: table.stack() for name, table in found.items()}).reset_index()
    frame["total"] = frame["value"].map(totals)
    known = frame["cluster"].map(sizes["viewers"] >= min_cell) & (frame["variance"] > TINY)
    frame = judge_counts(frame[known])
    share = sizes.loc[frame["cluster"], "choices"].to_numpy() / sizes["choices"].sum()
    factor = frame["count"] / share / frame["total"] / frame["ratio"]  # preference to ratio
    return frame.assign(low=frame["low"] * factor, high=frame["high"] * factor)


def _compare_stratum(
    viewers: pd.DataFrame, chosen: pd.DataFrame, cells: pd.MultiIndex, values: pd.Index
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Viewers, expected ones and their variance by cluster, and the residual by period too.

    Each is a table by value, across. The expected are those of the cluster were all tastes the
    same; the residual is what the cluster has beyond its part of what all have beyond that.
    """
    chances = _fit_chances(viewers, chosen).reindex(columns=values, fill_value=0)
    keys = ["cluster", "period"]
    numbers = viewers.pivot_table("viewers", keys, "number", aggfunc="sum", fill_value=0)
    usual = numbers.reindex(cells, fill_value=0) @ chances
    seen = chosen.pivot_table("viewers", keys, "value", aggfunc="sum", fill_value=0)
    seen = seen.reindex(index=cells, columns=values, fill_value=0)
    expected, excess = usual.groupby("cluster").sum(), seen - usual
    part = (expected / expected.sum()).fillna(0)
    spread = numbers.groupby("cluster").sum().reindex(expected.index, fill_value=0)
    spread = spread @ (chances * (1 - chances))
    variance = spread * (1 - 2 * part) + part**2 * spread.sum()
    residual = excess - excess.groupby("period").transform("sum").mul(part, level="cluster")
    return seen.groupby("cluster").sum(), expected, variance, residual


def _fit_chances(viewers: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Chance of each choice by the number of choices, were all tastes the same: the race's fit.

    Weights and times are such that each value has as many viewers as in the data, and each number
    of choices adds up.
    """
    groups = viewers.groupby("number")[["viewers", "choices"]].sum()
    total = chosen.groupby("value")["viewers"].sum()
    size, wanted = groups["viewers"].to_numpy(float), total.to_numpy(float)
    if len(groups) == 1:
        chance = (wanted / size)[None]
        return pd.DataFrame(chance, index=groups.index, columns=total.index)
    number = (groups["choices"] / groups["viewers"]).to_numpy().clip(max=len(total) - 1e-3)
    time, weight = number.copy(), wanted / wanted.sum()
    for _ in range(ROUNDS):
        time *= number / (1 - np.exp(-np.outer(time, weight))).sum(1)
        chance = 1 - np.exp(-np.outer(time, weight))
        factor = wanted / (size @ chance)
        if np.abs(factor - 1).max() < TOLERANCE:
            break
        weight *= factor
    return pd.DataFrame(chance, index=groups.index, columns=total.index)


def judge_counts(frame: pd.DataFrame, *, sides: int = 1) -> pd.DataFrame:
    """Ratio of count to expected with its limits and q-value, by a scaled binomial distribution.

    Parameters
    ----------
    frame : DataFrame
        count, total (of all clusters), expected and variance (of the count, were all the same).
    sides : int
        1: only more than expected is looked for; 2: less, too.

    Returns
    -------
    DataFrame
        The columns without variance; ratio, low and high (each limit at 95 %, or both together
        for two sides, all tests together), q_value (Holm).

    References
    ----------
    Brown, Cai and DasGupta (2001), Interval estimation for a binomial proportion: mid-p, and
    Jeffreys' interval, which comes close to it.
    """
    from scipy.special import betainc, betaincinv

    part = frame["expected"] / frame["total"]
    scale = frame["variance"] / (frame["expected"] * (1 - part))
    count, others = frame["count"] / scale, (frame["total"] - frame["count"]) / scale
    # Mid-p: of the chance of exactly as many, a half, or small tests would find too little.
    p_values = (betainc(count, others + 1, part) + betainc(count + 1, others, part)) / 2
    if sides == 2:
        p_values = 2 * np.minimum(p_values, 1 - p_values)
    ends, tail = (count + 0.5, others + 0.5), LEVEL / sides / max(len(frame), 1)
    return frame.drop(columns="variance").assign(
        ratio=frame["count"] / frame["expected"],
        low=betaincinv(*ends, tail) / part,
        high=betaincinv(*ends, 1 - tail) / part,
        q_value=counts.adjust_p_values(p_values),
    )


def coarsen_p_values(p_values: pd.Series) -> pd.Series:
    """p-values rounded up to 0.001, 0.01, 0.05, 0.1 or 1: a verdict, not a way to a count."""
    return pd.cut(p_values, [-1, *P_VALUES], labels=P_VALUES).astype(float)


def publish_shares(
    cells: pd.DataFrame,
    sizes: pd.DataFrame,
    min_cell: int,
    *,
    sums: bool = False,
    known: bool = True,
) -> pd.DataFrame:
    """Who chose what, as it may be shown: published counts, and shares of them.

    Parameters
    ----------
    cells : DataFrame
        value, cluster, count [viewers]; kind, where a viewer has one value of each at most.
    sizes : DataFrame, index cluster
        viewers, and choices that shares are of (a viewer's several videos, or one page).
    sums : bool
        Whether `cells` holds every choice, so that those of a cluster add up to what a reader knows
        by its size and mean.
    known : bool
        Whether a reader knows the sizes.

    Returns
    -------
    DataFrame, a row for each cell that is not hidden, of `min_cell` viewers or more
        value, cluster, viewers (published), reach (share of the cluster), share (of the cluster's
        choices), share_of_all (of all choices), preference (the one by the other). A row, or its
        share_of_all, is left out where it would leave fewer than three values for a hidden count.
    """
    grid = cells.pivot_table("count", "value", "cluster", aggfunc="sum", fill_value=0)
    grid = grid.reindex(columns=sizes.index.rename("cluster"), fill_value=0)
    everybody, choices = int(sizes["viewers"].sum()), int(sizes["choices"].sum())
    # A row of nearly all would tell that it is of `min_cell` or more: of 11 viewers, 10.
    others = sizes["viewers"] - grid
    listed = (grid >= max(min_cell, 1)) & ((others == 0) | (others >= min_cell))
    listed &= counts.have_two_groups(sizes["viewers"], min_cell)
    kinds = cells.groupby("value")["kind"].first() if "kind" in cells else pd.Series("", grid.index)
    for cluster, size, total in sizes[["viewers", "choices"]].itertuples():
        within = _read_sum(size, total, min_cell) if sums else (0, size if kinds.any() else np.inf)
        for _, own in grid[cluster].groupby(kinds):
            cell = own.index, cluster
            listed.loc[cell] = _list_safely(own, listed.loc[cell], size, within, min_cell)
    total = counts.publish_counts(grid.sum(axis=1), everybody, min_cell, known=known)
    readings = counts.read_counts(grid, listed, sizes["viewers"].to_numpy(), min_cell)
    sums = counts.read_counts(
        grid.sum(axis=1).to_frame(), total.notna().to_frame(), everybody, min_cell
    )
    total = total.mask(counts.are_solved(*readings, *sums[:2]))

    frame = grid.stack()[listed.stack()].rename("count").reset_index()
    own = sizes.loc[frame["cluster"]].set_index(frame.index)
    count = frame.pop("count")
    frame["viewers"] = counts.publish_counts(count, own["viewers"], min_cell, known=known)
    frame["reach"] = frame["viewers"] / own["viewers"]
    of = counts.publish_counts(own["choices"], choices, min_cell, known=False)
    if known:  # a size is no secret
        of = of.mask(own["choices"] == own["viewers"], own["viewers"])
    if not known or choices != everybody:
        choices = counts.publish(choices, of=choices, min_cell=min_cell, known=False)
    frame["share"] = (frame["viewers"] / of).clip(upper=1)  # choices may be rounded down
    frame["share_of_all"] = total.loc[frame["value"]].set_axis(frame.index) / choices
    frame["preference"] = frame["share"] / frame["share_of_all"]
    return frame


def _read_sum(size: int, choices: int, min_cell: int) -> tuple[float, float]:
    """What a reader knows of a cluster's choices: their mean, to a tenth, and what shares are of.

    As many each, such as one, may be a rule.
    """
    if not size or choices % size == 0:
        return choices, choices
    tenths = (20 * choices + size) // (2 * size)  # of the mean, rounded half up
    # The whole numbers whose mean is rounded to that.
    low, high = -((1 - 2 * tenths) * size // 20), ((2 * tenths + 1) * size - 1) // 20
    least, most, _ = counts.read_counts(pd.DataFrame([[choices]]), True, 10**9, min_cell)
    return max(low, least.item()), min(high, most.item())


def _list_safely(
    count: pd.Series, listed: pd.Series, size: int, known_sum: tuple[float, float], min_cell: int
) -> pd.Series:
    """The cells to list of a column whose sum is known; the smallest go until all is safe."""
    listed = listed.copy()
    while listed.any():
        readings = counts.read_counts(count.to_frame().T, listed.to_frame().T, size, min_cell)
        if not counts.are_solved(*readings, *known_sum).any():
            break
        listed[count.where(listed).idxmin()] = False
    return listed
