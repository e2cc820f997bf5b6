"""What each cluster watches: videos it prefers, what to send it next, completion by length."""

import numpy as np
import pandas as pd

from helpers.findings.counts import TOO_FEW, is_clear_maximum, publish_counts
from helpers.findings.preference import (
    LEVEL,
    choose_period,
    find_preferences,
    judge_counts,
    publish_shares,
    sum_choices,
)
from helpers.findings.section import Section, make_section
from helpers.store.engine import Engine, sql
from helpers.store.rules import ClusterRules

USUAL_COMPLETION = ((60, 66), (120, 56), (600, 50), (1200, 39), (np.inf, 22))
"""Completion of business videos [percent] by length: under so many seconds, so much is watched."""
ALONE = 0.9  # a cluster with this share of the viewers of one video is compared with all others
LEAST_SCALE = 1e-3  # where all viewers watched the same
MOST_NEXT = 3  # videos to send next that are shown, of each cluster
MOST_SUGGESTED = 10  # of each cluster, so that each person has one not seen yet


def compare_content(
    engine: Engine, rules: ClusterRules, next_videos: pd.DataFrame | None = None, *, min_cell: int
) -> Section:
    """Which videos stand out in a cluster, by preference.

    Parameters
    ----------
    engine : Engine
        With viewers, plays, sessions and titles.
    next_videos : DataFrame, optional
        Of :func:`suggest_next_videos`, which is asked where it is not given.

    Returns
    -------
    Section
        A row for each cell that stands out: cluster, media_id, title, viewers [published],
        share_of_viewings, share_of_all [0 to 1], preference with low and high [times], q_value.
        Parts: videos (cluster by video), folders, next_video, lengths.
    """
    titles = read_titles(engine)
    viewers, chosen = count_choices(engine)
    sizes, cells = sum_choices(viewers, chosen)
    shown = publish_videos(sizes, cells, min_cell)
    clear = find_preferences(chosen, viewers, shown, min_cell)
    if next_videos is None:
        next_videos = suggest_next_videos(engine, rules, min_cell)
    videos = _with_titles(_in_order(shown, rules), titles)
    parts = {
        "videos": make_section("content_videos", videos, titles=rules.titles),
        "folders": _describe_folders(cells, sizes, titles, rules, min_cell),
        "next_video": _describe_next(next_videos, rules, min_cell),
        "lengths": compare_lengths(engine, min_cell, sizes["viewers"].sum()),
    }
    words = {"listed": len(shown), "titles": rules.titles}
    return make_section("content", _with_titles(clear, titles), parts, **words)


def read_titles(engine: Engine) -> pd.DataFrame:
    """Videos that were played, index media_id: title, duration [seconds], folder."""
    return engine.query("FROM titles").set_index("media_id")


def count_choices(engine: Engine) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Viewers, and who watched what, as :func:`.preference.compare_choices` takes them."""
    days = {"days": choose_period(engine)}
    viewers = engine.counts(sql("viewer_choices"), days)
    chosen = engine.counts(sql("video_choices"), days)
    once = viewers[viewers["stratum"] == "one"].groupby("cluster")["viewers"].sum()
    if once.max() > ALONE * once.sum():
        return viewers.assign(stratum="all"), chosen.assign(stratum="all")
    return viewers, chosen


def publish_videos(sizes: pd.DataFrame, cells: pd.DataFrame, min_cell: int) -> pd.DataFrame:
    """The columns of :func:`.publish_shares`, and avg_percent_watched [whole percent]."""
    shown = publish_shares(cells, sizes, min_cell, sums=True).merge(cells, on=["value", "cluster"])
    percent = (shown["watched"] / shown.pop("count") * 100).round()
    return shown.drop(columns="watched").assign(avg_percent_watched=percent)


def _with_titles(frame: pd.DataFrame, titles: pd.DataFrame) -> pd.DataFrame:
    names = {"value": "media_id", "share": "share_of_viewings"}
    return frame.assign(title=frame["value"].map(titles["title"])).rename(columns=names)


def _in_order(frame: pd.DataFrame, rules: ClusterRules) -> pd.DataFrame:
    """Rows by the order of the clusters, those of most viewers first."""
    frame = frame.sort_values(["viewers", "value"], ascending=[False, True])
    place = frame["cluster"].map({name: place for place, name in enumerate(rules.names)})
    return frame.iloc[place.argsort(kind="stable")].reset_index(drop=True)


def _describe_folders(cells, sizes, titles, rules: ClusterRules, min_cell: int) -> Section:
    """Viewings by folder where a video has enough viewers, but of clusters that nearly all saw one.

    Those who saw it are known there, and the folder would tell the others.
    """
    others = cells["cluster"].map(sizes["viewers"]) - cells["count"]
    near = cells["cluster"][cells["count"].ge(min_cell) & others.lt(min_cell)]
    cells = cells.assign(value=cells["value"].map(titles["folder"]).fillna(""))
    cells["near"] = cells["cluster"].isin(near)
    by_folder = cells.groupby(["value", "cluster"], as_index=False)
    counted = by_folder.agg(count=("count", "sum"), max=("count", "max"), near=("near", "any"))
    viewings = sizes.assign(viewers=sizes["choices"])
    shown = publish_shares(counted, viewings, min_cell, sums=True, known=False)
    enough = counted["max"].ge(min_cell) & ~counted["near"] & counted["value"].ne("")
    shown = shown.merge(counted[enough])
    names = {"value": "folder", "viewers": "viewings", "share": "share_of_viewings"}
    shown = _in_order(shown, rules).rename(columns=names)
    return make_section("folders", shown)


def suggest_next_videos(engine: Engine, rules: ClusterRules, min_cell: int) -> pd.DataFrame:
    """What to send each cluster next: the videos that most of it went on to, best first.

    Returns
    -------
    DataFrame
        cluster, media_id, title, followers [published viewers], share_of_next and share_of_all
        [0 to 1 of what was watched next, by the cluster and by all], basis: "this cluster", or
        "all viewers" where too few of the cluster went on to another video.
    """
    cells = engine.counts(sql("next_video"))
    sizes = engine.counts("SELECT cluster, count(*) AS viewers FROM viewers GROUP BY 1")
    sizes = sizes.set_index("cluster").assign(choices=cells.groupby("cluster")["count"].sum())
    sizes = sizes.fillna(0).astype("int64")
    own = publish_shares(cells, sizes, min_cell)
    everybody = cells.assign(cluster="all").groupby(["value", "cluster"], as_index=False).sum()
    others = publish_shares(everybody, sizes.sum().to_frame("all").T, min_cell)
    others = others.drop(columns="cluster").assign(basis="all viewers")
    missing = pd.DataFrame({"cluster": sizes.index.difference(own["cluster"])})
    frame = pd.concat([own.assign(basis="this cluster"), missing.merge(others, how="cross")])
    frame = _in_order(frame, rules).groupby("cluster", sort=False).head(MOST_SUGGESTED)
    frame["title"] = frame["value"].map(read_titles(engine)["title"])
    names = {"value": "media_id", "viewers": "followers", "share": "share_of_next"}
    return frame.rename(columns=names).reset_index(drop=True)


def _describe_next(frame: pd.DataFrame, rules: ClusterRules, min_cell: int) -> Section:
    frame = frame.groupby("cluster", sort=False).head(MOST_NEXT).reset_index(drop=True)
    own = frame[frame["basis"] == "this cluster"].groupby("cluster", sort=False)
    leading = [rows.head(2) for _, rows in own]
    clear = [
        rows.iloc[0]
        for rows in leading
        if is_clear_maximum(*[*rows["followers"], min_cell - 1][:2], groups=len(leading))
    ]
    first = list({rows["title"].iloc[0] for rows in leading})
    words = {"leading": leading, "clear": clear, "first": first, "titles": rules.titles}
    return make_section("next_video", frame, **words)


def usual_percent(seconds: pd.Series) -> pd.Series:
    """Completion usual for videos of that length [percent]; missing where the length is."""
    limits, percents = zip(*USUAL_COMPLETION, strict=True)
    return pd.cut(seconds, [0, *limits], right=False, labels=percents).astype(float)


def compare_lengths(engine: Engine, min_cell: int, viewers: float = np.inf) -> Section:
    """Completion of each video beside what is usual for its length.

    Parameters
    ----------
    viewers : int, optional
        All there are; of few of them, a row would tell how many watched a video.

    Returns
    -------
    Section
        A row for each video of known length and `min_cell` viewers, the most watched first:
        media_id, title, minutes, percent (mean over sessions, whole), usual_percent, verdict.
    """
    counted = engine.counts(sql("video_lengths")).merge(read_titles(engine), on="media_id")
    least = max(min_cell, 2) if viewers >= 2 * min_cell else np.inf
    counted = counted[(counted["viewers"] >= least) & (counted["duration"] > 0)]
    rounded = publish_counts(counted["viewers"], counted["viewers"], min_cell, known=False)
    # By published viewers: an exact order would tell of hidden ones.
    frame = counted.assign(rounded=-rounded).sort_values(["rounded", "title"], ignore_index=True)
    mean, usual = frame["watched"] / frame["sessions"], usual_percent(frame["duration"])
    # Viewers are drawn, not sessions: those of one viewer hang together.
    spread = frame["squares"] - 2 * mean * frame["products"] + mean**2 * frame["session_squares"]
    total, part = frame["sessions"] ** 2 / frame["session_squares"], usual / 100
    most = mean * (1 - mean) * frame["session_squares"] * (1 - 1 / total)
    # Few viewers see a long video's end: a sample without them varies too little. It is taken to
    # vary as other videos do, and of few viewers as much as anything between 0 and 1 can.
    usual_scale = max(spread.sum() / max(most.sum(), 1), LEAST_SCALE)
    scale = (spread / most).fillna(0).clip(lower=usual_scale).mask(frame["viewers"] < TOO_FEW, 1)
    counts = {"count": mean * total, "expected": part * total, "total": total}
    variance = scale * part * (1 - part) * total
    judged = judge_counts(pd.DataFrame(counts).assign(variance=variance), sides=2)
    frame["minutes"], frame["percent"] = (frame["duration"] / 60).round(1), (mean * 100).round()
    frame["usual_percent"] = usual
    word = np.where(judged["ratio"] > 1, "above", "below")
    frame["verdict"] = np.where(judged["q_value"] < LEVEL, word, "as usual")
    return make_section("lengths", frame)
