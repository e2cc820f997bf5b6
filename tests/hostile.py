"""A server that does to a client what no honest one does, and what an honest one may do."""

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

Behaviour = Callable[[socket.socket], None]


@contextlib.contextmanager
def serve(
    *behaviours: Behaviour, context: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[bytes]]]:
    """Serve on 127.0.0.1; the address, and each request that came.

    Parameters
    ----------
    behaviours : callable
        What to do with a connection once a request has come; it is closed after. One after
        another, the last for all that follow.
    """
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(20)
            if context:
                connection = context.wrap_socket(connection, server_side=True)
            asked.append(_request(connection))
            behaviours[min(len(asked), len(behaviours)) - 1](connection)

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    finally:
        listener.close()


def _request(connection: socket.socket) -> bytes:
    text = connection.recv(65536)
    head, _, body = text.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(body: bytes | str = b"", *headers: str, status: str | int = "200 OK") -> Behaviour:
    """An answer whose body ends when the connection does."""
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1")
    data = body if isinstance(body, bytes) else body.encode()
    return lambda connection: connection.sendall(head + data)


def silence(seconds: float = 0) -> Behaviour:
    """The connection ends without an answer."""
    return lambda connection: time.sleep(seconds)


def drip(start: bytes, piece: bytes = b" ") -> Behaviour:
    """An answer that begins, and then comes a piece at a time for as long as it is heard."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            time.sleep(0.1)

    return behave


def flood(start: bytes, piece: bytes, most: int) -> Behaviour:
    """An answer of `most` pieces."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(most):
            connection.sendall(piece)

    return behave
