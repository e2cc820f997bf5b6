"""One exchange of HTTP whose answer ends: in time, within a size, at the address that was asked."""

import contextlib
import socket
import ssl
import threading
import time

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidSchema, InvalidURL
from urllib3 import exceptions as errors

LARGEST = 64 * 2**20  # decoded bytes of an answer; a page of 100 rows has 0.3 MB
CHUNK = 2**16  # bytes
THREADS = 64  # connections kept open
CONNECT_TIMEOUT = 5.0  # seconds for each address that the name of a service stands for


class NoAnswer(Exception):
    """No whole answer: what happened, whether nothing was sent, whether to ask again."""

    def __init__(self, what: str, never_sent: bool = False, again: bool = True):
        super().__init__(what)
        self.never_sent, self.again = never_sent, again


UNUSABLE = (InvalidSchema, InvalidURL, errors.LocationValueError)
NOT_CONNECTED = (errors.NewConnectionError, errors.ConnectTimeoutError, errors.ProxyError)
FAILURES = (
    (UNUSABLE, ("address or proxy wrong; SOCKS needs the package pysocks", True, False)),
    (ssl.SSLCertVerificationError, ("its certificate is not trusted here", True, False)),
    (NOT_CONNECTED, ("it could not be reached", True, True)),
    (Exception, ("it dropped the connection or the answer", False, True)),
)
"""By kind of exception, never by its text, of which a server may choose a part."""


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


class _Adapter(HTTPAdapter):
    """One pool of timed connections for all threads."""

    def get_connection_with_tls_context(self, *args, **options):
        pool = super().get_connection_with_tls_context(*args, **options)
        if not issubclass(pool.ConnectionCls, _Timed):
            pool.ConnectionCls = type("Timed", (_Timed, pool.ConnectionCls), {})
        return pool


def open_session() -> requests.Session:
    """Connections for any number of threads."""
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter(pool_maxsize=THREADS))
    return session


def exchange(
    session: requests.Session, method: str, address: str, seconds: float, **content
) -> tuple[requests.Response, bytes]:
    """Send a request once and follow no redirect; the answer and its decoded body.

    Parameters
    ----------
    seconds : float
        For the whole answer.

    Raises
    ------
    NoAnswer
    """
    begun = time.monotonic()
    try:
        options = {"timeout": (CONNECT_TIMEOUT, seconds), "stream": True, "allow_redirects": False}
        answer = session.request(method, address, **options, **content)
        body = _read(answer)
    except (requests.RequestException, errors.HTTPError) as error:
        reason = getattr(next(iter(error.args), None), "reason", error)
        if isinstance(reason, errors.SSLError):
            reason = reason.args[0]
        facts = next(facts for kind, facts in FAILURES if isinstance(reason, kind))
        raise NoAnswer(*facts) from None
    if time.monotonic() - begun >= seconds:  # cut off, which may look like an end
        raise NoAnswer("it was not whole within the time allowed")
    return answer, body


def _read(answer: requests.Response) -> bytes:
    body = bytearray()
    try:
        for piece in answer.iter_content(CHUNK):
            body += piece
            if len(body) > LARGEST:
                raise NoAnswer("it is too large", again=False)
    finally:
        answer.raw.end()
        answer.close()
    return bytes(body)
