"""Which parts of a video were played, and how often: read once, and again when it was played."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic import BaseModel

from helpers.core import clock
from helpers.core.errors import AccessError, DataError, ServiceError
from helpers.core.files import open_parquet, write_parquet
from helpers.store.store import Store
from helpers.wistia.client import Wistia
from helpers.wistia.rows import Engagement, MediaStats

MEDIA_STATS = pa.schema(
    [("media_id", pa.string()), ("read_at", pa.timestamp("us", tz="UTC"))]
    + [(name, pa.int64()) for name in ("play_count", "load_count")]
    + [(name, pa.float64()) for name in ("play_rate", "hours_watched", "engagement")]
)
ENGAGEMENT = pa.schema(
    [("media_id", pa.string()), ("second", pa.float64()), ("seconds", pa.float64())]
    + [(name, pa.int64()) for name in ("plays", "rewatches")]
)
WORKERS = 10
MOST_CELLS = 1000
"""Wistia gives a cell a second, and no more cells than this: then they are longer."""

GONE = "it is deleted at Wistia"
NO_CURVE = "Wistia has no curve of it, as of an image, or its length is not known"


class EngagementFacts(BaseModel):
    """What became of the videos' engagement.

    Attributes
    ----------
    videos_read : int
        Of these Wistia was asked now; the others were not played since.
    readable : bool
        Whether the token may read it.
    missing : dict
        media_id -> why there is no curve.
    """

    videos_read: int = 0
    readable: bool = True
    missing: dict[str, str] = {}


def fetch_engagement(
    client: Wistia, store: Store, media_ids: Sequence[str], played_since: Mapping[str, datetime]
) -> EngagementFacts:
    """Bring engagement and stats of some videos up to date, by at most two requests for each.

    Writes ``store.engagement_path`` (a row per video and cell: media_id, second [its start],
    seconds [its length], plays, rewatches) and ``store.media_stats_path`` (a row per video:
    media_id, play_count, load_count, play_rate, hours_watched, engagement [0-1], read_at).

    Parameters
    ----------
    client : Wistia
    store : Store
        Locked by the caller.
    media_ids : sequence of str
    played_since : mapping of str to datetime
        Newest session of each video, UTC: one that was read later is not read again.

    Raises
    ------
    ServiceError
        Wistia failed; what was read before is kept.

    References
    ----------
    Wistia Stats API, Show Media and Show Media Engagement: of all viewers, for life.
    """
    read_at = {row["media_id"]: row["read_at"] for row in _stored(store.media_stats_path)}
    to_read = [
        media_id
        for media_id in media_ids
        if media_id not in read_at
        or played_since.get(media_id, read_at[media_id]) > read_at[media_id]
    ]
    facts = EngagementFacts()
    videos: dict[str, _Video] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = pool.map(lambda media_id: _read_video(client, media_id), to_read)
        try:
            for media_id in to_read:
                videos[media_id] = next(answers)
        except AccessError:
            facts.readable = False
        finally:
            _keep(store, videos, played_since)
    facts.videos_read = len(videos)
    curves = {row["media_id"] for row in _stored(store.engagement_path)}
    for row in _stored(store.media_stats_path):
        if row["media_id"] in media_ids and row["media_id"] not in curves:
            facts.missing[row["media_id"]] = GONE if row["play_count"] is None else NO_CURVE
    return facts


class _Video(NamedTuple):
    stats: MediaStats = MediaStats()
    curve: Engagement = Engagement(engagement_data=[])


def _read_video(client: Wistia, media_id: str) -> _Video:
    """What Wistia has of a video: nothing of a deleted one, no curve of an image."""
    video = _Video()
    try:
        video = video._replace(stats=client.media_stats(media_id))
        return video._replace(curve=client.engagement(media_id))
    except DataError:
        return video
    except ServiceError as error:
        if error.status_code == 404:
            return video
        raise


def _keep(store: Store, videos: dict[str, _Video], played_since: Mapping[str, datetime]) -> None:
    """Put what was read in the place of what was stored of the same videos."""
    if not videos:
        return
    lengths = {row["media_id"]: row["duration"] for row in _stored(store.medias_path)}
    stats = [row for row in _stored(store.media_stats_path) if row["media_id"] not in videos]
    cells = [row for row in _stored(store.engagement_path) if row["media_id"] not in videos]
    for media_id, video in videos.items():
        # A session may be stamped later than this machine's clock: it is in these figures.
        read_at = max(clock.now(), played_since.get(media_id, clock.now()))
        stats.append({"media_id": media_id, "read_at": read_at, **video.stats.model_dump()})
        cells += _cells(media_id, video.curve, lengths.get(media_id))
    write_parquet(store.engagement_path, pa.Table.from_pylist(cells, ENGAGEMENT))
    write_parquet(store.media_stats_path, pa.Table.from_pylist(stats, MEDIA_STATS))


def _cells(media_id: str, curve: Engagement, length: float | None) -> list[dict[str, Any]]:
    """A row for each cell; none where they are longer than a second, and how long is not known."""
    plays, again = curve.engagement_data, curve.rewatch_data or []
    if len(plays) < MOST_CELLS:
        seconds = 1.0
    elif length:
        seconds = max(length / len(plays), 1.0)
    else:
        return []
    return [
        {
            "media_id": media_id,
            "second": number * seconds,
            "seconds": seconds,
            "plays": count,
            "rewatches": (again[number] if number < len(again) else None) or 0,
        }
        for number, count in enumerate(plays)
    ]


def _stored(path: Path) -> list[dict[str, Any]]:
    return open_parquet(path).read().to_pylist() if path.exists() else []
