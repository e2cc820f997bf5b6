"""What every test starts from: no keys, no settings of this machine, its own outputs folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

KEYS = ("WISTIA_API_TOKEN", "MAVERA_API_KEY", "WISTIA_BASE_URL", "MAVERA_BASE_URL")
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


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C reaches this process, also where the tests were started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs first, so that the two workers end together."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)
