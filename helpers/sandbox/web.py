"""What both services share: answers, bearer tokens, the limit of requests a minute."""

import json
import math
import time
from collections import deque

from starlette.requests import Request
from starlette.responses import Response

WINDOW = 60.0  # seconds


def answer(data: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer; numbers and text as Python's json writes them, so that digits survive."""
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Response(body.encode("utf-8", "surrogatepass"), status, headers, "application/json")


def bearer(request: Request) -> str | None:
    """The bearer token of a request; None when there is none. No other way in is known."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


class Limiter:
    """At most so many requests in any 60 seconds, all tokens together; refused ones are free."""

    def __init__(self, per_minute: int):
        self.per_minute = per_minute
        self._admitted: deque[float] = deque()

    def admit(self) -> float | None:
        """None when the request may pass, else whole seconds until the next may."""
        now = time.monotonic()
        while self._admitted and now - self._admitted[0] >= WINDOW:
            self._admitted.popleft()
        if len(self._admitted) >= self.per_minute:
            wait = WINDOW - (now - self._admitted[0]) if self._admitted else WINDOW
            return max(1, math.ceil(wait))
        self._admitted.append(now)
        return None

    @property
    def remaining(self) -> int:
        return self.per_minute - len(self._admitted)

    @property
    def reset(self) -> int:
        """Seconds until a place is free again."""
        if not self._admitted:
            return 0
        return max(0, math.ceil(WINDOW - (time.monotonic() - self._admitted[0])))
