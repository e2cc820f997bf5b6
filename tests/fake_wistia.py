"""A server of one list whose answers a test may replace by anything that can be sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


class FakeWistia:
    """Answers every request on 127.0.0.1 with ``medias``.

    ``before`` is called with (path, query, request number) ahead of each answer and may return
    (status, headers, body) to answer that instead. A body of None drops the connection, after as
    many seconds as the status says; a status of 0 sends `body` cut in half.
    """

    def __init__(self):
        self.medias: list = []
        self.before: Callable | None = None
        self.log: list[tuple[str, dict]] = []
        self.lock = threading.Lock()
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
        self.server.handle_error = lambda *_: None  # clients that give up
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        with self.lock:
            self.log.append((parts.path, dict(parse_qsl(parts.query))))
            replaced = self.before(*self.log[-1], len(self.log)) if self.before else None
        status, headers, body = replaced or (200, {}, json.dumps(self.medias))
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
