"""What the viewers of each cluster are like, in numbers that may be sent to a service."""

from dataclasses import dataclass

import pandas as pd

from helpers.findings.counts import publish_counts
from helpers.store.engine import Engine, sql

QUARTILES_NEED = 4  # times min_cell viewers
QUARTILES = ["videos_per_viewer", "percent_watched", "visits_per_viewer"]
WATCH_TIME = ["avg_minutes_watched", "hours_watched"]
MOST = {"country": 3, "mobile": 1, "video": 5}  # of a kind in a cluster


@dataclass(frozen=True)
class Profiles:
    """Frames on the clusters that have viewers; nothing in them is of fewer than ``min_cell``.

    Attributes
    ----------
    clusters : DataFrame, index cluster
        viewers, share [0 to 1 of all viewers], avg_videos, avg_percent_watched [percent],
        avg_visits, identified_viewers, identified_share [0 to 1], as in clusters.csv;
        videos_per_viewer, percent_watched and visits_per_viewer [lists of the 25th, 50th and 75th
        percentile]; avg_minutes_watched [minutes a viewer], hours_watched [hours of all]. A small
        cluster has a row of missing values.
    parts : DataFrame, largest first
        cluster, kind (country, mobile), name (a country's code), viewers [published count], share
        [0 to 1 of the cluster].
    videos : DataFrame, most watched first
        cluster, title, viewers [published count], avg_percent_watched [whole percent].
    """

    clusters: pd.DataFrame
    parts: pd.DataFrame
    videos: pd.DataFrame


def describe_profiles(engine: Engine, clusters: pd.DataFrame, min_cell: int) -> Profiles:
    """Measure each cluster that has viewers.

    Parameters
    ----------
    engine : Engine
        With viewers, sessions, plays and titles.
    clusters : DataFrame
        The table of clusters.csv, index cluster.
    min_cell : int
        Groups of fewer viewers are left out.
    """
    filled = clusters[clusters["viewers"] > 0].round({"share": 3, "identified_share": 3})
    measured = engine.query(sql("profiles")).set_index("cluster")
    table = filled.join(measured)
    timed = publish_counts(table.pop("timed_viewers"), table["viewers"], min_cell)
    table[WATCH_TIME] = table[WATCH_TIME].mask(timed.isna() | (timed == 0))
    few = table["viewers"] < QUARTILES_NEED * min_cell
    table[QUARTILES] = table[QUARTILES].astype(object).mask(few, None)
    small = table["viewers"] < min_cell
    parts = _parts(engine, table.loc[~small, "viewers"], min_cell)
    is_video = parts["kind"] == "video"
    groups = parts.loc[~is_video, ["cluster", "kind", "name", "viewers", "share"]]
    videos = parts[is_video].rename(columns={"name": "title"})
    videos = videos[["cluster", "title", "viewers", "avg_percent_watched"]]
    return Profiles(table.astype(object).mask(small, None), groups, videos)


def _parts(engine: Engine, sizes: pd.Series, min_cell: int) -> pd.DataFrame:
    """The largest groups of each cluster, by kind."""
    counted = engine.counts(sql("profile_parts"))
    counted = counted[counted["cluster"].isin(sizes.index)].copy()
    of = counted["cluster"].map(sizes).astype("int64")
    counted["avg_percent_watched"] = (counted["best"] / counted["viewers"] * 100).round()
    counted["viewers"] = publish_counts(counted["viewers"], of, min_cell)
    counted["share"] = (counted["viewers"] / of).astype(float).round(3)
    titles = engine.query("SELECT media_id, title FROM titles").set_index("media_id")["title"]
    order = {"cluster": True, "kind": True, "viewers": False, "name": True}
    shown = counted[counted["viewers"] > 0].sort_values(list(order), ascending=list(order.values()))
    most = shown["kind"].map(MOST).astype("int64")  # of no rows at all pandas would make text
    shown = shown[shown.groupby(["cluster", "kind"]).cumcount() < most]
    is_video = shown["kind"] == "video"
    return shown.assign(name=shown["name"].mask(is_video, shown["name"].map(titles)))
