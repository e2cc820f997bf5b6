"""Columns of what is stored. What nothing reads is not stored; older files may hold more."""

from __future__ import annotations

import pyarrow as pa

_TIME = pa.timestamp("us", tz="UTC")


def _texts(names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.string()) for name in names.split()]


SESSIONS = pa.schema(
    [
        *_texts("event_key visitor_key media_id"),
        ("received_at", _TIME),
        ("percent_viewed", pa.float64()),
        *_texts("media_name email country region city org page utm_source utm_medium"),
        *_texts("utm_campaign conversion_type"),
        ("mobile", pa.bool_()),
    ]
)
VISITORS = pa.schema(
    [*_texts("visitor_key"), ("last_active_at", _TIME), *_texts("name email org_name org_title")]
)
MEDIAS = pa.schema([*_texts("media_id name"), ("duration", pa.float64()), *_texts("folder")])
MEDIA_STATS = pa.schema(
    [*_texts("media_id"), ("read_at", _TIME), ("play_count", pa.int64())]
    + [("play_rate", pa.float64()), ("hours_watched", pa.float64())]
)
ENGAGEMENT = pa.schema(
    [*_texts("media_id"), ("second", pa.float64()), ("seconds", pa.float64())]
    + [("plays", pa.int64()), ("rewatches", pa.int64())]
)
