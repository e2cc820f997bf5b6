"""What the viewers of each cluster are like, in numbers that may be sent to a service."""

from typing import NamedTuple

import pandas as pd

from helpers.findings.content import count_choices, publish_videos, read_titles
from helpers.findings.counts import publish_counts
from helpers.findings.preference import sum_choices
from helpers.store.engine import Engine, sql

QUARTILES_NEED = 4  # times min_cell viewers
QUARTILES = ["videos_per_viewer", "percent_watched", "visits_per_viewer"]
WATCH_TIME = ["avg_minutes_watched", "hours_watched"]
MOST = {"country": 3, "mobile": 1}  # of a kind in a cluster
MOST_VIDEOS = 5  # of a cluster


class Profiles(NamedTuple):
    """Frames on the clusters that have viewers; nothing in them is of fewer than ``min_cell``.

    Attributes
    ----------
    clusters : DataFrame, index cluster
        viewers, share [0 to 1 of all viewers], avg_videos, avg_percent_watched [percent],
        avg_visits, identified_viewers, identified_share [0 to 1], as in clusters.csv;
        videos_per_viewer, percent_watched and visits_per_viewer [each a 25th_percentile,
        50th_percentile and 75th_percentile]; avg_minutes_watched [minutes a viewer], hours_watched
        [hours of all]. A small cluster has a row of missing values.
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
    table = filled.join(engine.query(sql("profiles")).set_index("cluster"))
    timed = publish_counts(table.pop("timed_viewers"), table["viewers"], min_cell)
    told = table.pop("unseen").lt(min_cell) & (min_cell > 1)  # see people.sum_watch_time
    table[WATCH_TIME] = table[WATCH_TIME].mask(timed.isna() | (timed == 0) | told)
    few = table["viewers"] < QUARTILES_NEED * min_cell
    table[QUARTILES] = table[QUARTILES].astype(object).mask(few, None)
    small = table["viewers"] < min_cell
    sizes = table.loc[~small, "viewers"]
    parts, videos = _parts(engine, sizes, min_cell), _videos(engine, sizes, min_cell)
    return Profiles(table.astype(object).mask(small, None), parts, videos)


def _videos(engine: Engine, sizes: pd.Series, min_cell: int) -> pd.DataFrame:
    """The videos most watched by each cluster, of those that the findings show."""
    shown = publish_videos(*sum_choices(*count_choices(engine)), min_cell)
    shown = shown[shown["cluster"].isin(sizes.index)]
    shown = shown.sort_values(["cluster", "viewers", "value"], ascending=[True, False, True])
    shown = shown.groupby("cluster").head(MOST_VIDEOS)
    shown["title"] = shown["value"].map(read_titles(engine)["title"])
    return shown[["cluster", "title", "viewers", "avg_percent_watched"]]


def _parts(engine: Engine, sizes: pd.Series, min_cell: int) -> pd.DataFrame:
    """The largest groups of each cluster, by kind."""
    counted = engine.counts(sql("profile_parts"))
    counted = counted[counted["cluster"].isin(sizes.index)].copy()
    of = counted["cluster"].map(sizes).astype("int64")
    counted["viewers"] = publish_counts(counted["viewers"], of, min_cell)
    counted["share"] = (counted["viewers"] / of).astype(float).round(3)
    order = ["cluster", "kind", "viewers", "name"]
    shown = counted[counted["viewers"] > 0].sort_values(order, ascending=[True, True, False, True])
    most = shown["kind"].map(MOST).astype("int64")  # of no rows at all pandas would make text
    return shown[shown.groupby(["cluster", "kind"]).cumcount() < most]
