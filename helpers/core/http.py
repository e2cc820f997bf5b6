"""One HTTP client for both services: one limit for all threads, bounded retries, clear errors.

A GET (or PATCH) may be sent again, a POST only after a 429: whatever else happens to a POST, its
outcome is unknown and the caller must ask the service before spending again.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr
from pyrate_limiter import InMemoryBucket, Limiter, Rate, SingleBucketFactory
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential_jitter

from helpers.core import clock
from helpers.core.errors import (
    AccessError,
    CreditError,
    KitError,
    ParameterError,
    ServiceError,
    UnknownOutcome,
)

KEPT = "What was fetched so far is kept; run again to go on."


class Client:
    """JSON over HTTP with a bearer token, for any number of threads.

    Parameters
    ----------
    service : str
        Name for messages: "Wistia", "Mavera".
    base_url : str
        Address that every path is appended to.
    token : SecretStr
        Sent as ``Authorization: Bearer``; never part of a message.
    per_minute : int, optional
        Requests the account allows in any 60 seconds; None: no limit of ours.
    token_setting : str
        Environment variable to name when the token is refused.
    permission : str
        What the token must be allowed, for the same message.

    Attributes
    ----------
    counts : dict
        requests, retries, throttled (429 and 503 answers), seconds from first request to last
        answer.
    """

    ATTEMPTS = 8
    CONNECT_TIMEOUT = 10.0  # seconds
    READ_TIMEOUT = 60.0  # seconds: stalls of 30 s were seen on live pages
    FIRST_WAIT = 1.0  # seconds; doubles
    DEADLINE = 110.0  # seconds without any good answer: a service that is not there
    THROTTLED_DEADLINE = 300.0  # seconds of nothing but 429

    def __init__(
        self,
        service: str,
        base_url: str,
        token: SecretStr,
        *,
        per_minute: int | None = None,
        token_setting: str = "WISTIA_API_TOKEN",
        permission: str = "",
    ):
        if urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).hostname:
            raise ParameterError(
                f"{service}: its base address must look like https://host/path, without blanks. "
                f"Correct {token_setting.split('_')[0]}_BASE_URL in the environment or .env."
            )
        self.service, self.base_url = service, base_url.rstrip("/")
        self.token_setting, self.permission = token_setting, permission
        self._token = token
        self._gate = _Gate()
        self._limit = _Limit(per_minute) if per_minute else None
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._idle: list[requests.Session] = []  # connections that wait for a thread
        self._first_sent: float | None = None
        self._last_good = 0.0
        self.counts = {"requests": 0, "retries": 0, "throttled": 0, "seconds": 0.0}

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        where: str = "",
        expect: type = list,
        attempts: int | None = None,
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
            Fewer tries than usual.

        Raises
        ------
        AccessError
            401, 403.
        CreditError
            402.
        ServiceError
            Any other refusal, or no good answer in time.
        """
        return self._retrying(
            "GET", path, attempts=attempts, where=where, expect=expect, params=params
        )

    def patch(self, path: str, payload: Mapping[str, Any], *, where: str = "") -> dict:
        """PATCH `path`: may be repeated, so retried and refused like :meth:`get`."""
        return self._retrying("PATCH", path, where=where, expect=dict, json=payload)

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
        try:
            return self._retrying(
                "POST", path, where=where, expect=dict, json=payload, read_timeout=read_timeout
            )
        except _Failed as error:
            if error.never_sent or error.status_code == 429:
                raise
            raise UnknownOutcome(
                f"{error} Whether the service carried it out is not known: do not repeat it "
                "before asking the service.",
                status_code=error.status_code,
            ) from error

    def close(self) -> None:
        """Close the connections; threads that wait or retry give up."""
        self._closed.set()
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _retrying(self, method: str, path: str, *, attempts: int | None = None, **request) -> Any:
        started = time.monotonic()
        failures = 0

        def again(error: BaseException) -> bool:
            return isinstance(error, _Failed) and (method != "POST" or error.status_code == 429)

        def stop(state: RetryCallState) -> bool:
            nonlocal failures
            error = state.outcome.exception()
            failures += not error.throttled
            limit = self.THROTTLED_DEADLINE if error.status_code == 429 else self.DEADLINE
            quiet = time.monotonic() - max(started, self._last_good)
            return (
                failures >= (attempts or self.ATTEMPTS) or quiet + (error.retry_after or 0) >= limit
            )

        backoff = wait_exponential_jitter(
            multiplier=self.FIRST_WAIT / 2, max=16, jitter=self.FIRST_WAIT / 4
        )
        for attempt in Retrying(
            retry=retry_if_exception(again),
            stop=stop,
            # The shared gate holds throttled requests back, so they need no wait of their own.
            wait=lambda state: 0 if state.outcome.exception().throttled else backoff(state),
            before_sleep=lambda state: self._count(retries=1),
            sleep=self._closed.wait,
            reraise=True,
        ):
            with attempt:
                return self._once(method, path, started=started, **request)

    def _once(
        self, method, path, *, started, where, expect, params=None, json=None, read_timeout=None
    ):
        place = f"{method} {path}" + (f" ({where})" if where else "")
        sent = self._wait_for_turn()
        left = self.DEADLINE - (sent - max(started, self._last_good))
        timeout = read_timeout or min(self.READ_TIMEOUT, max(5.0, left))
        session = self._session()
        try:
            answer = session.request(
                method,
                self.base_url + path,
                params=params,
                json=json,
                timeout=(self.CONNECT_TIMEOUT, timeout),
            )
        except requests.Timeout as error:
            raise _Failed(
                f"{self.service}: no answer on {place} within the time allowed. {KEPT}",
                never_sent=isinstance(error, requests.ConnectTimeout),
            ) from None
        except requests.RequestException as error:
            refused = "NewConnectionError" in repr(error) or "NameResolution" in repr(error)
            what = "could not be reached" if refused else "dropped the connection or the answer"
            raise _Failed(
                f"{self.service}: {what} on {place}. Check the network and the address. {KEPT}",
                never_sent=refused,
            ) from None
        finally:
            self._idle.append(session)
            self._count(seconds=time.monotonic())
        if not answer.ok:
            raise self._refusal(answer, place, sent)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, expect):
            kind = "a list" if expect is list else "an object"
            raise _Failed(
                f"{self.service}: {answer.status_code} on {place}, but the answer is not JSON or "
                f"not {kind}. Check that the base address is the service's. {KEPT}",
                status_code=answer.status_code,
            )
        self._last_good = time.monotonic()
        self._gate.passed(sent)
        return found

    def _refusal(self, answer: requests.Response, place: str, sent: float) -> KitError:
        """The error that stands for a 4xx or 5xx answer."""
        status = answer.status_code
        said = f"{self.service}: {status} on {place}" + self._said(answer)
        if status in (401, 403):
            needs = f" It needs {self.permission}." if self.permission else ""
            return AccessError(
                f"{said}: token refused.{needs} Set {self.token_setting} in .env and run again; "
                "what was fetched so far is kept.",
                status_code=status,
            )
        if status == 402:
            return CreditError(
                f"{said}: credits used up, over budget, or the subscription has expired. "
                "Look at the account's billing page.",
                status_code=status,
            )
        if status in (429, 503):
            wait = _seconds(answer.headers.get("Retry-After"))
            self._gate.shut(sent, wait, self.FIRST_WAIT)
            self._count(throttled=1)
            asks = f" It asks to wait {wait:.0f} s." if wait else ""
            what = "" if status == 429 else "out of service, or "
            return _Failed(
                f"{said}: {what}throttled for too long.{asks} {KEPT}",
                status_code=status,
                retry_after=wait,
                throttled=True,
            )
        if status >= 500:
            return _Failed(f"{said}: the service failed. {KEPT}", status_code=status)
        what, then = "the request was refused", KEPT
        if status == 404:
            what = f"nothing is there. Check {self.token_setting.split('_')[0]}_BASE_URL, if set"
        elif status in (400, 422):
            what = f"{what}, and would be again. Correct what it names"
            then = "What was fetched so far is kept."
        return ServiceError(f"{said}: {what}. {then}", status_code=status)

    def _said(self, answer: requests.Response) -> str:
        """What the body says of the error: message and param, plain, 300 characters at most."""
        try:
            body = answer.json()
        except ValueError:
            return ""
        error = body.get("error", body) if isinstance(body, dict) else body
        if isinstance(error, dict):
            param = f" (param: {error['param']})" if error.get("param") else ""
            error = f"{error.get('message') or error.get('code') or ''}{param}"
        text = re.sub(r"\s+", " ", error).strip() if isinstance(error, str) else ""
        text = text.replace(self._token.get_secret_value(), "…")[:300]
        return f', which says "{text}"' if text else ""

    def _wait_for_turn(self) -> float:
        """Wait for gate and limit; the monotonic time at which the request may leave."""
        while True:
            while (left := self._gate.left()) > 0 and not self._closed.wait(left):
                pass
            if self._limit:
                self._limit.wait(self._closed)
            if self._closed.is_set():
                raise ServiceError(f"{self.service}: the connection was closed.")
            if self._gate.left() <= 0:
                break
        sent = time.monotonic()
        self._first_sent = self._first_sent or sent
        self._count(requests=1)
        return sent

    def _count(self, *, seconds: float | None = None, **more: int) -> None:
        with self._lock:
            for name, number in more.items():
                self.counts[name] += number
            if seconds:
                self.counts["seconds"] = round(seconds - self._first_sent, 3)

    def _session(self) -> requests.Session:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        session = requests.Session()
        # As an auth object, so that a ~/.netrc cannot put its own credentials in.
        session.auth = self._sign
        # A proxy of the environment cannot reach a sandbox on this machine.
        session.trust_env = urlsplit(self.base_url).hostname not in ("127.0.0.1", "localhost")
        session.headers.update({"Accept": "application/json", "User-Agent": "viewer-personas"})
        return session

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return request


class _Failed(ServiceError):
    """No good answer, and the same request may be sent again."""

    def __init__(self, message: str, *, never_sent=False, throttled=False, **about):
        super().__init__(message, retryable=True, **about)
        self.never_sent, self.throttled = never_sent, throttled


_Failed.__name__ = _Failed.__qualname__ = ServiceError.__name__  # all that a kernel tells of it


class _Limit:
    """At most `per_minute` requests in any 60 seconds, bursts allowed.

    The window is a second longer than the service's: requests that leave a minute apart may
    arrive closer together than that.
    """

    def __init__(self, per_minute: int, *, window: float = 61.0):
        self._bucket = InMemoryBucket([Rate(per_minute, int(window * 1000))])
        self._limiter = Limiter(SingleBucketFactory(self._bucket, schedule_leak=False))
        self._turn = threading.Lock()

    def wait(self, closed: threading.Event) -> None:
        with self._turn:
            while not self._limiter.try_acquire("requests", blocking=False):
                if closed.wait(0.01):
                    return
            self._bucket.leak(self._bucket.now())


class _Gate:
    """One door for all threads: a throttled request shuts it, and nobody sends until it opens."""

    def __init__(self):
        self._lock = threading.Lock()
        self._opens = self._shut_at = self._wait = 0.0

    def left(self) -> float:
        """Seconds until it opens; none left when it stands open."""
        return self._opens - time.monotonic()

    def shut(self, sent: float, retry_after: float | None, first_wait: float) -> None:
        """Shut for `retry_after` seconds, else for twice the last wait.

        Requests that were under way when the door shut belong to the same wave: their 429s
        say nothing new.
        """
        with self._lock:
            now = time.monotonic()
            if sent > self._shut_at:
                self._wait = min(2 * self._wait or first_wait, 64 * first_wait)
                self._shut_at = now
                self._opens = max(self._opens, now + (retry_after or self._wait))
            elif retry_after:
                self._opens = max(self._opens, now + retry_after)

    def passed(self, sent: float) -> None:
        """A request sent since the door last opened was answered: the next wait is short again."""
        with self._lock:
            if sent > self._shut_at:
                self._wait = 0.0


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds; it comes as a number or as a date. Unreadable is None."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - clock.now()).total_seconds())
    except (TypeError, ValueError):
        return None
