"""Columns of what is stored. What nothing reads is not stored; older files may hold more."""

import pyarrow as pa

KINDS = {
    "text": (pa.string(), "VARCHAR"),
    "flag": (pa.bool_(), "BOOLEAN"),
    "count": (pa.int64(), "BIGINT"),
    "number": (pa.float64(), "DOUBLE"),
    "day": (pa.date32(), "DATE"),
    "time": (pa.timestamp("us", tz="UTC"), "TIMESTAMPTZ"),
}
"""Types of columns, in Arrow and in SQL."""
SQL_TYPES = dict(KINDS.values())


def columns(kinds: str) -> pa.Schema:
    """A schema of columns and their kinds: ``"name seen:time"``; without a kind it is text."""
    parts = (column.partition(":") for column in kinds.split())
    return pa.schema([(name, KINDS[kind or "text"][0]) for name, _, kind in parts])


SESSIONS = columns(
    "event_key visitor_key media_id received_at:time percent_viewed:number media_name email "
    "country region city org page utm_source utm_medium utm_campaign conversion_type mobile:flag"
)
VISITORS = columns("visitor_key last_active_at:time name email org_name org_title")
MEDIAS = columns("media_id name duration:number folder")
MEDIA_STATS = columns(
    "media_id read_at:time play_count:count play_rate:number hours_watched:number"
)
ENGAGEMENT = columns("media_id second:number seconds:number plays:count rewatches:count")
VIEWERS = columns(
    "visitor_key location country top_video identified:flag video_count:count session_count:count "
    "total_visits:count active_days:count avg_percent_watched:number avg_session_percent:number "
    "minutes_watched:number first_seen:time last_active:time"
)
"""Columns of the viewers table that a condition may compare."""
