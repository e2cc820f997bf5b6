"""Viewers counted in plain Python, without a line of the kit's SQL."""

from collections import defaultdict
from datetime import timedelta
from math import fsum


def count_by_hand(sessions: list[dict]) -> dict[str, dict]:
    """Figures of each viewer by the design's words; ``received_at`` are datetimes."""
    best_rows: dict[str, dict] = {}
    for row in sorted(
        sessions,
        key=lambda r: (-r["percent_viewed"], r["received_at"], r["visitor_key"], r["media_id"]),
    ):
        best_rows.setdefault(row["event_key"], row)
    by_viewer = defaultdict(list)
    for row in best_rows.values():
        by_viewer[row["visitor_key"]].append(row)
    return {viewer: _figures(rows) for viewer, rows in by_viewer.items()}


def _figures(rows: list[dict]) -> dict:
    videos = defaultdict(list)
    for row in rows:
        videos[row["media_id"]].append(row["percent_viewed"])
    times = sorted(row["received_at"] for row in rows)
    gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    count, percent = len(videos), fsum(max(seen) for seen in videos.values()) / len(videos) * 100
    rules = {
        "binge_watchers": count >= 5 and percent >= 75,
        "engaged_explorers": count >= 3 and percent >= 50,
        "bouncers": count == 1 and percent < 30,
        "skimmers": count >= 2 and percent < 50,
        "casual_viewers": True,
    }
    return {
        "video_count": count,
        "session_count": len(rows),
        "avg_percent_watched": percent,
        "total_visits": 1 + sum(gap >= timedelta(minutes=30) for gap in gaps),
        "active_days": len({moment.date() for moment in times}),
        "top_video": min(videos, key=lambda m: (-len(videos[m]), -max(videos[m]), m)),
        "cluster": next(name for name, matches in rules.items() if matches),
    }
