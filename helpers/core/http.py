"""One HTTP client for both services: one limit for all threads, bounded retries, clear errors.

A GET (or PATCH) may be sent again, a POST only after a 429: whatever else happens to a POST, its
outcome is unknown and the caller must ask the service before spending again. Nothing of an answer
is trusted: it has a deadline and a largest size, and no redirect is followed.
"""

import json
import re
import threading
import time
from collections.abc import Mapping
from typing import Any

import requests
from pydantic import SecretStr
from pyrate_limiter import Limiter, Rate
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential, wait_random

from helpers.core import connections
from helpers.core.errors import AccessError, CreditError, KitError, ServiceError, UnknownOutcome
from helpers.core.files import read_package_yaml
from helpers.core.privacy import clean_text
from helpers.core.settings import KEYS

LONGEST_WAIT = 86_400.0  # seconds; Retry-After may say anything
WINDOW = 61_000  # ms: requests that leave a minute apart may arrive closer together than that
THROTTLED = (429, 503)
KEPT = ServiceError.usual_remedy
REFUSALS = read_package_yaml("core/words.yml")["refusals"]
"""By status, or the code of a 401 or 403: what happened, and what to do."""
KINDS = {401: AccessError, 402: CreditError, 403: AccessError}
"""The error by status, where it is no ServiceError."""


class Client:
    """JSON over HTTP with a bearer token, for any number of threads.

    Parameters
    ----------
    service : str
        "Wistia" or "Mavera", for messages.
    base_url : str
        Address that every path is appended to; see ``settings.ADDRESS``.
    token : SecretStr
        Sent as ``Authorization: Bearer``; never part of a message.
    per_minute : int, optional
        Requests the account allows in any 60 seconds; None: no limit of ours.
    permission : str
        What the token must be allowed, for the message when it is refused.

    Attributes
    ----------
    counts : dict
        requests, retries, throttled (429 and 503 answers).
    """

    ATTEMPTS = 8  # throttled ones are not counted
    READ_TIMEOUT = 55.0  # seconds for a whole answer: stalls of 30 s were seen on live pages
    FIRST_WAIT = 1.0  # seconds; doubles
    DEADLINE = 65.0  # seconds in which a request may begin again: told within two minutes
    THROTTLED_DEADLINE = 300.0  # the same where a service only says 429

    def __init__(
        self,
        service: str,
        base_url: str,
        token: SecretStr,
        *,
        per_minute: int | None = None,
        permission: str = "",
    ):
        self.service, self.base_url = service, base_url.rstrip("/")
        self._token, self.permission = token, permission
        self._limiter = Limiter(Rate(per_minute, WINDOW)) if per_minute else None
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._paused_until = 0.0
        self.counts = {"requests": 0, "retries": 0, "throttled": 0}
        self._session = connections.open_session()
        # As an auth object, so that a ~/.netrc cannot put its own credentials in.
        self._session.auth = self._sign
        # A proxy of the environment cannot reach a sandbox on this machine.
        self._session.trust_env = self.base_url.lower().startswith("https")
        headers = {"Accept": "application/json", "User-Agent": "viewer-personas"}
        self._session.headers.update(headers)

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        where: str = "",
        expect: type = list,
        attempts: int = ATTEMPTS,
    ) -> Any:
        """GET `path`, again on 429, 5xx, timeouts and dropped, truncated or non-JSON answers.

        Parameters
        ----------
        path : str
            Appended to the base address.
        params : mapping, optional
            Query.
        where : str
            For messages: "2026-10-03, page 3".
        expect : type
            JSON type of a good answer, list or dict.
        attempts : int, optional
            Fewer tries than usual, where the answer can be done without: a service that is not
            there is told within two minutes.

        Raises
        ------
        AccessError
            401, 403.
        CreditError
            402.
        ServiceError
            Any other refusal, a redirect, an answer without bounds, or no good answer in time.
        """
        asked = {"where": where, "expect": expect, "params": params}
        return self._request("GET", path, attempts=attempts, **asked)

    def patch(self, path: str, payload: Mapping[str, Any], *, where: str = "") -> dict:
        """PATCH `path`: may be repeated, so retried and refused like :meth:`get`."""
        return self._request("PATCH", path, where=where, json=payload)

    def post(
        self, path: str, payload: Mapping[str, Any], *, where: str = "", read_timeout: float = 180.0
    ) -> dict:
        """POST `path` once; only a 429, which was rejected up front, is sent again.

        Raises
        ------
        UnknownOutcome
            Timeout, dropped connection, 5xx or an unreadable 2xx: it may have been carried out.
        ServiceError
            Refused, or never sent (no connection).
        """
        return self._request("POST", path, where=where, json=payload, seconds=read_timeout)

    def close(self) -> None:
        """Close the connections; threads that wait or retry give up."""
        self._closed.set()
        self._session.close()

    def _request(self, method: str, path: str, attempts: int = ATTEMPTS, **request) -> Any:
        retrying = Retrying(
            retry=retry_if_exception(lambda error: getattr(error, "retryable", False)),
            wait=self._choose_wait,
            stop=lambda now: self._gives_up(now, attempts),
            before_sleep=lambda now: self._count("retries"),
            sleep=self._sleep,
            reraise=True,
        )
        self._wait_for_turn()  # not in the time that the service has
        return retrying(self._ask, method, path, **request)

    def _choose_wait(self, now: RetryCallState) -> float:
        """Seconds until the next try; throttling holds all threads back."""
        error = now.outcome.exception()
        backoff = wait_exponential(self.FIRST_WAIT) + wait_random(0, self.FIRST_WAIT / 4)
        seconds = error.retry_after or backoff(now)
        if error.status_code in THROTTLED:
            until = time.monotonic() + min(seconds, self.THROTTLED_DEADLINE)
            self._paused_until = max(self._paused_until, until)
        return seconds

    def _gives_up(self, now: RetryCallState, attempts: int) -> bool:
        status = now.outcome.exception().status_code
        limit = self.THROTTLED_DEADLINE if status == 429 else self.DEADLINE
        is_late = now.seconds_since_start + now.upcoming_sleep >= limit
        return is_late or (status not in THROTTLED and now.attempt_number >= attempts)

    def _sleep(self, seconds: float) -> None:
        self._closed.wait(seconds)
        self._wait_for_turn()

    def _ask(self, method: str, path: str, *, where, expect=dict, seconds=None, **content) -> Any:
        place = f"{method} {path}" + (f" ({where})" if where else "")
        try:
            most = seconds or self.READ_TIMEOUT
            address = self.base_url + path
            answer, body = connections.exchange(self._session, method, address, most, **content)
        except connections.NoAnswer as error:
            what = f"no answer on {place}: {error}."
            is_unknown = method == "POST" and not error.never_sent
            raise self._failure(what, is_unknown, error.again) from None
        status, parsed = answer.status_code, parse(body)
        if 200 <= status < 300 and isinstance(parsed, expect):
            return parsed
        what = f"{status} on {place}{self._said(answer, parsed)}"
        if 300 <= status < 500 and status != 429:
            raise self._refusal(what, answer, parsed)
        is_unknown, wait = method == "POST" and status != 429, 0.0
        if status < 300:
            what += f": not JSON, or not {'a list' if expect is list else 'an object'}."
            raise self._failure(what, is_unknown, status_code=status)
        if status in THROTTLED:
            self._count("throttled")
            wait = read_wait(answer.headers.get("Retry-After"))
        reason = "throttled for too long" if status == 429 else "the service failed"
        reason += f", and asks to wait {wait:.0f} s" if wait else ""
        raise self._failure(f"{what}: {reason}.", is_unknown, status_code=status, retry_after=wait)

    def _failure(self, what: str, is_unknown: bool, again: bool = True, **facts) -> ServiceError:
        """No good answer: to be sent again, but for a POST that may have been carried out."""
        if is_unknown:
            ask = "Whether the service carried it out is not known: do not repeat it before asking."
            return UnknownOutcome(what, where=self.service, remedy=ask, **facts)
        network = None if facts else f"Check the network, a proxy and the address. {KEPT}"
        return ServiceError(what, where=self.service, remedy=network, retryable=again, **facts)

    def _refusal(self, what: str, answer: requests.Response, parsed: Any) -> KitError:
        """The error that stands for a 3xx or 4xx answer."""
        status, code = answer.status_code, read_error(parsed)[0]
        cause = code if status in (401, 403) and code in REFUSALS else status
        happened, remedy = REFUSALS.get(cause, ("the request was refused", KEPT))
        kind = KINDS.get(status, ServiceError)
        needs = f"a token with {self.permission}" if self.permission else ""
        if status < 400:
            target = re.sub(r"(?<=//)[^/@]*@|[?#].*", "", answer.headers.get("Location", ""))
            happened = f"{self.base_url} redirects to {self._shown(target)}"
            remedy = "No redirect is followed. Check {address}."
        address = f"{self.service.upper()}_BASE_URL"
        remedy = remedy.format(key=KEYS[self.service.lower()], address=address, kept=KEPT)
        facts = {"where": self.service, "remedy": remedy, "status_code": status}
        return kind(f"{what}: {happened}.", expected=needs if kind is AccessError else "", **facts)

    def _said(self, answer: requests.Response, parsed: Any) -> str:
        """What the service says of an error, and the number its support asks for."""
        said, request = read_error(parsed)[1], answer.headers.get("x-request-id")
        shown = f', which says "{self._shown(said)}"' if said else ""
        return shown + (f" (x-request-id {self._shown(request)})" if request else "")

    def _shown(self, text: str) -> str:
        """Text of an answer for a message: on one line, without the token, not long."""
        plain = " ".join(clean_text(text).split())
        return plain.replace(self._token.get_secret_value(), "…")[:300]

    def _wait_for_turn(self) -> None:
        """Wait for pause and limit."""
        may_leave = self._limiter is None
        while (pause := self._paused_until - time.monotonic()) > 0 or not may_leave:
            if self._closed.wait(max(pause, 0)):
                break
            may_leave = self._limiter is None or self._limiter.try_acquire("requests", timeout=1)
        if self._closed.is_set():
            raise ServiceError("The connection was closed.", where=self.service)
        self._count("requests")

    def _count(self, name: str) -> None:
        with self._lock:
            self.counts[name] += 1

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return request


def parse(body: bytes) -> Any:
    """JSON, or None where it is none, or nested deeper than anybody would."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def read_error(content: Any) -> tuple[str, str]:
    """Code of an error body, and its message with the parameter it names."""
    content = content if isinstance(content, dict) else {}
    error = content.get("error", content)
    error = error if isinstance(error, dict) else content | {"message": error}
    param = f" (param: {error['param']})" if error.get("param") else ""
    return str(error.get("code")), f"{error.get('message') or error.get('code') or ''}{param}"


def read_wait(retry_after: str | None) -> float:
    """Seconds of a Retry-After, a day at most; 0 where it has none, or a date."""
    try:
        return min(max(0.0, float(retry_after or 0)), LONGEST_WAIT)
    except ValueError:
        return 0.0
