"""How far the evidence carries the labels: resampling, split halves, thresholds, intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from helpers.findings.disclosure import suppress, whole_percent
from helpers.findings.section import TOO_FEW, features, hide_small, part, people, with_interval
from helpers.store import engine
from helpers.store.conditions import COLUMNS
from helpers.store.engine import Engine
from helpers.store.rules import ClusterRules

DRAWS = 20
"""Times each viewer's sessions are drawn again."""
PER_CLUSTER = 300
"""Viewers of each cluster that are drawn again, chosen by a seeded hash."""
LONGEST = 500
"""Viewers with more sessions are left out of resampling: they would cost more than they tell."""
PERCENT_STEP, COUNT_STEP = 5.0, 1.0
KNOWN_OF_VIEWER = ("name", "email", "identified")
SHOWN = (
    "cluster viewers share share_low share_high one_session resampled kept kept_low kept_high "
    "too_few"
)


def shares(con: Engine, names: list[str]) -> pd.DataFrame:
    """Share of each cluster with its interval over viewers.

    Returns
    -------
    DataFrame, a row per cluster in order
        cluster, viewers, one_session, once, again [viewers], share (0–1) with share_low and
        share_high (95 %, Wilson), too_few (bool: 1 to 29 viewers).
    """
    frame = con.execute(
        """
        SELECT cluster, count(*) AS viewers, count(*) FILTER (session_count = 1) AS one_session,
               count(*) FILTER (total_visits = 1) AS once,
               count(*) FILTER (total_visits > 1) AS again
        FROM viewers GROUP BY cluster
        """
    ).df()
    frame = frame.set_index("cluster").reindex(names).fillna(0).astype("int64").reset_index()
    frame = with_interval(frame.assign(total=frame["viewers"].sum()), "viewers", "total", "share")
    frame["too_few"] = frame["viewers"].between(1, TOO_FEW - 1)
    return frame.drop(columns="total")


def resample(
    con: Engine,
    rules: ClusterRules,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    per_cluster: int = PER_CLUSTER,
) -> pd.DataFrame:
    """Labels of viewers whose sessions were drawn again, and of the halves of their sessions.

    Parameters
    ----------
    con : Engine
        After :func:`.affinity.prepare`; with sessions, viewers, visitors, viewer_emails.

    Returns
    -------
    DataFrame, a row per viewer with two sessions or more, of a bounded sample of each cluster
        cluster, kept (0–1: share of the draws that keep the label), half_a, half_b
        (clusters of the halves).
    """
    given = {"per_cluster": int(per_cluster), "longest": LONGEST, "seed": int(seed)}
    chosen = engine.sql("drawn_viewers").format(**given)
    con.execute(f"CREATE OR REPLACE TEMP TABLE drawn_viewers AS {chosen}")
    con.share("drawn_viewers")
    drawn = engine.sql("resample").format(draws=int(draws), seed=int(seed))
    con.each(f"CREATE OR REPLACE TEMP TABLE drawn_sessions AS {drawn}")
    features(con, "drawn_sessions", "drawn_features")
    known = ", ".join(f"viewers.{column} AS {column}" for column in KNOWN_OF_VIEWER)
    con.gather(
        f"""
        WITH drawn AS (
            SELECT again.* REPLACE ({known}), viewers.visitor_key AS viewer,
                   viewers.cluster AS label, split_part(again.visitor_key, '#', -1) AS draw
            FROM drawn_features AS again
            JOIN viewers ON viewers.visitor_key = regexp_replace(again.visitor_key, '#[^#]*$', '')
        ), named AS (SELECT viewer, draw, label, {rules.case_sql()} AS cluster FROM drawn)
        SELECT viewer, label AS cluster,
               avg((cluster = label)::INT) FILTER (draw NOT IN ('a', 'b')) AS kept,
               any_value(cluster) FILTER (draw = 'a') AS half_a,
               any_value(cluster) FILTER (draw = 'b') AS half_b
        FROM named GROUP BY viewer, label
        """,
        "resampled",
    )
    con.each("DROP TABLE drawn_sessions; DROP TABLE drawn_features")
    return con.execute("SELECT * EXCLUDE viewer FROM resampled ORDER BY viewer").df()


def kept(labels: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Share of draws that keep the label, with a 95 % t interval over viewers, by cluster.

    Returns
    -------
    DataFrame, a row per cluster: cluster, resampled [viewers], kept, kept_low, kept_high (0–1).
    """
    from scipy.stats import t

    grouped = labels.groupby("cluster")["kept"].agg(["count", "mean", "std"]).reindex(names)
    count = grouped["count"].fillna(0).astype("int64")
    half = t.ppf(0.975, (count - 1).clip(lower=1)) * grouped["std"] / np.sqrt(count.clip(lower=1))
    return pd.DataFrame(
        {
            "resampled": count,
            "kept": grouped["mean"],
            "kept_low": (grouped["mean"] - half).clip(lower=0),
            "kept_high": (grouped["mean"] + half).clip(upper=1),
        }
    ).rename_axis("cluster").reset_index()  # fmt: skip


def agreement(labels: pd.DataFrame, sizes: pd.Series) -> dict[str, float | int | None]:
    """How often the two halves of a viewer's sessions get the same label.

    Parameters
    ----------
    labels : DataFrame
        Of :func:`resample`.
    sizes : Series, index cluster
        Viewers with two sessions or more; each cluster counts by them, not by its sample.

    Returns
    -------
    dict
        ``viewers``, ``agree`` (0–1), ``low``, ``high`` (95 %, normal), ``kappa`` (Cohen's, above
        what chance gives).
    """
    pairs = labels.dropna(subset=["half_a", "half_b"])
    if pairs.empty:
        return {"viewers": 0, "agree": None, "low": None, "high": None, "kappa": None}
    from sklearn.metrics import cohen_kappa_score

    sampled = pairs["cluster"].map(pairs["cluster"].value_counts())
    weight = pairs["cluster"].map(sizes) / sampled
    weight = weight / weight.sum()
    same = (pairs["half_a"] == pairs["half_b"]).astype(float)
    agree = float((weight * same).sum())
    half = 1.96 * float(np.sqrt((weight**2 * (same - agree) ** 2).sum()))
    varied = pd.concat([pairs["half_a"], pairs["half_b"]]).nunique() > 1
    kappa = None  # one label in all halves: chance agrees as well
    if varied:
        kappa = float(cohen_kappa_score(pairs["half_a"], pairs["half_b"], sample_weight=weight))
    return {
        "viewers": len(pairs),
        "agree": agree,
        "low": max(agree - half, 0.0),
        "high": min(agree + half, 1.0),
        "kappa": kappa,
    }


def sensitivity(con: Engine, rules: ClusterRules) -> pd.DataFrame:
    """Viewers that change cluster when each threshold moves by one step, either way.

    A step is 1 for counts and 5 points for percents.

    Returns
    -------
    DataFrame, a row per threshold; ``attrs["borderline"]``: viewers that any step would move.
        cluster, column, comparison, value, step, lowered, raised [viewers that move].
    """
    rows, moves, base = [], [], rules.case_sql()
    for cluster, column, comparison, value in rules.thresholds():
        if comparison in ("=", "<>"):  # a kind of viewer, not a threshold
            continue
        step = COUNT_STEP if COLUMNS[column] == "BIGINT" else PERCENT_STEP
        rows.append((cluster, column, comparison, value, step))
        for changed in (value - step, value + step):
            moves.append(
                f"{rules.replace(cluster, column, changed, was=value).case_sql()} <> {base}"
            )
    names = ["cluster", "column", "comparison", "value", "step"]
    frame = pd.DataFrame(rows, columns=names)
    counts = [0] * (len(moves) + 1)
    if moves:
        sums = ", ".join(f"count(*) FILTER ({move})" for move in moves)
        anyone = " OR ".join(f"({move})" for move in moves)
        moved = f"SELECT {sums}, count(*) FILTER ({anyone}) FROM viewers"
        counts = con.execute(moved).fetchall()[0]
    frame["lowered"] = np.array(counts[0:-1:2], dtype="int64")
    frame["raised"] = np.array(counts[1:-1:2], dtype="int64")
    frame.attrs["borderline"] = int(counts[-1])
    return frame


def stability(
    con: Engine, rules: ClusterRules, *, min_cell: int = 10, seed: int = 0
) -> dict[str, Any]:
    """The part ``stability`` of the insights."""
    table = shares(con, rules.names)
    labels = resample(con, rules, seed=seed)
    table = table.merge(kept(labels, rules.names), on="cluster")
    table["too_few"] |= table["resampled"].between(1, TOO_FEW - 1)
    several = (table["viewers"] - table["one_session"]).set_axis(table["cluster"])
    halves, moved = agreement(labels, several), sensitivity(con, rules)
    viewers, borderline = int(table["viewers"].sum()), moved.attrs["borderline"]
    alone = int(table["one_session"].sum())
    finding = "There are no viewers whose labels could be tested."
    if viewers and halves["agree"] is None:
        finding = f"Labels cannot be tested: all {viewers:,} viewers have one session each."
    elif viewers:
        finding = (
            f"Two halves of a viewer's sessions give the same label for "
            f"{whole_percent(halves['agree'])} of viewers with two sessions or more; "
            f"{people(alone)} of {viewers:,} have one session, which tells nothing about stability."
        )
    once, again = int(table["once"].sum()), int(table["again"].sum())
    table[["once", "again"]] = suppress(table[["once", "again"]], min_cell)
    table = hide_small(table, "one_session", "viewers", min_cell)
    note = (
        f"Sessions drawn again within each viewer, {DRAWS} times, up to {PER_CLUSTER} viewers of a "
        "cluster. A draw leaves out a third of the sessions, so counts of videos shrink: read the "
        "share that keeps its label as a lower bound. Shares: 95 % Wilson intervals over viewers."
    )
    steps = part(
        f"{people(borderline)} of {viewers:,} would change cluster if a threshold moved by a step."
        if viewers
        else "There are no viewers to move.",
        moved,
        "cluster column comparison value step lowered raised",
        "A step is 1 for counts and 5 points for percents.",
        borderline=borderline,
    )
    visits = part(
        f"{people(once)} came once and {again:,} came again.",
        table,
        "cluster once again",
        "A visit begins 30 minutes or more after the start of the session before.",
    )
    return part(
        finding, table, SHOWN, note, more={"sensitivity": steps, "visits": visits},
        split_half=halves, one_session=alone, viewers=viewers,
    )  # fmt: skip
