"""What viewers did: sessions with a conversion, and what became of an earlier period's clusters."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from helpers.findings.disclosure import whole_percent
from helpers.findings.section import TOO_FEW, hide_small, part, people, with_interval
from helpers.store.engine import Engine

HIDDEN = "hidden"
_LEVEL = r"\b(high|medium|moderate|low)\b"
_STATED = re.compile(
    r"conversion[ \t]+(?:probability|potential|likelihood|chance)s?\b(?:[\s:*_]*\([^)\n]*\))?"
    r"(?:\W+(?:is|are|be|as|at|it|of|to|i|the|this|cluster|would|likely|probably|overall|rated?"
    r"|estimated?|very|rather|fairly|quite|relatively|comparatively))*"
    rf"\W+{_LEVEL}(?:(?: to |[-–/ ]+){_LEVEL})?",
    re.I,
)


def rates(con: Engine, names: list[str]) -> pd.DataFrame:
    """How many viewers of each cluster converted.

    Parameters
    ----------
    con : Engine
        With sessions and viewers.

    Returns
    -------
    DataFrame, a row per cluster in order
        cluster, viewers, converted [viewers with a session with a conversion], conversions
        [sessions], rate (0–1) with rate_low and rate_high (95 %, Wilson), observed: "high" or "low"
        when that interval lies above or below the rate of all viewers, else "medium".
    """
    con.gather(
        """
        WITH converted AS (
            SELECT visitor_key, count(*) AS conversions
            FROM sessions WHERE conversion_type IS NOT NULL GROUP BY visitor_key
        )
        SELECT cluster, count(*) AS viewers, count(conversions) AS converted,
               coalesce(sum(conversions), 0)::BIGINT AS conversions
        FROM viewers LEFT JOIN converted USING (visitor_key) GROUP BY cluster
        """,
        "counted",
    )
    counted = con.execute(
        "SELECT cluster, sum(COLUMNS(* EXCLUDE cluster)) FROM counted GROUP BY 1"
    ).df()
    frame = counted.set_index("cluster").reindex(names).fillna(0).astype("int64").reset_index()
    frame = with_interval(frame, "converted", "viewers", "rate")
    overall = frame["converted"].sum() / max(frame["viewers"].sum(), 1)
    few = frame["viewers"] < TOO_FEW
    frame["observed"] = np.select(
        [few, overall == 0, frame["rate_low"] > overall, frame["rate_high"] < overall],
        ["too few to say", "none seen", "high", "low"],
        "medium",
    )
    return frame


def look_back(con: Engine, names: list[str]) -> pd.DataFrame:
    """Of an earlier period's viewers, how many came back or converted in the later one.

    Parameters
    ----------
    con : Engine
        With ``earlier`` (visitor_key, cluster) and ``later_sessions`` (visitor_key,
        conversion_type), as :func:`helpers.findings.change.against_period` leaves them.

    Returns
    -------
    DataFrame, a row per cluster of the earlier period
        cluster, viewers, came_back, converted [viewers], and came_back_share and converted_share
        (0–1) with _low and _high (95 %, Wilson).
    """
    con.gather(
        """
        WITH back AS (
            SELECT visitor_key, bool_or(conversion_type IS NOT NULL) AS converted
            FROM later_sessions GROUP BY visitor_key
        )
        SELECT cluster, count(*) AS viewers, count(converted) AS came_back,
               count(*) FILTER (converted) AS converted
        FROM earlier LEFT JOIN back USING (visitor_key) GROUP BY cluster
        """,
        "counted",
    )
    counted = con.execute(
        "SELECT cluster, sum(COLUMNS(* EXCLUDE cluster)) FROM counted GROUP BY 1"
    ).df()
    frame = counted.set_index("cluster").reindex(names).fillna(0).astype("int64").reset_index()
    for what in ("came_back", "converted"):
        frame = with_interval(frame, what, "viewers", f"{what}_share")
    return frame


def conversions(
    con: Engine,
    titles: dict[str, str],
    *,
    min_cell: int = 10,
    compared: str | None = None,
) -> dict[str, Any]:
    """The part ``conversions``: rates per cluster, by kind, and the look back.

    Where ``min_cell`` hides the rate of a cluster, its observed is "hidden".

    Parameters
    ----------
    titles : dict
        Title of each cluster by its name, in the order of the rules.
    compared : str, optional
        What ``earlier`` and ``later`` are; None: there are no such tables.
    """
    frame = rates(con, list(titles))
    total, viewers = int(frame["converted"].sum()), int(frame["viewers"].sum())
    many = frame[frame["viewers"] >= TOO_FEW]
    first = (many if len(many) else frame).nlargest(1, "rate").index
    frame = hide_small(
        frame, "converted", "viewers", min_cell, also=["rate", "rate_low", "rate_high"]
    )
    # "low" may mean nobody, which would tell a hidden number beside it
    told = frame["converted"].isna() & frame["observed"].isin(["high", "medium", "low"])
    frame["observed"] = frame["observed"].mask(told, HIDDEN)
    finding = "No session of the window has a conversion."
    if total:
        finding = f"{people(total)} of {viewers:,} converted ({whole_percent(total / viewers)})"
        for best in frame.loc[first].dropna(subset=["rate"]).to_dict("records"):
            finding += (
                f", {titles[best['cluster']]} most often: {whole_percent(best['rate'])} (95 % "
                f"interval {best['rate_low'] * 100:.0f} to {best['rate_high'] * 100:.0f} %)"
            )
        finding += "."
    columns = "cluster viewers converted rate rate_low rate_high observed"
    more = {"kinds": _kinds(con, min_cell)}
    if compared:
        more["look_back"] = _look_back_part(
            look_back(con, list(titles)), titles, compared, min_cell
        )
    note = (
        "A conversion is one that Wistia recorded on a session (a form, a click on a call to "
        "action). Observed: high or low when the interval leaves out the rate of all viewers, "
        "medium when there is no clear difference."
    )
    return part(finding, frame, columns, note, more=more, converted=total, viewers=viewers)


def stated(text: str | None) -> str | None:
    """The word Mave gave a cluster's conversion probability: high, medium, low, or low to medium.

    Parameters
    ----------
    text : str or None
        Mave's section on the cluster; None when there is none, and then no word.
    """
    found = _STATED.search(text or "")
    words = (
        [word.lower().replace("moderate", "medium") for word in found.groups() if word]
        if found
        else []
    )
    return " to ".join(words) or None


def _kinds(con: Engine, min_cell: int) -> dict[str, Any]:
    con.gather(
        """
        SELECT conversion_type AS kind, count(DISTINCT visitor_key) AS viewers,
               count(*) AS sessions
        FROM sessions WHERE conversion_type IS NOT NULL GROUP BY 1
        """,
        "counted",
    )
    frame = con.execute(
        """
        SELECT kind, sum(viewers)::BIGINT AS viewers, sum(sessions)::BIGINT AS sessions
        FROM counted GROUP BY 1 HAVING sum(viewers) >= $least ORDER BY 2 DESC, 1 LIMIT 20
        """,
        {"least": max(min_cell, 1)},
    ).df()
    return part(f"{people(len(frame), 'kind')} of conversion with {min_cell} viewers or more.",
                frame, "kind viewers sessions")  # fmt: skip


def _look_back_part(
    frame: pd.DataFrame, titles: dict[str, str], compared: str, min_cell: int
) -> dict[str, Any]:
    for name in ("came_back", "converted"):
        also = [f"{name}_share{end}" for end in ("", "_low", "_high")]
        frame = hide_small(frame, name, "viewers", min_cell, also=also)
    known = frame[frame["viewers"] > 0]
    finding = "The earlier period has no viewers to look back to."
    if len(known):
        first = known.iloc[0]
        said = [
            f"how many {did} is hidden" if pd.isna(first[name]) else f"{first[name]:,} {did}"
            for name, did in (("came_back", "came back"), ("converted", "converted"))
        ]
        finding = (
            f"Of {people(first['viewers'])} who were {titles[first['cluster']]} in the earlier "
            f"period, {' and '.join(said)}."
        )
    columns = (
        "cluster viewers came_back came_back_share came_back_share_low came_back_share_high "
        "converted converted_share"
    )
    return part(finding, frame, columns, f"Cluster: in the earlier period. Compared: {compared}.")
