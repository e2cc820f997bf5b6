"""The sandbox as a child process: started on a free port, stopped with its parent."""

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

from helpers.core.errors import ServiceError

START_SECONDS = 60


class Sandbox:
    """A running sandbox. ``url`` is its address; Mavera lives under ``url + "/api/v1"``."""

    def __init__(self, state: Path):
        state.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "helpers.sandbox", "--port", "0", "--state", str(state)]
        self._process = subprocess.Popen(
            [*command, "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C goes to the run, which then stops its sandbox
        )
        atexit.register(self.stop)
        self.url = self._ready()

    def _ready(self) -> str:
        watchdog = threading.Timer(START_SECONDS, self._process.kill)
        watchdog.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        if "http://" not in line:
            self.stop()
            raise ServiceError(
                f"The sandbox did not start within {START_SECONDS} s. Run `viewer-personas sandbox`"
                " by itself to see why."
            )
        return line[line.index("http://") :].strip()

    def stop(self) -> None:
        """Stop it and wait; stopping twice is harmless."""
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process.kill()
        if self._process.stdout:
            self._process.stdout.close()


_running: dict[Path, Sandbox] = {}


def start_sandbox(state: Path) -> Sandbox:
    """The sandbox of this process, started when it is first asked for."""
    if state not in _running:
        _running[state] = Sandbox(state)
    return _running[state]


def stop_sandboxes() -> None:
    """Stop every sandbox that this process started."""
    while _running:
        _running.popitem()[1].stop()
