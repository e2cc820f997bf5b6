"""A tiny Wistia for tests of fetching: pages, filters and faults, and rows that move meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

EVENTS, VISITORS, MEDIAS = "/v1/stats/events.json", "/v1/stats/visitors.json", "/v1/medias.json"


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def event(number: int, at: datetime, visitor: str | None = None, **more) -> dict:
    return {
        "received_at": stamp(at),
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
        "user_agent_details": {"browser": "Chrome", "platform": "Mac", "mobile": False},
        **more,
    }


def visitor(key: str, at: datetime, *, plays: int = 1, email: str | None = None) -> dict:
    return {
        "visitor_key": key,
        "created_at": stamp(at),
        "last_active_at": stamp(at),
        "last_event_key": "e",
        "load_count": plays,
        "play_count": plays,
        "identifying_event_key": None,
        "visitor_identity": {"name": "", "email": email, "org": {"name": None, "title": None}},
        "user_agent_details": {"browser": "Chrome", "platform": "Mac", "mobile": False},
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


class FakeWistia:
    """Serves three lists on 127.0.0.1.

    ``before`` is called with (path, query, request number) under the lock before each answer: it
    may change the lists (rows then move) or return (status, headers, body) to answer that instead.
    A body of None drops the connection, after as many seconds as the status says; a status of 0
    sends `body` cut in half.
    """

    def __init__(self, events=(), visitors=(), medias=()):
        self.events = sorted(events, key=lambda row: row["received_at"], reverse=True)
        self.visitors = sorted(visitors, key=lambda row: row["last_active_at"], reverse=True)
        self.medias = list(medias)
        self.before: Callable | None = None
        self.latency = 0.0
        self.log: list[tuple[str, dict]] = []
        self.lock = threading.RLock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                fake._answer(self)

            do_POST = do_PATCH = do_GET

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # clients that give up, or are killed
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def requests(self, path: str) -> list[dict]:
        return [query for asked, query in self.log if asked == path]

    def play(self, key: str, at: datetime) -> None:
        """A visitor plays (again): to the top of the list with them."""
        old = [row for row in self.visitors if row["visitor_key"] == key]
        row = dict(old[0] if old else visitor(key, at, plays=0))
        row.update(last_active_at=stamp(at), play_count=row["play_count"] + 1)
        rest = [other for other in self.visitors if other["visitor_key"] != key]
        self.visitors = sorted([row, *rest], key=lambda r: r["last_active_at"], reverse=True)

    def _page(self, path: str, query: dict) -> list[dict]:
        rows = {EVENTS: self.events, VISITORS: self.visitors, MEDIAS: self.medias}[path]
        if path == EVENTS:
            first, last = query["start_date"], query["end_date"]
            rows = [row for row in rows if first <= row["received_at"][:10] <= last]
        size = min(int(query.get("per_page", 10)), 100)
        start = (int(query.get("page", 1)) - 1) * size
        return rows[start : start + size]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        length = int(handler.headers.get("Content-Length") or 0)
        handler.rfile.read(length)
        with self.lock:
            self.log.append((parts.path, query))
            special = self.before(parts.path, query, len(self.log)) if self.before else None
            known = parts.path in (EVENTS, VISITORS, MEDIAS)
            if special is None:
                body = json.dumps(self._page(parts.path, query)) if known else ""
                special = (200 if known else 404, {}, body)
        if self.latency:
            time.sleep(self.latency)
        status, headers, body = special
        if body is None:
            time.sleep(status)
            handler.close_connection = True
            return
        data = body.encode()
        handler.send_response(status or 200)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        if not status:
            handler.close_connection = True
            data = data[: len(data) // 2]
        handler.wfile.write(data)


def account(days: int, sessions_a_day: int, visitors: int, *, last: date = date(2026, 9, 30)):
    """Events of `days` days up to `last`, and visitors; every time differs."""
    end = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
    step = timedelta(days=1) / max(sessions_a_day, 1)
    events = [event(n, end - step * (n + 0.5)) for n in range(days * sessions_a_day)]
    people = [visitor(f"visitor-{n}", end - timedelta(minutes=20 * n + 1)) for n in range(visitors)]
    return events, people
