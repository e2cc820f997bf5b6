"""Connections whose answers end: in time, within a size, never at another address; reading them."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from helpers.core import clock

LARGEST = 64 * 2**20  # decoded bytes of an answer; a page of 100 rows has 0.3 MB
CHUNK = 2**16  # bytes
LONGEST_WAIT = 86_400.0  # seconds; Retry-After may say anything


class TooLarge(requests.RequestException):
    """An answer without bounds."""


class _Timed:
    """A connection that is cut when an answer, headers and all, is not whole in time.

    A timeout of requests holds for each read, and one byte every few seconds never meets it.
    """

    def getresponse(self):
        cut = threading.Timer(self.timeout, _cut, [self.sock])
        cut.daemon = True
        cut.start()
        answer = super().getresponse()
        answer.end = cut.cancel
        return answer


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it was closed
        connection.shutdown(socket.SHUT_RDWR)


class Adapter(HTTPAdapter):
    """One pool of timed connections for all threads."""

    def get_connection_with_tls_context(self, *args, **options):
        pool = super().get_connection_with_tls_context(*args, **options)
        if not issubclass(pool.ConnectionCls, _Timed):
            pool.ConnectionCls = type("Timed", (_Timed, pool.ConnectionCls), {})
        return pool


def exchange(
    session: requests.Session, method: str, address: str, timeout: tuple[float, float], **content
) -> tuple[requests.Response, bytes]:
    """Send a request once; its answer and the decoded body, of a refusal whatever came of it.

    Parameters
    ----------
    timeout : tuple of float
        Seconds to connect, and seconds for the whole answer.

    Raises
    ------
    requests.RequestException, urllib3.exceptions.HTTPError
        No whole answer; TooLarge is one of them.
    """
    begun = time.monotonic()
    answer = session.request(
        method, address, timeout=timeout, stream=True, allow_redirects=False, **content
    )
    body = bytearray()
    try:
        for piece in answer.iter_content(CHUNK):
            body += piece
            if len(body) > LARGEST:
                raise TooLarge
        if time.monotonic() - begun >= timeout[1]:
            raise requests.Timeout  # cut off, which may look like an end
    except (requests.RequestException, HTTPError):
        if answer.status_code < 300:
            raise
    finally:
        answer.raw.end()
        answer.close()
    return answer, bytes(body)


def parse(body: bytes) -> Any:
    """JSON, or None where it is none, or nested deeper than anybody would."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def read_error(body: bytes) -> tuple[str, str]:
    """Code of an error body, and its message with the parameter it names."""
    content = parse(body)
    content = content if isinstance(content, dict) else {}
    error = content.get("error", content)
    if isinstance(error, str):
        error = {"message": error, "code": content.get("code")}
    error = error if isinstance(error, dict) else {}
    param = f" (param: {error['param']})" if error.get("param") else ""
    return str(error.get("code")), f"{error.get('message') or error.get('code') or ''}{param}"


def read_wait(retry_after: str | None) -> float:
    """Retry-After in seconds, a day at most; 0 where it says nothing that can be read."""
    try:
        seconds = float(retry_after or 0)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - clock.now()).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return 0.0
    return min(max(0.0, seconds), LONGEST_WAIT)


class Pause:
    """One pause for all threads: a throttled request begins it, and all wait until it ends."""

    def __init__(self):
        self._lock = threading.Lock()
        self._until = self._begun = self._wait = 0.0

    def left(self) -> float:
        """Seconds until it ends; none left when there is none."""
        return self._until - time.monotonic()

    def begin(self, sent: float, retry_after: float, first_wait: float) -> None:
        """Wait for `retry_after` seconds, or if that is 0 for twice the last wait.

        Requests that were under way when the pause began belong to the same wave: that they are
        throttled says nothing new.
        """
        with self._lock:
            now = time.monotonic()
            if sent > self._begun:
                self._begun = now
                self._wait = min(2 * self._wait or first_wait, 64 * first_wait)
                retry_after = retry_after or self._wait
            if retry_after:
                self._until = max(self._until, now + retry_after)

    def end(self, sent: float) -> None:
        """A request sent since the last pause was answered: the next wait is short again."""
        with self._lock:
            if sent > self._begun:
                self._wait = 0.0
