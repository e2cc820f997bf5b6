"""What each cluster watches, what to send it next, and where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from helpers.core import files
from helpers.findings.disclosure import whole_percent
from helpers.findings.section import false_discovery, label, part, people
from helpers.store import engine
from helpers.store.engine import Engine

if TYPE_CHECKING:
    from helpers.run import Run

LEVEL = 0.05
WORTH_TELLING = 1.1
"""A lift stands out when all of its interval is above this, besides its q-value."""
USUAL_COMPLETION = ((60, 66), (120, 56), (600, 50), (1200, 39), (np.inf, 22))
"""Completion of business videos [percent] by length: under so many seconds, so much is watched."""

CELLS = "cluster title viewers reach avg_percent_watched lift lift_low lift_high q_value preference"
PLACES = "kind value cluster viewers reach lift lift_low lift_high q_value"


def prepare(con: Engine) -> None:
    """Make the temporary tables that the analysis reads: ``members`` and ``member_plays``.

    Parameters
    ----------
    con : Engine
        With sessions, viewers (with cluster) and medias.
    """
    con.each(engine.sql("member_plays"))


def usual_percent(seconds: pd.Series) -> np.ndarray:
    """Completion usual for videos of that length [percent]; missing where the length is."""
    seconds = seconds.to_numpy(float)
    limits, percents = zip(*USUAL_COMPLETION, strict=True)
    usual = np.array(percents, float)[np.searchsorted(limits[:-1], seconds, side="right")]
    return np.where(np.isnan(seconds), np.nan, usual)


def lift(count, size, all_count, all_size) -> dict[str, np.ndarray]:
    """How much more often something occurs in a group than in all, with its evidence.

    Parameters
    ----------
    count, size : arrays of int
        Members of the group that have it, members of the group.
    all_count, all_size : arrays of int
        The same of all, the group included.

    Returns
    -------
    dict of arrays
        ``lift`` (share in the group by share in all), ``low`` and ``high`` (95 % interval: that of
        the risk ratio against everyone else on the log scale, of which lift is a rising function),
        ``p_value`` (Fisher's exact test, twice the smaller tail).

    References
    ----------
    Katz, D. et al. (1978). Obtaining confidence intervals for the risk ratio in cohort studies.
    """
    from scipy.stats import hypergeom, norm

    count, size, all_count, all_size = (
        np.asarray(values, float)
        for values in np.broadcast_arrays(count, size, all_count, all_size)
    )
    others, rest = all_count - count, all_size - size
    half = np.where((count == 0) | (others == 0), 0.5, 0.0)  # a zero cell has no logarithm
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = ((count + half) / (size + half)) / ((others + half) / (rest + half))
        error = np.sqrt(
            1 / (count + half) - 1 / (size + half) + 1 / (others + half) - 1 / (rest + half)
        )
        part_of_all = size / all_size
        wide = norm.ppf(0.975) * error
        low, high = (
            r / (part_of_all * r + 1 - part_of_all)
            for r in (ratio * np.exp(-wide), ratio * np.exp(wide))
        )
        observed = (count / size) / (all_count / all_size)
    args = (all_size, all_count, size)
    tails = np.minimum(hypergeom.cdf(count, *args), hypergeom.sf(count - 1, *args))
    return {
        "lift": observed,
        "low": np.where(rest > 0, np.fmin(low, observed), observed),
        "high": np.where(rest > 0, np.fmax(high, observed), observed),
        "p_value": np.minimum(2 * tails, 1),
    }


def cells(con: Engine, name: str, min_cell: int = 10) -> pd.DataFrame:
    """Viewers of every kind, value and cluster with lift; small cells dropped after the tests.

    Which cells are tested depends on totals alone, never on what a cell holds: so the control of
    false discoveries stays valid.
    """
    con.gather(engine.sql(name), "counted")
    completion = "fsum(completion) / sum(plays) * 100 AS avg_percent_watched, "
    counted = con.execute(
        f"SELECT kind, value, cluster, {completion if name == 'affinity' else ''}"
        "sum(viewers)::BIGINT AS viewers FROM counted GROUP BY ALL ORDER BY ALL"
    ).df()
    sizes = con.execute("SELECT cluster, count(*) AS size FROM viewers GROUP BY 1 ORDER BY 1").df()
    all_size = int(sizes["size"].sum())
    sizes = sizes[sizes["size"] >= min_cell]
    totals = counted.groupby(["kind", "value"], as_index=False)["viewers"].sum()
    totals = totals.rename(columns={"viewers": "all_viewers"})
    totals = totals[totals["all_viewers"] >= max(min_cell, 1)]
    frame = totals.merge(sizes, how="cross").merge(
        counted, on=["kind", "value", "cluster"], how="left"
    )
    frame["viewers"] = frame["viewers"].fillna(0).astype("int64")
    frame["reach"] = frame["viewers"] / frame["size"]
    _add_lift(frame, "lift", frame["size"], all_size)
    plays = frame.assign(n=frame["viewers"]).groupby(["kind", "cluster"])["n"].transform("sum")
    all_plays = frame["kind"].map(totals.groupby("kind")["all_viewers"].sum())
    _add_lift(frame, "preference", plays, all_plays)
    return frame[frame["viewers"] >= max(min_cell, 1)].reset_index(drop=True)


def _add_lift(frame: pd.DataFrame, name: str, size, all_size) -> None:
    found = lift(frame["viewers"], size, frame["all_viewers"], all_size)
    frame[name], frame[f"{name}_low"], frame[f"{name}_high"] = (
        found[key] for key in ("lift", "low", "high")
    )
    q_name = "q_value" if name == "lift" else f"{name}_q"
    frame[q_name] = found["p_value"]
    frame[q_name] = frame.groupby("kind")[q_name].transform(false_discovery)


def table(con: Engine, *, min_cell: int = 10, found: pd.DataFrame | None = None) -> pd.DataFrame:
    """Content affinity: a row per cluster and video with at least ``min_cell`` viewers.

    Parameters
    ----------
    con : Engine
        After :func:`prepare`.
    found : DataFrame, optional
        Cells of ``affinity`` that :func:`cells` found before.

    Returns
    -------
    DataFrame, by cluster, then lift
        cluster, media_id, title, viewers [viewers], reach (0–1 of the cluster),
        avg_percent_watched (0–100, mean over viewers of the best session), lift (reach by the reach
        among all viewers) with lift_low and lift_high (95 %) and q_value (Benjamini and Hochberg
        over the table), preference (share of the cluster's viewings by the share of all viewings,
        which tells taste from watching more of everything) with its interval and preference_q,
        usual_percent (0–100, completion usual at this length) and minutes, where it is known.
    """
    found = cells(con, "affinity", min_cell) if found is None else found
    found = found[found["kind"] == "video"].rename(columns={"value": "media_id"})
    named = con.execute("SELECT media_id, title, duration FROM titles").df()
    frame = found.merge(named, on="media_id", how="left")
    frame["usual_percent"] = usual_percent(frame["duration"])
    frame["minutes"] = frame["duration"] / 60
    columns = [
        "cluster", "media_id", "title", "viewers", "reach", "avg_percent_watched", "lift",
        "lift_low", "lift_high", "q_value", "preference", "preference_low", "preference_high",
        "preference_q", "usual_percent", "minutes",
    ]  # fmt: skip
    order = ["cluster", "lift", "viewers", "media_id"]
    return frame.sort_values(order, ascending=[True, False, False, True])[columns].reset_index(
        drop=True
    )


def write(run: Run) -> pd.DataFrame:
    """Write ``data/affinity.csv`` and return it; see :func:`table`."""

    con = run.engine
    prepare(con)
    frame = table(con, min_cell=run.params.min_cell)
    files.write_csv(frame, run.data("affinity.csv"))
    return frame


def next_videos(con: Engine, *, min_cell: int = 10, most: int = 3) -> pd.DataFrame:
    """The next video to send each cluster, best first.

    Candidates are what members who watched a video to at least 75 % played next; where too few of
    a cluster did (a bouncer has no next video), what all viewers did. They are ranked by followers
    × their completion × the share of the cluster that has not seen it.

    Returns
    -------
    DataFrame
        cluster, own (bool: seen among the cluster's own members), media_id, title, followers
        [viewers, at least ``min_cell``], avg_percent_watched (0–100, of the followers), unseen
        [viewers of the cluster].
    """
    options = {"min_cell": max(min_cell, 1), "most": most}
    con.gather(engine.sql("followed"), "followed")
    return con.execute(engine.sql("next_video"), options).df().drop(columns="worth")


def videos(con: Engine, *, min_cell: int = 10) -> pd.DataFrame:
    """Completion of each video against what is usual for its length.

    Returns
    -------
    DataFrame, most viewers first
        media_id, title, minutes, viewers, avg_session_percent (0–100: mean over viewers of the mean
        of a viewer's sessions) with low and high (95 %, t), usual_percent, verdict (text).
    """
    from scipy.stats import t

    con.gather(
        "SELECT media_id, count(*) AS n, favg(mean_percent) AS mean, "
        "var_pop(mean_percent) * count(*) AS spread FROM member_plays GROUP BY media_id",
        "video_parts",
    )
    frame = con.execute(
        """
        WITH centred AS (
            SELECT *, fsum(n * mean) OVER video / sum(n) OVER video AS middle
            FROM video_parts WINDOW video AS (PARTITION BY media_id)
        )
        SELECT media_id, title, duration / 60 AS minutes, sum(n)::BIGINT AS viewers,
               any_value(middle) * 100 AS avg_session_percent,
               sqrt(fsum(spread + n * (mean - middle) ** 2) / nullif(sum(n) - 1, 0) / sum(n)) * 100
                   AS error, duration AS s
        FROM centred JOIN titles USING (media_id)
        GROUP BY media_id, title, duration HAVING sum(n) >= $least
        ORDER BY viewers DESC, media_id
        """,
        {"least": max(min_cell, 1)},
    ).df()
    half = t.ppf(0.975, (frame["viewers"] - 1).clip(lower=1)) * frame["error"]
    mean, usual = frame["avg_session_percent"], usual_percent(frame["s"])
    frame["low"], frame["high"] = (mean - half).clip(lower=0), (mean + half).clip(upper=100)
    frame["usual_percent"] = usual
    frame["verdict"] = np.select(
        [np.isnan(usual), half.isna(), frame["low"] > usual, frame["high"] < usual],
        ["length not known", "too few to say", "above", "below"],
        "as usual",
    )
    return frame.drop(columns=["error", "s"])


def content(
    con: Engine,
    found: pd.DataFrame,
    titles: dict[str, str],
    *,
    min_cell: int = 10,
    most: int = 5,
) -> dict[str, Any]:
    """The part ``content`` of the insights: affinity, next video, folders, length.

    Parameters
    ----------
    found : DataFrame
        Cells of ``affinity``, by :func:`cells`.
    titles : dict
        Title of each cluster by its name, in the order of the rules.
    """
    frame = table(con, found=found)
    folders = found[found["kind"] == "folder"].rename(columns={"value": "title"})
    finding, stands_out = _favourite(frame, titles)
    return part(
        finding,
        _first_of_each(frame, titles, most, "preference"),
        CELLS,
        f"Cells under {min_cell} viewers are not shown. Lift: reach in the cluster by reach among "
        "all viewers, 95 % interval. Preference: the same of viewings, so that a cluster that "
        "watches more of everything shows its taste. q-values control false discoveries at 5 % "
        f"over {len(frame)} cells shown and those tested with them.",
        cells=len(frame),
        stands_out=stands_out,
        standing_out=int(((frame["q_value"] < LEVEL) & (frame["lift_low"] > WORTH_TELLING)).sum()),
        more={
            "next_video": _next_part(next_videos(con, min_cell=min_cell), titles),
            "folders": part(
                f"{people(folders['title'].nunique(), 'folder')} reached enough viewers to show."
                if len(folders)
                else "No folder is known, or none has enough viewers.",
                _first_of_each(folders, titles, most, "lift"),
                {name: label(name) for name in CELLS.split()} | {"title": "folder"},
                "A viewer counts once for a folder.",
            ),
            "videos": _length_part(videos(con, min_cell=min_cell)),
        },
    )


def _first_of_each(frame: pd.DataFrame, titles: dict[str, str], most: int, by: str):
    order = {name: place for place, name in enumerate(titles)}
    ranked = frame.assign(place=frame["cluster"].map(order)).sort_values(
        ["place", f"{by}_low", "viewers"], ascending=[True, False, False], kind="stable"
    )
    groups = ["kind", "cluster"] if "kind" in frame else ["cluster"]
    return ranked.groupby(groups, sort=False).head(most).drop(columns="place")


def _favourite(frame: pd.DataFrame, titles: dict[str, str]) -> tuple[str, str | None]:
    """What stands out most, in a sentence, and the media_id of it."""
    if frame.empty:
        return "No video has enough viewers in any cluster to show what it prefers.", None
    clear = frame[(frame["q_value"] < LEVEL) & (frame["lift_low"] > WORTH_TELLING)]
    taste = clear[(clear["preference_q"] < LEVEL) & (clear["preference_low"] > 1)]
    if clear.empty:
        said = f"None of {len(frame)} cells stands out: the clusters watch much the same videos."
        return said, None
    best = (taste if len(taste) else clear).sort_values("lift_low", ascending=False).iloc[0]
    said = (
        f"{titles.get(best['cluster'], best['cluster'])} stand out for “{best['title']}”: "
        f"{whole_percent(best['reach'])} of them watched it, {best['lift']:.1f} times the share of "
        f"all viewers (95 % interval {best['lift_low']:.1f} to {best['lift_high']:.1f})."
    )
    return said, str(best["media_id"])


def _next_part(frame: pd.DataFrame, titles: dict[str, str]) -> dict[str, Any]:
    first = frame.groupby("cluster", sort=False).head(1).set_index("cluster")
    known = [name for name in titles if name in first.index]
    finding = "No video was followed by another often enough to recommend a next one."
    if known:
        best = first.loc[known[0]]
        finding = (
            f"Next for {titles[known[0]]}: “{best['title']}”, watched next by "
            f"{best['followers']:,} viewers after one they had finished, and new to "
            f"{best['unseen']:,} of the cluster."
        )
    columns = "cluster title followers avg_percent_watched unseen basis"
    frame = frame.assign(basis=np.where(frame["own"].astype(bool), "the cluster", "all viewers"))
    note = "Watched next: the video first played after one that was watched to 75 % or more."
    return part(finding, _in_order(frame, titles), columns, note)


def _in_order(frame: pd.DataFrame, titles: dict[str, str]) -> pd.DataFrame:
    order = {name: place for place, name in enumerate(titles)}
    return frame.sort_values("cluster", key=lambda names: names.map(order), kind="stable")


def _length_part(frame: pd.DataFrame) -> dict[str, Any]:
    counts = frame["verdict"].value_counts()
    judged = int(counts.reindex(["above", "below", "as usual"]).sum())
    finding = (
        f"Of {people(judged, 'video')} of known length, {counts.get('above', 0)} are watched "
        f"further than usual for their length and {counts.get('below', 0)} less far."
        if judged
        else "No video of known length has enough viewers to judge its completion."
    )
    columns = "title minutes viewers avg_session_percent low high usual_percent verdict"
    note = "Usual: business videos under 1 min 66 %, to 2 min 56, to 10 min 50, to 20 min 39, 22."
    return part(finding, frame.head(20), columns, note, videos=len(frame), judged=judged)


def sources(
    con: Engine, titles: dict[str, str], *, min_cell: int = 10, most: int = 3
) -> dict[str, Any]:
    """The part ``sources``: pages and utm values that brought each cluster, above ``min_cell``."""
    frame = cells(con, "sources", min_cell)
    clear = frame[(frame["q_value"] < LEVEL) & (frame["lift_low"] > WORTH_TELLING)]
    bounce = clear[clear["cluster"] == "bouncers"]
    finding = "No page or campaign brings one cluster more than others."
    if frame.empty:
        finding = "No page or utm value has enough viewers in a cluster to show."
    elif len(clear):
        best = (bounce if len(bounce) else clear).sort_values("lift_low", ascending=False).iloc[0]
        name = titles.get(best["cluster"], best["cluster"])
        finding = (
            f"{name} come {best['lift']:.1f} times as often as all viewers "
            f"from {best['kind']} {best['value']} (95 % interval {best['lift_low']:.1f} to "
            f"{best['lift_high']:.1f})."
        )
    note = (
        f"Of a viewer's first session that names one. Cells under {min_cell} viewers are not shown."
    )
    return part(finding, _first_of_each(frame, titles, most, "lift"), PLACES, note)
