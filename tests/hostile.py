"""A server that does to a client what no honest one does."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

Behaviour = Callable[[socket.socket], None]


@contextlib.contextmanager
def serve(behave: Behaviour, context: ssl.SSLContext | None = None) -> Iterator[tuple[str, list]]:
    """Serve `behave` on 127.0.0.1; its address, and the head of each request that came.

    Parameters
    ----------
    behave : callable
        What to do with a connection once the head of a request has come; it is closed after.
    """
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(20)
            if context:
                connection = context.wrap_socket(connection, server_side=True)
            asked.append(connection.recv(65536))
            behave(connection)

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


def answer(body: bytes = b"", *headers: str, status: str = "200 OK") -> Behaviour:
    """An answer whose body ends when the connection does."""
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()
    return lambda connection: connection.sendall(head + body)


def drip(start: bytes, piece: bytes = b" ") -> Behaviour:
    """An answer that begins, and then comes a piece at a time for as long as it is heard."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            threading.Event().wait(0.1)

    return behave


def flood(start: bytes, piece: bytes, most: int) -> Behaviour:
    """An answer of `most` pieces."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(most):
            connection.sendall(piece)

    return behave
