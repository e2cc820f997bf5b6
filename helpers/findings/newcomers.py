"""Newcomers of two periods of equal length: whether their clusters' shares differ."""

from datetime import date, timedelta

import numpy as np
import pandas as pd

from helpers.core.parameters import Window
from helpers.findings.counts import TOO_FEW, adjust_p_values, publish, publish_parts
from helpers.findings.section import Section, make_section
from helpers.store.engine import Engine, features_sql, sql
from helpers.store.rules import ClusterRules

LEVEL = 0.05
POWER = 0.8  # a difference "would have been seen" where it is found in so many of all cases
LEAST_DAYS, MOST_DAYS, USUAL_DAYS = 7, 90, 28  # days of newcomers that are compared
FEW_DAYS = 5  # on fewer days, each counted by its weight, campaigns look like change


def compare_newcomers(
    engine: Engine, rules: ClusterRules, window: Window, end_then: date | None, *, min_cell: int
) -> Section:
    """Newcomers of this window and of one that ended before.

    Parameters
    ----------
    end_then : date or None
        The last day of the previous run's window.

    Returns
    -------
    Section
        The table of :func:`helpers.findings.change.compare_runs`, without its parts.
    """
    between = (window.end - end_then).days if end_then else 0
    days = between if LEAST_DAYS <= between <= MOST_DAYS else USUAL_DAYS
    middle = window.end - timedelta(days)
    spans = f"the {days} days to {middle} and those to {window.end}"
    first = engine.rows("SELECT min(day) AS day FROM all_sessions")["day"].min()
    first = middle if pd.isna(first) else pd.Timestamp(first).date()
    if middle - timedelta(2 * days) < min(window.start, first):
        return Section(f"Too short a history to compare newcomers of {spans}.")
    before = max(days, (middle - first).days - days + 1)
    engine.define(sql("newcomers").format(middle=middle, days=days, before=before))
    then = count_by_day(engine, rules, "newcomers_then", middle)
    now = count_by_day(engine, rules, "newcomers_now", window.end)
    groups = [by_day.sum(axis=1) for by_day in (then, now)]
    sizes = [int(group.sum()) for group in groups]
    if min(sizes) < TOO_FEW or min(map(_effective_number, groups)) < FEW_DAYS:
        least = f"{TOO_FEW} on {FEW_DAYS} days"
        return Section(f"Too few newcomers to compare in {spans}: it takes {least}.")
    compared = compare_shares(then, now)
    table = _publish_shares(compared, sizes, min_cell)
    words = {"titles": rules.titles, "spans": spans, "level": LEVEL, "power": POWER * 100}
    tested = compared["detectable"].notna().any()
    return make_section("change", table, tested=tested, **words)


def count_by_day(engine: Engine, rules: ClusterRules, sessions: str, end: date) -> pd.DataFrame:
    """Viewers by day of first session, counted back from the end, down, and cluster, across."""
    engine.define(features_sql(sessions))
    counted = engine.counts(sql("newcomers_by_day").format(end=end, rules=rules.case_sql()))
    by_day = counted.pivot(index="days", columns="cluster", values="viewers")
    return by_day.reindex(columns=rules.names).fillna(0)


def _effective_number(weights: pd.Series) -> float:
    """The number of equal weights that would tell as much: few where one is most of them."""
    return float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0


def compare_shares(then: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Each cluster's share in two separate groups of viewers who came on certain days.

    Parameters
    ----------
    then, now : DataFrame
        Viewers by day of first session (rows, counted back from the end) and cluster (columns).

    Returns
    -------
    DataFrame, index cluster
        viewers_then, viewers_now, difference (of shares), low, high (95 %, for all clusters
        together), p_value, q_value (Holm), detectable (the difference found in 80 % of cases).

    Notes
    -----
    Days are drawn, not viewers. Those as long before the end are set against each other, since
    who came early has had more time: what they differ by, each day left out in turn, is the
    variance, at least that of viewers who come one by one. t has one degree of freedom less than
    there are pairs of days, each counted by the variance that its viewers have in the mean.

    References
    ----------
    Cameron, A. C. and Miller, D. L. (2015). A practitioner's guide to cluster-robust inference.
    """
    from scipy.stats import t

    shares, left_out, variances = [], [], []
    for by_day in (then, now):
        viewers = by_day.to_numpy().sum()
        weight = by_day.sum(axis=1) / viewers
        shares.append(by_day.sum() / viewers)
        parts = by_day / viewers - np.outer(weight, shares[-1])
        left_out.append(parts.div(1 - weight, axis=0))
        variances.append(weight / viewers)
    difference = shares[1] - shares[0]
    by_days = (left_out[1].sub(left_out[0], fill_value=0) ** 2).sum()
    pooled = (then.sum() + now.sum()) / (then.to_numpy().sum() + now.to_numpy().sum())
    pairs = variances[0].add(variances[1], fill_value=0)
    error = np.maximum(by_days, pooled * (1 - pooled) * pairs.sum()) ** 0.5
    freedom = _effective_number(pairs) - 1
    p_values = 2 * t.sf((difference / error).abs(), freedom)  # 0 / 0 where nobody is in a cluster
    tested = max(int((~np.isnan(p_values)).sum()), 1)
    margin = t.isf(LEVEL / 2 / tested, freedom) * error
    compared = {
        "viewers_then": then.sum(),
        "viewers_now": now.sum(),
        "difference": difference,
        "low": difference - margin,
        "high": difference + margin,
        "p_value": p_values,
        "q_value": adjust_p_values(p_values),
        "detectable": (margin + t.isf(1 - POWER, freedom) * error).where(error > 0),
    }
    return pd.DataFrame(compared).rename_axis("cluster")


def _publish_shares(compared: pd.DataFrame, sizes: list[int], min_cell: int) -> pd.DataFrame:
    """The table: published counts, what follows from them, intervals of whole points."""
    table = compared.drop(columns="p_value")
    for name, size in zip(("then", "now"), sizes, strict=True):
        counted = compared[f"viewers_{name}"]
        table[f"viewers_{name}"] = publish_parts(counted, size, min_cell, known=False)
        total = publish(size, of=size, min_cell=min_cell, known=False)
        table[f"share_{name}"] = (table[f"viewers_{name}"] / total).clip(upper=1).astype(float)
    table["difference"] = table["share_now"] - table["share_then"]
    for name, outwards in (("low", np.floor), ("high", np.ceil), ("detectable", np.ceil)):
        table[name] = outwards(compared[name] * 100) / 100
    told = ["low", "high", "detectable", "q_value"]
    table[told] = table[told].round({"q_value": 3}).mask(table["difference"].isna())
    return table.reset_index()
