"""What viewers did: clicks and forms beyond the e-mail gate, by cluster."""

import numpy as np
import pandas as pd

from helpers.findings import counts
from helpers.findings.preference import LEVEL, coarsen_p_values, judge_counts
from helpers.findings.section import Section, make_section
from helpers.store.engine import Engine, sql
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
    counted = engine.counts(sql("conversions")).set_index("cluster")
    counted = counted.reindex(rules.names).fillna(0).astype("int64")
    frame = _publish_rates(counted, min_cell).join(_judge(counted))
    frame.loc[frame["converted"].isna(), ["q_value", "verdict"]] = None
    frame.loc[frame["rate_per_session"].isna(), "verdict_per_session"] = None
    by_gate = counts.publish_counts(counted["by_gate"], counted["viewers"], min_cell)
    # Hidden ones have no row: identified viewers are exact, and of few of them few passed it.
    gate = counted[["viewers"]].assign(by_gate=by_gate).dropna().reset_index()
    parts = {"gate": make_section("gate", gate if by_gate.any() else gate[:0])}
    shown = (frame if frame["converted"].fillna(0).any() else frame[:0]).reset_index()
    viewers = int(counted["viewers"].sum())
    words = {"viewers": viewers, "titles": rules.titles, "too_few": counts.TOO_FEW}
    words["nobody"] = not counted["converted"].any()
    converted = _publish_total(counted, viewers, min_cell)
    return make_section("conversions", shown, parts, converted=converted, **words)


def _publish_total(counted: pd.DataFrame, viewers: int, min_cell: int) -> int | None:
    """All who converted, where that tells no hidden count of a cluster."""
    total = int(counted["converted"].sum())
    least, most, _ = counts.read_counts(pd.DataFrame([[total]]), True, viewers, min_cell)
    readings = counts.read_counts(counted[["converted"]].T, True, counted["viewers"], min_cell)
    solved = counts.are_solved(*readings, least, most).any()
    return None if solved else counts.publish(total, of=viewers, min_cell=min_cell)


def _publish_rates(counted: pd.DataFrame, min_cell: int) -> pd.DataFrame:
    sessions, acted = counted["sessions"], counted["converting_sessions"]
    frame = counted[["viewers"]].copy()
    frame["converted"] = counts.publish_counts(counted["converted"], counted["viewers"], min_cell)
    frame["sessions"] = counts.publish_counts(sessions, int(sessions.sum()), min_cell)
    frame["acted"] = counts.publish_counts(acted, sessions, min_cell, known=False)
    frame = counts.with_share(frame, "converted", "viewers", "rate")
    frame = counts.with_share(frame, "acted", "sessions", "rate_per_session", interval=False)
    frame = frame.dropna(subset="sessions")  # hidden ones are as many as viewers, or nearly so
    return frame.rename(columns={"rate_low": "low", "rate_high": "high"})


def _judge(counted: pd.DataFrame) -> pd.DataFrame:
    """q_value, verdict and verdict_per_session of each cluster against all other viewers."""
    size, sessions = counted["viewers"], counted["sessions"]
    acted, converted = counted["converting_sessions"], counted["converted"].sum()
    viewers = size.sum()
    expected = size * converted / max(viewers, 1)  # of a hypergeometric distribution
    variance = expected * (viewers - size) * (viewers - converted) / max(viewers**2 - viewers, 1)
    by_viewer = {"count": counted["converted"], "expected": expected, "variance": variance}
    by_viewer["total"] = converted
    rate, part = acted.sum() / max(sessions.sum(), 1), sessions / max(sessions.sum(), 1)
    expected = acted.sum() * part
    spread = counted["converting_squares"] - 2 * rate * counted["products"]
    spread += rate**2 * counted["squares"]
    between = spread * (1 - 2 * part) + part**2 * spread.sum()
    # At least that of single sessions: few conversions by chance would make it small as well.
    variance = between.clip(lower=expected * (1 - part) * (1 - rate))
    by_session = {"count": acted, "expected": expected, "variance": variance}
    by_session["total"] = acted.sum()
    both = pd.concat({"viewer": pd.DataFrame(by_viewer), "session": pd.DataFrame(by_session)})
    enough = np.tile(size >= counts.TOO_FEW, 2) & (both["variance"] > 0) & (both["expected"] > 0)
    tested = judge_counts(both[enough], sides=2).reindex(both.index)
    word = np.where(tested["ratio"] > 1, "higher", "lower")
    word = np.where(tested["q_value"] < LEVEL, word, "no clear difference")
    verdict = pd.Series(word, both.index, dtype=object).mask(tested["q_value"].isna(), "too few")
    verdicts = {"verdict": verdict["viewer"], "verdict_per_session": verdict["session"]}
    return pd.DataFrame({"q_value": coarsen_p_values(tested.loc["viewer", "q_value"]), **verdicts})
