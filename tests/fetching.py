"""What the tests of fetching share: a run against the fake Wistia, and tables to compare."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from pathlib import Path

import pyarrow.parquet as pq
from fake_wistia import EVENTS

from helpers import fetch
from helpers.core import http
from helpers.run import Run
from helpers.store.store import Store

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
    os.environ.update(environment)
    quick(page_size)
    go(**given)


def kill_and_go_on(fake, environment: dict[str, str], page_size: int, at: int, late: float, given):
    """Kill a fetch at its request number `at`, or `late` seconds after, and go on in this process.

    Returns the tables in the end, and the days that were read twice without need.
    """
    outputs = Path(environment["VIEWER_PERSONAS_OUTPUTS"])
    shutil.rmtree(outputs, ignore_errors=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fetching"])
    child = context.Process(target=killed_child, args=(environment, page_size, given))

    def kill(path, query, number):
        if number == at:
            threading.Timer(late, os.kill, (child.pid, signal.SIGKILL)).start()

    fake.log.clear()
    fake.before = kill
    child.start()
    child.join(120)
    fake.before = None
    assert child.exitcode in (-signal.SIGKILL, 0)
    store = Store(outputs / "store" / "live")
    # A pass that was done when it was killed is followed by a new one, which reads three days anew.
    ended = not child.exitcode or store.state()["pass"]["done"]
    finished = set() if ended else {f"{day}" for day in store.days()}
    fake.log.clear()
    go(**given)
    asked = {(query["start_date"], query["end_date"]) for query in fake.requests(EVENTS)}
    twice = [day for day in finished if any(first <= day <= last for first, last in asked)]
    return tables(store), twice


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
