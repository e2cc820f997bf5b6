"""The sandbox as one HTTP server: Wistia at its root, Mavera under /api/v1."""

import argparse
import asyncio
import contextlib
import gc
import math
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from helpers.core.errors import KitError
from helpers.sandbox.account import Account
from helpers.sandbox.faults import Faults, buffered
from helpers.sandbox.mavera import Mavera
from helpers.sandbox.wistia import Wistia

PARENT_POLL = 0.5  # seconds between two looks for the parent process
OWN_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?", re.I)


class Sandbox:
    """The ASGI application; ``account``, ``wistia`` and ``mavera`` may be looked at and changed.

    Parameters
    ----------
    account : Account
        What Wistia's side serves.
    mavera : Mavera
        The other side.
    latency : float
        Seconds added to each answer; requests wait side by side.
    faults : Faults, optional
        Lets requests go wrong.
    on_request : callable, optional
        ``on_request(number, path, account)`` before each request, from 1: to move rows meanwhile.
    log : list, optional
        A dict (method, path, query, body, token) is appended for each request.
    """

    def __init__(
        self,
        account: Account,
        mavera: Mavera,
        *,
        per_minute: int = 600,
        scopes: dict[str, Sequence[str]] | None = None,
        latency: float = 0.0,
        faults: Faults | None = None,
        on_request: Callable[[int, str, Account], None] | None = None,
        log: list[dict] | None = None,
    ):
        self.account, self.mavera = account, mavera
        self.wistia = Wistia(account, per_minute, scopes)
        self.latency, self.faults, self.on_request, self.log = latency, faults, on_request, log
        self.requests = 0
        routes = [*mavera.routes(), *self.wistia.routes(), Route("/{rest:path}", _nothing)]
        self._app = Starlette(routes=routes, exception_handlers={404: _nothing, 405: _nothing})
        self._app.router.redirect_slashes = False

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        self.requests += 1
        send = _numbered(send, self.requests)
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        if not OWN_HOST.fullmatch(host):  # a page in a browser whose name was bound to this machine
            await Response("Unknown host\n", 403)(scope, receive, send)
            return
        transport = getattr(getattr(receive, "__self__", None), "transport", None)
        if self.on_request:
            self.on_request(self.requests, scope["path"], self.account)
        if self.log is not None:
            receive = await self._logged(scope, receive)
        if self.latency:
            await asyncio.sleep(self.latency)
        try:
            if self.faults:
                await self.faults(self._app, scope, receive, send, transport)
            else:
                await self._app(scope, receive, send)
        except Exception:
            traceback.print_exc()  # a mistake of the sandbox itself; the server hides it
            raise

    async def _logged(self, scope, receive):
        body, receive = await buffered(receive)
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        self.log.append(
            {
                "method": scope["method"],
                "path": scope["path"],
                "query": scope["query_string"].decode(),
                "body": body.decode(),
                "token": headers.get(b"authorization", ""),
            }
        )
        return receive


def _numbered(send, number: int):
    """Every answer carries an id that support would ask for."""

    async def numbered(message: dict) -> None:
        if message["type"] == "http.response.start":
            mark = (b"x-request-id", f"sandbox-{number}".encode())
            message = {**message, "headers": [*message["headers"], mark]}
        await send(message)

    return numbered


async def _nothing(request, _error=None) -> Response:
    """Not found is an answer without a body."""
    return Response(status_code=404)


def create_app(
    account: Account | None = None,
    *,
    viewers: int = 1247,
    seed: int = 0,
    data: Path | str | None = None,
    state: Path | str | None = None,
    per_minute: int = 600,
    scopes: dict[str, Sequence[str]] | None = None,
    latency: float = 0.0,
    faults: Faults | None = None,
    on_request: Callable[[int, str, Account], None] | None = None,
    log: list[dict] | None = None,
    **mavera,
) -> Sandbox:
    """A sandbox of an account, of a folder of captured rows, or of invented data.

    Further keywords go to :class:`Mavera`: credits, base_personas, answers, mave_seconds,
    auto_recharge. See :class:`Sandbox` for the rest.
    """
    if account is None and data is not None:
        account = Account.of_folder(Path(data))
    elif account is None:
        from helpers.sandbox.invented import invent  # numpy is not needed for --data

        account = invent(viewers, seed)
    service = Mavera(Path(state) if state else None, per_minute=per_minute, **mavera)
    return Sandbox(
        account,
        service,
        per_minute=per_minute,
        scopes=scopes,
        latency=latency,
        faults=faults,
        on_request=on_request,
        log=log,
    )


class _Server(uvicorn.Server):
    """Tells when it listens, ends without an echo of the signal, and with its parent."""

    def __init__(self, app: Sandbox, ready: Callable[[], None] | None = None, parent: int = 0):
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_level="critical",
                access_log=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=1,
            )
        )
        self._ready, self._parent, self._watch = ready, parent, None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self._parent:
            self._watch = asyncio.create_task(self._watch_parent())
        if self._ready:
            self._ready()

    def handle_exit(self, sig: int, frame: object) -> None:
        self.force_exit = self.should_exit  # a second signal does not wait for open requests
        self.should_exit = True

    async def _watch_parent(self) -> None:
        ours = os.getppid() == self._parent
        while (os.getppid() == self._parent) if ours else _alive(self._parent):
            await asyncio.sleep(PARENT_POLL)
        self.should_exit = True


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _listen(port: int) -> socket.socket:
    # asyncio sends at once on sockets that name their protocol; else small answers wait 40 ms
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    return listening


def start_in_thread(app: Sandbox) -> tuple[str, Callable[[], None]]:
    """Serve on a free port, from a thread of this process; for tests.

    Returns
    -------
    url : str
        ``http://127.0.0.1:PORT``; Mavera is at ``url + "/api/v1"``.
    stop : callable
        Stops it and waits until it has.
    """
    listening, server = _listen(0), _Server(app)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)

    def stop() -> None:
        server.should_exit = server.force_exit = True
        thread.join(10)
        listening.close()

    return f"http://127.0.0.1:{listening.getsockname()[1]}", stop


def main(argv: list[str] | None = None) -> int:
    """The command: serve until SIGTERM, Ctrl-C or the end of the parent; the exit status."""
    options = _options(argv)
    for number in (signal.SIGTERM, signal.SIGINT):  # until the server has its own handlers
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        app = create_app(
            viewers=options.viewers,
            seed=options.seed,
            data=options.data,
            state=options.state,
            latency=options.latency,
            per_minute=options.per_minute,
            credits=options.credits,
        )
        listening = _listen(options.port)
    except KitError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(
            f"sandbox: port {options.port} cannot be had ({error.strerror}). Choose another with"
            " --port; 0 takes a free one.",
            file=sys.stderr,
        )
        return 2

    def ready() -> None:
        host, port = listening.getsockname()
        with contextlib.suppress(OSError):  # nobody may be reading any more
            print(f"sandbox listening on http://{host}:{port}", flush=True)

    server = _Server(app, ready, options.parent)
    with contextlib.suppress(KeyboardInterrupt):
        server.run([listening])
    gc.freeze()  # the memory goes with the process; to sort it first takes time
    return 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="viewer-personas sandbox",
        description="Serve Wistia's and Mavera's APIs on 127.0.0.1, with invented or given data."
        " Takes any token but 'wrong'. Mavera's base URL is the printed address and /api/v1.",
        epilog="Stops on Ctrl-C.",
    )
    add = parser.add_argument
    add("--port", type=_number(int, 0, 65535), default=8765, help="0 takes a free one")
    add("--viewers", type=_number(int, 0, 5_000_000), default=1247, help="invented visitors")
    add("--seed", type=_number(int, 0, 2**63), default=0, help="of the invented data")
    add("--data", type=_folder, help="folder of visitors.json, events.json, medias.json to serve")
    add("--latency", type=_number(float, 0, 600), default=0.0, help="seconds added to each answer")
    add("--state", type=Path, help="JSON file that keeps personas, threads and credits")
    add("--per-minute", type=_number(int, 1, 10**6), default=600, help="requests allowed")
    add("--credits", type=_number(int, 0, 10**9), default=50_000, help="play credits at Mavera")
    add("--parent", type=_number(int, 0, 2**31), default=0, help="process to stop with")
    return parser.parse_args(argv)


def _number(kind: type, low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        number = kind(text)
        if not (math.isfinite(number) and low <= number <= high):
            raise argparse.ArgumentTypeError(f"{text}: a number from {low} to {high} was expected")
        return number

    parse.__name__ = kind.__name__
    return parse


def _folder(text: str) -> Path:
    if not (folder := Path(text)).is_dir():
        raise argparse.ArgumentTypeError(f"{text}: no such folder")
    return folder
