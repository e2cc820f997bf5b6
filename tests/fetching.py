"""What the tests of fetching share: a run against the fake Wistia, and tables to compare."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from helpers import fetch, http
from helpers.run import Run
from helpers.store import Store

NOW = "2026-10-01T12:00:00+00:00"


def settings(outputs: Path, url: str, **more: str) -> dict[str, str]:
    """Environment of a live run against `url`, on 1 October 2026."""
    return {
        "VIEWER_PERSONAS_OUTPUTS": str(outputs),
        "VIEWER_PERSONAS_NOW": NOW,
        "VIEWER_PERSONAS_REQUESTS_PER_MINUTE": "1000000",
        "WISTIA_API_TOKEN": "token",
        "WISTIA_BASE_URL": url,
        **more,
    }


def quick(page_size: int) -> None:
    """Small pages and short waits, in this process."""
    http.Client.FIRST_WAIT = 0.01
    http.Client.ATTEMPTS = 12
    fetch.Wistia.__init__.__kwdefaults__["per_page"] = page_size


def go(**given) -> fetch.Fetched:
    return fetch.everything(Run.open("01_fetch", **given))


def killed_child(environment: dict[str, str], page_size: int, given: dict) -> None:
    """What a process does that will be killed."""
    import os

    os.environ.update(environment)
    quick(page_size)
    go(**given)


def tables(store: Store) -> dict[str, list]:
    """Everything in the store that must not depend on how it was fetched."""
    rows = {}
    for path in sorted(store.folder.glob("sessions/day=*/part-*.parquet")):
        day = path.parent.name.removeprefix("day=")
        rows.setdefault(day, []).extend(pq.ParquetFile(path).read().to_pylist())
    return {
        "days": [str(day) for day in store.days()],
        "sessions": [(day, _sorted(found)) for day, found in sorted(rows.items())],
        "visitors": _sorted(pq.ParquetFile(store.visitors_path).read().to_pylist()),
        "medias": _sorted(pq.ParquetFile(store.medias_path).read().to_pylist()),
    }


def _sorted(rows: list[dict]) -> list:
    return sorted((tuple(row.items()) for row in rows), key=repr)
