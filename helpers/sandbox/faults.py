"""Faults by script or by seed, for tests: what networks, gateways and the services do at times."""

import asyncio
import contextlib
import json
import random
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

READ_KINDS = (
    "429",
    "429_retry_after",
    "500",
    "502",
    "503",
    "truncated",
    "not_json",
    "html_200",
    "reset",
    "stall",
)
"""What may happen to any request, before or instead of a whole answer."""
WRITE_KINDS = ("drop_after", "500_after", "500_before", "429_retry_after")
"""What may happen to a POST: it was carried out after all but ``500_before`` and a 429."""
OTHER_KINDS = ("401", "402", "403", "404", "504", "empty", "drop_before", "drop_while")
WISTIA_401 = (
    "unauthorized_credentials",
    "account_inactive",
    "unauthorized_scope",
    "unauthorized_params",
)
"""Wistia's reasons for a 401, each a kind as ``401_account_inactive``; ``401`` is the first."""

ERRORS = {
    "401": '{"error":{"message":"The API key was revoked.","type":"authentication_error",'
    '"code":"revoked_api_key","param":null}}',
    "402": '{"error":{"message":"Credits are used up.","type":"billing_error",'
    '"code":"credits_exhausted","param":null}}',
    "403": '{"error":"Forbidden"}',
    "404": "",
    "429": "",
    "500": '{"error":"Internal server error"}',
    "502": "<html><body><h1>502 Bad Gateway</h1></body></html>",
    "503": "Service Unavailable",
    "504": "<html><body><h1>504 Gateway Time-out</h1></body></html>",
}


@dataclass
class Faults:
    """Decides which requests go wrong, and makes them.

    Parameters
    ----------
    seed : int
        The same seed strikes the same requests, counted in order of arrival.
    rate : float
        Share of requests that fail, 0 to 1.
    kinds : sequence of str
        Of READ_KINDS, WRITE_KINDS and OTHER_KINDS; each strike draws one.
    script : dict of int to str, optional
        Kind for the n-th request that ``only`` lets through, from 1; it wins over the rate.
    only : callable, optional
        ``only(method, path)`` tells which requests count. Default: all.
    limit : int, optional
        At most so many strikes.
    stall_seconds, retry_after : float
        Length of a stall, which then answers; what a throttled answer asks for.

    Attributes
    ----------
    struck : list of (int, str, str, str)
        Number, method, path and kind of each strike so far.
    """

    seed: int = 0
    rate: float = 0.0
    kinds: Sequence[str] = READ_KINDS
    script: dict[int, str] | None = None
    only: Callable[[str, str], bool] | None = None
    limit: int | None = None
    stall_seconds: float = 30.0
    retry_after: float = 1
    seen: int = 0
    struck: list[tuple[int, str, str, str]] = field(default_factory=list)

    def draw(self, method: str, path: str) -> str | None:
        """The fault of this request, if any; counts it."""
        if self.only and not self.only(method, path):
            return None
        self.seen += 1
        kind = (self.script or {}).get(self.seen)
        luck = random.Random(f"{self.seed} {self.seen}")
        if kind is None and luck.random() < self.rate:
            kind = luck.choice(list(self.kinds))
        if kind is None or (self.limit is not None and len(self.struck) >= self.limit):
            return None
        self.struck.append((self.seen, method, path, kind))
        return kind

    async def __call__(self, app, scope, receive, send, transport) -> None:
        """Answer a request with ``app`` unless a fault strikes."""
        kind = self.draw(scope["method"], scope["path"])
        if kind is None:
            await app(scope, receive, send)
        elif kind == "stall":
            await asyncio.sleep(self.stall_seconds)
            await app(scope, receive, send)
        elif kind in ("reset", "drop_before"):
            await _reset(transport)
        elif kind == "drop_while":  # the work goes on when the connection has gone
            _, receive = await buffered(receive)
            working = asyncio.create_task(_run(app, scope, receive))
            await _reset(transport)
            await working
        elif kind in ("drop_after", "500_after", "truncated"):
            status, headers, body = await _run(app, scope, receive)
            if kind == "drop_after":
                await _reset(transport)
            elif kind == "500_after":
                await _send(send, 500, ERRORS["500"].encode())
            else:
                await _truncate(send, transport, status, headers, body)
        elif kind in ("not_json", "html_200", "empty"):
            page = b"<!doctype html><title>Sign in</title><p>Please sign in.</p>"
            body = {"not_json": b'[{"event_key": "17', "html_200": page, "empty": b""}[kind]
            await _send(send, 200, body, "application/json" if kind != "html_200" else "text/html")
        else:
            status, _, code = kind.partition("_")
            body = ERRORS[status]
            if status == "401" and not scope["path"].startswith("/api/v1"):
                body = json.dumps({"code": code or WISTIA_401[0], "error": "Not authorized."})
            wait = {"Retry-After": f"{self.retry_after:g}"} if kind.endswith("retry_after") else {}
            kind_of_body = "text/html" if body[:1] == "<" else "application/json"
            await _send(send, int(status), body.encode(), kind_of_body, wait)


async def buffered(receive) -> tuple[bytes, Callable]:
    """The body of a request, and a ``receive`` that gives it again."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    whole = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replay() -> dict:
        return next(whole, None) or await receive()

    return body, replay


async def _run(app, scope, receive) -> tuple[int, list, bytes]:
    """Let the request be carried out and keep the answer back."""
    kept: list[dict] = []

    async def keep(message: dict) -> None:
        kept.append(message)

    await app(scope, receive, keep)
    body = b"".join(message.get("body", b"") for message in kept[1:])
    return kept[0]["status"], kept[0]["headers"], body


async def _send(send, status: int, body: bytes, kind: str = "application/json", more=None) -> None:
    headers = {"Content-Type": kind, "Content-Length": str(len(body))} | (more or {})
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def _truncate(send, transport, status: int, headers: list, body: bytes) -> None:
    """Promise the whole body, send half of it and hang up."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    transport.close()
    await asyncio.sleep(0.01)  # the connection is closed before the server looks for an end


async def _reset(transport) -> None:
    """Hang up without a word, so that the other side sees a reset."""
    with contextlib.suppress(OSError, AttributeError):
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
    await asyncio.sleep(0.01)
