"""What viewers did: clicks and forms beyond the e-mail gate, by cluster."""

from __future__ import annotations

import numpy as np
import pandas as pd

from helpers.core.tables import span, whole_percent
from helpers.findings.counts import (
    TOO_FEW,
    are_solved,
    count_people,
    publish,
    publish_counts,
    read_counts,
    with_share,
)
from helpers.findings.preference import LEVEL, coarsen_p_values, judge_counts
from helpers.findings.section import Section, make_section
from helpers.store import engine as tables
from helpers.store.engine import Engine
from helpers.store.rules import ClusterRules


def compare_conversions(engine: Engine, rules: ClusterRules, min_cell: int) -> Section:
    """How many viewers of each cluster converted, per viewer and per session.

    Parameters
    ----------
    engine : Engine
        With viewers, plays and sessions.

    Returns
    -------
    Section
        A row per cluster in order: cluster, viewers, converted [published viewers], rate (0 to 1
        of viewers) with low and high (95 %), sessions [published], rate_per_session (0 to 1 of
        sessions with a conversion), q_value (of the rate against the other viewers), verdict and
        verdict_per_session (higher, lower, no clear difference, too few). Part gate: viewers that
        it identified.
    """
    counted = engine.counts(tables.sql("conversions")).set_index("cluster")
    counted = counted.reindex(rules.names).fillna(0).astype("int64")
    total, viewers = int(counted["converted"].sum()), int(counted["viewers"].sum())
    frame = _publish_rates(counted, min_cell)
    frame = frame.join(_judge(counted))
    hidden = frame["converted"].isna()
    frame["q_value"] = coarsen_p_values(frame["q_value"]).mask(hidden)
    frame["verdict"] = frame["verdict"].mask(hidden, None)
    no_rate = frame["rate_per_session"].isna()
    frame["verdict_per_session"] = frame["verdict_per_session"].mask(no_rate, None)
    shown = publish(total, of=viewers, min_cell=min_cell)
    least, most, _ = read_counts(pd.DataFrame([[total]]), pd.DataFrame([[True]]), viewers, min_cell)
    row, listed = counted[["converted"]].T, frame[["converted"]].notna().T
    readings = read_counts(row, listed, counted["viewers"].to_numpy(), min_cell)
    if are_solved(*readings, least, most).any():
        shown = None
    finding = "No viewer clicked or filled in a form beyond the e-mail gate."
    if total:
        finding = _tell(frame, rules, shown, viewers)
    gate = counted[["viewers"]].assign(
        by_gate=publish_counts(counted["by_gate"], counted["viewers"], min_cell)
    )
    known = "The e-mail gate identified no viewer, or few."
    if gate["by_gate"].fillna(0).any():
        known = "The e-mail gate identified viewers; that is no conversion."
    else:
        gate = gate[:0]
    if not total:
        frame = frame[:0]
    parts = {"gate": make_section("gate", known, gate.reset_index())}
    return make_section("conversions", finding, frame.reset_index(), parts, too_few=TOO_FEW)


def _publish_rates(counted: pd.DataFrame, min_cell: int) -> pd.DataFrame:
    frame = counted[["viewers"]].copy()
    frame["converted"] = publish_counts(counted["converted"], counted["viewers"], min_cell)
    frame = with_share(frame, "converted", "viewers", "rate")
    frame = frame.rename(columns={"rate_low": "low", "rate_high": "high"})
    everything = int(counted["sessions"].sum())
    frame["sessions"] = publish_counts(counted["sessions"], everything, min_cell)
    frame["acted"] = publish_counts(
        counted["converting_sessions"], counted["sessions"], min_cell, known=False
    )
    frame = with_share(frame, "acted", "sessions", "rate_per_session", interval=False)
    return frame.drop(columns="acted")


def _judge(counted: pd.DataFrame) -> pd.DataFrame:
    """q_value, verdict and verdict_per_session of each cluster against all other viewers."""
    size, total, viewers = counted["viewers"], counted["converted"].sum(), counted["viewers"].sum()
    sessions, acted = counted["sessions"], counted["converting_sessions"]
    rate, part = acted.sum() / max(sessions.sum(), 1), sessions / max(sessions.sum(), 1)
    spread = counted["converting_squares"] - 2 * rate * counted["products"]
    spread += rate**2 * counted["squares"]
    expected = size * total / max(viewers, 1)
    among = max(viewers * (viewers - 1), 1)
    variance = expected * (viewers - size) * (viewers - total) / among
    by_viewer = {"count": counted["converted"], "expected": expected, "variance": variance}
    by_session = {"count": acted, "expected": acted.sum() * part}
    between = spread * (1 - 2 * part) + part**2 * spread.sum()
    # At least that of single sessions: few conversions by chance would make it small as well.
    by_session["variance"] = between.clip(lower=acted.sum() * part * (1 - part) * (1 - rate))
    both = pd.concat({"viewer": pd.DataFrame(by_viewer), "session": pd.DataFrame(by_session)})
    enough = np.tile(size >= TOO_FEW, 2) & (both["variance"] > 0) & (both["expected"] > 0)
    tested = judge_counts(both[enough]).reindex(both.index)
    word = np.where(tested["ratio"] > 1, "higher", "lower")
    word = np.where(tested["q_value"] < LEVEL, word, "no clear difference")
    verdict = pd.Series(word, both.index, dtype=object).mask(tested["q_value"].isna(), "too few")
    return pd.DataFrame(
        {
            "q_value": tested.loc["viewer", "q_value"],
            "verdict": verdict["viewer"],
            "verdict_per_session": verdict["session"],
        }
    )


def _tell(frame, rules: ClusterRules, shown: int | None, viewers: int) -> str:
    finding = "Few viewers converted beyond the e-mail gate."
    if shown is not None:
        finding = f"{count_people(shown)} of {viewers:,} converted beyond the e-mail gate."
    clear = frame[frame["verdict"].eq("higher")]
    if len(clear):
        best = clear.sort_values("rate").iloc[-1]
        finding += (
            f" {rules.titles[best.name]} did so more often than the others: "
            f"{whole_percent(best['rate'])} ({span(best['low'], best['high'])})."
        )
        per_session = frame[frame["verdict_per_session"].eq("higher")]
        if per_session.empty:
            finding += " Per session no cluster clearly did."
        elif (most := per_session["rate_per_session"].astype(float).idxmax()) != best.name:
            finding += f" Per session it is {rules.titles[most]}."
    elif shown is not None:
        finding += " No cluster did so clearly more often than the others."
    return finding
