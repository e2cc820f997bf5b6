"""The one place that says what time it is."""

import os
from datetime import UTC, date, datetime

SANDBOX_LAST_DAY = date(2026, 6, 30)
"""Last UTC day of the sandbox's data, so that committed notebook outputs stay true on any date."""


def now() -> datetime:
    """Now, in UTC; ``VIEWER_PERSONAS_NOW`` (ISO 8601) stands in for it in tests."""
    pinned = os.environ.get("VIEWER_PERSONAS_NOW")
    if pinned:
        moment = datetime.fromisoformat(pinned)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return datetime.now(UTC)


def today() -> date:
    """The UTC day of :func:`now`."""
    return now().date()
