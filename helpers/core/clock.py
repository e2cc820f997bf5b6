"""The one place that says what time it is."""

import os
from datetime import UTC, date, datetime

SANDBOX_LAST_DAY = date(2026, 6, 30)
"""Last UTC day of the sandbox's data, so that committed notebook outputs stay true on any date."""


def now() -> datetime:
    """Now, in UTC; ``VIEWER_PERSONAS_NOW`` (ISO 8601) stands in for it in tests."""
    pinned = os.environ.get("VIEWER_PERSONAS_NOW")
    return read_time(pinned) if pinned else datetime.now(UTC)


def read_time(text: str) -> datetime:
    """A time in UTC of ISO 8601 text, in which it is UTC without a zone; ValueError for others."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def today() -> date:
    """The UTC day of :func:`now`."""
    return now().date()
