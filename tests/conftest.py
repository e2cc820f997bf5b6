"""What every test starts from: no keys, no settings of this machine, its own outputs folder."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import commands
import hypothesis
import pytest
from filelock import FileLock

KEYS = ("WISTIA_API_TOKEN", "MAVERA_API_KEY", "WISTIA_BASE_URL", "MAVERA_BASE_URL")
LONGEST = ("test_whole_run", "test_jupyterlab", "test_planted", "test_attack", "test_notebooks",
           "test_dask_cluster")  # fmt: skip
"""Files that take long, in the order in which two workers begin them, so that both end together."""
os.environ["VIEWER_PERSONAS_ENV_FILE"] = os.devnull  # the .env of this machine may hold live keys
# No deadline: two cores are shared. The same examples every time: a red run can be run again.
hypothesis.settings.register_profile("kit", deadline=None, derandomize=True)
hypothesis.settings.load_profile("kit")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path) -> Path:
    """No key and no setting from outside; outputs under the test's own folder."""
    for name in list(os.environ):
        if name in KEYS or name.startswith("VIEWER_PERSONAS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("VIEWER_PERSONAS_ENV_FILE", os.devnull)
    monkeypatch.setenv("VIEWER_PERSONAS_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


class WholeRun(NamedTuple):
    """A run of the public command on the sandbox: what it printed, and where it wrote."""

    out: str
    err: str
    outputs: Path

    @property
    def folder(self) -> Path:
        return self.outputs / "2026-07-01"


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory) -> WholeRun:
    """Made once for all files and both workers, to be read: who writes works on a copy."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "whole"
    shared.mkdir(exist_ok=True)
    with FileLock(shared / "lock"):
        told = shared / "told.json"
        if not told.exists():
            done = commands.run(shared / "outputs", "--run-date", "2026-07-01")
            told.write_text(json.dumps([done.stdout, done.stderr]))
    return WholeRun(*json.loads(told.read_text()), shared / "outputs")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C reaches this process, also where the tests were started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long first."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))
