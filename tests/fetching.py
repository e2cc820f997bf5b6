"""What the tests of fetching share: rows, a sandbox that serves them and goes wrong, tables."""

import asyncio
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pyarrow.parquet as pq
from starlette.responses import JSONResponse

from helpers import fetch
from helpers.core import files, http
from helpers.run import Run
from helpers.sandbox.account import Account, Table, stamp
from helpers.sandbox.server import create_app, start_in_thread
from helpers.store import duck
from helpers.store.store import Store

EVENTS, VISITORS, MEDIAS = "/v1/stats/events.json", "/v1/stats/visitors.json", "/v1/medias.json"
NOW = "2026-10-01T12:00:00+00:00"
AGENT = {"browser": "Chrome", "platform": "Mac", "mobile": False}


def event(number: int, at: datetime, visitor: str | None = None, **more) -> dict:
    return {
        "received_at": stamp(at.timestamp()),
        "event_key": f"event-{number}",
        "visitor_key": visitor or f"visitor-{number % 50}",
        "media_id": f"00{number % 7}2345678",
        "media_name": "A video",
        "percent_viewed": (number % 101) / 100,
        "email": None,
        "country": "US",
        "region": "",
        "city": "",
        "org": "Comcast Cable",
        "ip": "10.0.0.1",
        "lat": 1.5,
        "lon": 2.5,
        "embed_url": "https://example.com/page?utm_source=news&secret=1",
        "conversion_type": "",
        "conversion_data": {},
        "iframe_heatmap_url": "https://api.wistia.com/x?public_token=SECRET",
        "user_agent_details": AGENT,
        **more,
    }


def visitor(key: str, at: datetime, *, plays: int = 1, email: str | None = None) -> dict:
    return {
        "visitor_key": key,
        "created_at": stamp(at.timestamp()),
        "last_active_at": stamp(at.timestamp()),
        "last_event_key": "e",
        "load_count": plays,
        "play_count": plays,
        "identifying_event_key": None,
        "visitor_identity": {"name": "", "email": email, "org": {"name": None, "title": None}},
        "user_agent_details": AGENT,
    }


def media(key: str) -> dict:
    return {
        "id": 1,
        "hashed_id": key,
        "name": f"Video {key}",
        "duration": 61.5,
        "type": "Video",
        "created": "2023-01-26T02:19:57+00:00",
        "project": {"id": 1, "name": "Demos"},
    }


def rows_of(days: int, a_day: int, visitors: int, *, last: date = date(2026, 9, 30)):
    """Events of `days` days up to `last`, visitors, and a video; every time differs."""
    end = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
    step = timedelta(days=1) / max(a_day, 1)
    events = [event(n, end - step * (n + 0.5)) for n in range(days * a_day)]
    people = [visitor(f"visitor-{n}", end - timedelta(minutes=20 * n + 1)) for n in range(visitors)]
    return people, events, [media("0012345678")]


class Served:
    """A sandbox with rows that a test changes, in this process; over HTTP after :meth:`start`.

    Attributes
    ----------
    events, visitors, medias : list of dict
        What is served; set them anew to change which rows there are.
    before : callable, optional
        ``before(path, query, number)``, ahead of each answer.
    replaced : dict
        End of a path -> (status, answer) in the place of the sandbox's.
    app : helpers.sandbox.server.Sandbox
        Takes ``faults`` and ``latency``.
    log : list of (path, query)
    """

    def __init__(self, visitors=(), events=(), medias=()):
        self.app = create_app(Account.of_rows(visitors, events, medias), per_minute=10**9)
        self.before: Callable | None = None
        self.replaced: dict[str, tuple[int, object]] = {}
        self.log: list[tuple[str, dict]] = []
        self.lock = threading.Lock()

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http":
            query = dict(parse_qsl(scope["query_string"].decode()))
            self.log.append((scope["path"], query))
            if self.before:
                self.before(scope["path"], query, len(self.log))
            for end, (status, answer) in self.replaced.items():
                if scope["path"].endswith(end):
                    await JSONResponse(answer, status)(scope, receive, send)
                    return
        await self.app(scope, receive, send)

    def start(self) -> "Served":
        self.url, self.stop = start_in_thread(self)
        return self

    def get(self, path: str, params: dict | None = None, **_) -> list | dict:
        """Stands in for the HTTP client: asks the sandbox without a connection."""
        headers = [(b"host", b"localhost"), (b"authorization", b"Bearer t")]
        scope = {"type": "http", "method": "GET", "path": path, "headers": headers,
                 "query_string": urlencode(params or {}).encode()}  # fmt: skip
        sent = []

        async def send(message):
            sent.append(message)

        with self.lock:
            asyncio.run(self(scope, None, send))
        return json.loads(sent[1]["body"])

    def requests(self, path: str) -> list[dict]:
        return [query for asked, query in self.log if asked == path]

    def play(self, key: str, at: datetime) -> None:
        """A visitor plays (again): to the top of the list with them."""
        self.account.play(key, "0012345678", at=at.timestamp())

    @property
    def account(self) -> Account:
        return self.app.account

    def _table(name: str):  # noqa: N805
        def rows(self) -> list[dict]:
            found = getattr(self.account, name)
            return [found[at] for at in range(len(found))]

        def replace(self, rows: list[dict]) -> None:
            lists = {n: getattr(self, n) for n in ("visitors", "events", "medias")} | {name: rows}
            self.app.account = self.app.wistia.account = Account.of_rows(**lists)

        return property(rows, replace)

    events, visitors, medias = _table("events"), _table("visitors"), _table("medias")


def swap(table: Table, one: int, other: int) -> None:
    """Two rows change places, so that the list is out of order."""
    rows = table.columns["row"]
    rows[one], rows[other] = rows[other], rows[one]


def settings(outputs: Path, url: str, **more: str) -> dict[str, str]:
    """Environment of a live run against `url`, on 1 October 2026."""
    return {
        "VIEWER_PERSONAS_OUTPUTS": str(outputs),
        "VIEWER_PERSONAS_NOW": NOW,
        "VIEWER_PERSONAS_REQUESTS_PER_MINUTE": "100000",
        "WISTIA_API_TOKEN": "token",
        "WISTIA_BASE_URL": url,
        **more,
    }


def quick(page_size: int) -> None:
    """Small pages and short waits, in this process."""
    http.Client.FIRST_WAIT = 0.01
    fetch.wistia.Host.per_page = page_size


def go(**given) -> fetch.Fetched:
    return fetch.everything(Run.open("01_fetch", **given))


def killed_child(environment: dict[str, str], page_size: int, given: dict) -> None:
    """What a process does that will be killed."""
    os.environ.update(environment)
    quick(page_size)
    go(**given)


def kill_and_go_on(
    served, environment: dict[str, str], page_size: int, at: int, late: float, given
):
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

    served.log.clear()
    served.before = kill
    child.start()
    child.join(120)
    served.before = None
    assert child.exitcode in (-signal.SIGKILL, 0)
    store = Store(outputs / "store" / "live")
    # A pass that was done when it was killed is followed by a new one, which reads three days anew.
    ended = not child.exitcode or files.read_json(store.progress_path)["pass"]["done"]
    finished = set() if ended else {f"{day}" for day in store.days()}
    served.log.clear()
    go(**given)
    asked = {(query["start_date"], query["end_date"]) for query in served.requests(EVENTS)}
    twice = [day for day in finished if any(first <= day <= last for first, last in asked)]
    return tables(store), twice


def tables(store: Store) -> dict[str, list]:
    """Everything in the store that must not depend on how it was fetched."""
    rows = {}
    with duck.connect(None, store.folder / ".spill") as connection:
        query = f"SELECT * EXCLUDE (row) FROM ({store.sessions.sql()})"
        for row in connection.sql(query).to_arrow_table().to_pylist():
            rows.setdefault(str(row.pop("day")), []).append(row)
    return {
        "days": [str(day) for day in store.days()],
        "sessions": [(day, _sorted(found)) for day, found in sorted(rows.items())],
        "visitors": _sorted(pq.ParquetFile(store.visitors_path).read().to_pylist()),
        "medias": _sorted(pq.ParquetFile(store.medias_path).read().to_pylist()),
    }


def _sorted(rows: list[dict]) -> list:
    return sorted((tuple(row.items()) for row in rows), key=repr)
