"""Videos into the store, and which parts of them were played: read once, and when played again."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa

from helpers.core import clock
from helpers.core.errors import AccessError, DataError, ServiceError
from helpers.core.files import read_parquet, write_parquet
from helpers.store.facts import MediaFacts, refuse_unusable
from helpers.store.schema import ENGAGEMENT, MEDIA_STATS, MEDIAS
from helpers.store.store import Store
from helpers.wistia.client import STATS_PERMISSION, Wistia, side_by_side
from helpers.wistia.rows import Engagement, MediaStats, to_table

MOST_CELLS = 1000
"""Wistia gives a cell a second, and no more cells than this: then they are longer."""

GONE = "it is deleted at Wistia"
NO_CURVE = "Wistia has no curve of it, as of an image, or its length is not known"
REFUSED = f"the token lacks {STATS_PERMISSION}"


def read_medias(wistia: Wistia, store: Store) -> MediaFacts:
    """Put the account's videos into ``medias.parquet``, unless the token may not read them.

    Raises
    ------
    DataError
        Over 1 % of them have no id.
    """
    try:
        pages = list(wistia.medias())
    except AccessError:
        return MediaFacts(readable=False)
    rows = {row.media_id: row for page in pages for row in page.rows}
    unusable = [problem for page in pages for problem in page.problems]
    refuse_unusable(unusable, len(rows), "Wistia: videos")
    write_parquet(store.medias_path, to_table(list(rows.values()), MEDIAS))
    return MediaFacts(pages=len(pages), rows=len(rows), unusable=len(unusable))


def fetch_engagement(
    client: Wistia, store: Store, last_played: Mapping[str, datetime]
) -> dict[str, str]:
    """Bring engagement and stats of some videos up to date, by at most two requests for each.

    Writes ``store.engagement_path`` (a row per video and cell: media_id, second [its start],
    seconds [its length], plays, rewatches) and ``store.media_stats_path`` (a row per video:
    media_id, read_at [UTC], play_count, play_rate, hours_watched).

    Parameters
    ----------
    client : Wistia
    store : Store
        Locked by the caller.
    last_played : mapping of str to datetime
        Newest session of each video, UTC: one that was read later is not read again.

    Returns
    -------
    dict
        media_id -> why there is no curve of it.

    Raises
    ------
    ServiceError
        Wistia failed; what was read before is kept.

    References
    ----------
    Wistia Stats API, Show Media and Show Media Engagement: of all viewers, for life.
    """
    read_at = {row["media_id"]: row["read_at"] for row in _stored(store.media_stats_path)}
    to_read = [key for key in last_played if key not in read_at or last_played[key] > read_at[key]]
    videos: dict[str, tuple[MediaStats, Engagement]] = {}
    try:
        with side_by_side() as pool:
            answers = pool.map(partial(_read_video, client), to_read)
            videos.update(zip(to_read, answers, strict=True))
    except AccessError:
        return dict.fromkeys(last_played, REFUSED)
    finally:
        _keep(store, videos, last_played)
    curves = {row["media_id"] for row in _stored(store.engagement_path)}
    return {
        row["media_id"]: GONE if row["play_count"] is None else NO_CURVE
        for row in _stored(store.media_stats_path)
        if row["media_id"] in last_played and row["media_id"] not in curves
    }


def _read_video(client: Wistia, media_id: str) -> tuple[MediaStats, Engagement]:
    """What Wistia has of a video: nothing of a deleted one, no curve of an image."""
    stats, curve = MediaStats(), Engagement(engagement_data=[])
    try:
        stats = client.media_stats(media_id)
        curve = client.engagement(media_id)
    except DataError:
        pass
    except ServiceError as error:
        if error.status_code != 404:
            raise
    return stats, curve


def _keep(store: Store, videos: dict, last_played: Mapping[str, datetime]) -> None:
    """Put what was read in the place of what was stored of the same videos."""
    lengths = {row["media_id"]: row["duration"] for row in _stored(store.medias_path)}
    stats = [row for row in _stored(store.media_stats_path) if row["media_id"] not in videos]
    cells = [row for row in _stored(store.engagement_path) if row["media_id"] not in videos]
    for media_id, (figures, curve) in videos.items():
        # A session may be stamped later than this machine's clock: it is in these figures.
        read_at = max(clock.now(), last_played[media_id])
        stats.append({"media_id": media_id, "read_at": read_at, **figures.model_dump()})
        cells += _cells(media_id, curve, lengths.get(media_id))
    write_parquet(store.engagement_path, pa.Table.from_pylist(cells, ENGAGEMENT))
    write_parquet(store.media_stats_path, pa.Table.from_pylist(stats, MEDIA_STATS))


def _cells(media_id: str, curve: Engagement, length: float | None) -> list[dict[str, Any]]:
    """A row for each cell; none where they are longer than a second, and how long is not known."""
    plays, again = curve.engagement_data, curve.rewatch_data or []
    are_longer = len(plays) >= MOST_CELLS
    if are_longer and not length:
        return []
    seconds = max(length / len(plays), 1.0) if are_longer else 1.0
    counts = zip_longest(plays, again[: len(plays)], fillvalue=0)
    cells = ((media_id, n * seconds, seconds, *count) for n, count in enumerate(counts))
    return [dict(zip(ENGAGEMENT.names, cell, strict=True)) for cell in cells]


def _stored(path: Path) -> list[dict[str, Any]]:
    return read_parquet(path, pa.schema([])).to_pylist()
