"""Stage 06: where viewers leave the most watched videos, and what they watch again."""

from dataclasses import replace

import pandas as pd

from helpers import analysis
from helpers.core import files
from helpers.core.tables import clock
from helpers.fetch import host_of, open_host
from helpers.findings import drops as places
from helpers.findings.content import usual_percent
from helpers.findings.counts import publish_counts
from helpers.findings.section import Section
from helpers.run import Run
from helpers.store.engine import sql
from helpers.store.schema import ENGAGEMENT, MEDIA_STATS

NONE_ASKED = "retention_videos is 0: where viewers leave was not looked at."
OWN_FILE = "Sessions came from a file of your own, and engagement is Wistia's: there are no curves."


def fetch(run: Run) -> pd.DataFrame | None:
    """Bring the engagement of the ``retention_videos`` videos with most viewers up to date.

    At most two requests for each video, and none for one that was not played since it was read.

    Returns
    -------
    DataFrame, index title, or None where there is nothing to ask for
        curve: "of all viewers, for life", or why there is none.

    Raises
    ------
    AccessError, ServiceError
        Wistia refuses the token or failed; what was read before is kept.
    LockError
        Another run is in progress on the account.
    """
    videos = _most_watched(run)
    if run.source.wistia == "file" or videos.empty:
        return None
    with run.store.lock():
        run.store.open(run.source.identity("wistia", run.settings))
        with open_host(run) as service:
            try:
                played = videos["last_at"].to_dict()
                missing = host_of(run).fetch_engagement(service, run.store, played)
            finally:
                run.record(engagement=service.client.counts)
    words = [missing.get(media_id, "of all viewers, for life") for media_id in videos.index]
    return pd.DataFrame({"curve": words}, pd.Index(videos["title"], name="title"))


def curves(run: Run) -> pd.DataFrame:
    """The curve of each video; see :func:`helpers.findings.drops.scale_curves`.

    Examples
    --------
    >>> retention.curves(run).query("title == 'Product demo'").plot(x="second", y="watching")
    """
    return places.scale_curves(*_cells(run))


def drops(run: Run) -> pd.DataFrame:
    """Where viewers leave: media_id, title, second [s], lost and left [0 to 1]."""
    return places.list_places(places.find_drops, *_cells(run))


def peaks(run: Run) -> pd.DataFrame:
    """What is watched again: media_id, title, second [s], rewatched and left [0 to 1]."""
    return places.list_places(places.find_peaks, *_cells(run))


def videos(run: Run) -> pd.DataFrame:
    """What is known of each video that has a curve, most viewers first.

    Returns
    -------
    DataFrame
        media_id, title, seconds [of its length], plays [published], play_rate [plays by loads, 0
        to 1], hours_watched [hours], opening [lost in the first 5 seconds, 0 to 1], cluster (that
        prefers it most), usual_percent [completion usual at this length, 0 to 100]; the figures
        are for life.
    """
    curve = curves(run)
    left = curve[curve["second"] >= places.OPENING].groupby("media_id")["watching"].first()
    frame = curve[["media_id", "title"]].drop_duplicates().set_index("media_id")
    stats = files.read_parquet(run.store.media_stats_path, MEDIA_STATS).to_pandas()
    stats = stats.set_index("media_id").reindex(frame.index).round({"play_rate": 2})
    plays = stats["play_count"].fillna(0).astype("int64")
    shown = publish_counts(plays, plays, run.params.min_cell, known=False).where(plays > 0)
    seconds = _most_watched(run)["duration"].reindex(frame.index)
    insights = run.find("insights.json")
    preferred = files.read_json(insights)["content"]["rows"] if insights else []
    preferred = pd.DataFrame(preferred, columns=["media_id", "cluster", "preference"])
    cluster = preferred.sort_values("preference").groupby("media_id")["cluster"].last()
    cluster = cluster.reindex(frame.index)  # a frame without rows would take the rows of a column
    return frame.assign(
        seconds=seconds,
        plays=shown,
        play_rate=stats["play_rate"],
        # Of the plays as published: all hours, by the curve, would tell how many plays.
        hours_watched=(stats["hours_watched"] / plays * shown.astype(float)).round(1),
        opening=(1 - left).round(2),
        cluster=cluster,
        usual_percent=usual_percent(seconds),
    ).reset_index()


def table(run: Run) -> pd.DataFrame | None:
    """One row per drop and peak, and one for a video without, most viewers first.

    Returns
    -------
    DataFrame, index title, or None where no video has a curve
        length [m:ss], plays, play_rate, hours_watched, opening, cluster, usual_percent as in
        :func:`videos`; where [m:ss], lost, left and rewatched [0 to 1].
    """
    found = pd.concat([drops(run), peaks(run)]).sort_values("second")
    found = found.assign(where=found["second"].map(clock)).drop(columns=["title", "second"])
    known = videos(run).rename(columns={"seconds": "length"})
    known["length"] = known["length"].map(clock, na_action="ignore")
    known = known.merge(found, "left", "media_id").set_index("title")
    return known.drop(columns="media_id") if len(known) else None


def write(run: Run) -> Section:
    """Write ``data/retention.csv`` and ``data/retention.json``, and return what the latter holds.

    With ``ask_edits`` Mave is asked for edits at the drops, within ``max_credits``.

    Raises
    ------
    CreditError, ServiceError, AccessError
        See :func:`helpers.analysis.ask_edits`; the files are written all the same.
    """
    known, found = videos(run), drops(run)
    section = places.describe_retention(curves(run), found, peaks(run), known)
    if run.source.wistia == "file" or not run.params.retention_videos:
        section = Section(OWN_FILE if run.source.wistia == "file" else NONE_ASKED)
    run.write_csv("retention.csv", curves(run))
    run.write_json("retention.json", section.to_json())
    if run.params.ask_edits:
        lengths = known.assign(minutes=(known["seconds"] / 60).round(1))
        sent = found.merge(lengths[["media_id", "minutes"]].dropna(), on="media_id")
        section = replace(section, parts=section.parts | {"edits": analysis.ask_edits(run, sent)})
        run.write_json("retention.json", section.to_json())
    return section


def _most_watched(run: Run) -> pd.DataFrame:
    """The videos to look at, index media_id: viewers, last_at [UTC], title, duration [s]."""
    most = run.engine.query(sql("most_watched"), {"most": run.params.retention_videos})
    return most.set_index("media_id")


def _cells(run: Run) -> tuple[pd.DataFrame, pd.Series, int]:
    """Engagement of the videos to look at, in their order, their titles, and ``min_cell``."""
    videos = _most_watched(run)
    cells = files.read_parquet(run.store.engagement_path, ENGAGEMENT).to_pandas()
    place = cells["media_id"].map({name: n for n, name in enumerate(videos.index)})
    cells = cells.assign(place=place).dropna(subset="place").sort_values(["place", "second"])
    return cells, videos["title"], run.params.min_cell
