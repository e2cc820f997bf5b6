"""Fixtures of the spending tests, for ``pytest_plugins`` of their modules."""

from pathlib import Path

import pytest
from money import World, hurry


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """An outputs folder with stages 01 to 03 done, to copy."""
    outputs = tmp_path_factory.mktemp("template") / "outputs"
    with pytest.MonkeyPatch.context() as patch:
        world = World(outputs, patch)
        world.filled()
        world.stop()
    return outputs


@pytest.fixture
def make_world(tmp_path, monkeypatch, template):
    """A function that makes a World; keywords go to its Mavera."""
    worlds = []

    def make(filled: bool = True, **mavera) -> World:
        hurry(monkeypatch)
        place = tmp_path / f"world{len(worlds)}" / "outputs"
        worlds.append(World(place, monkeypatch, template if filled else None, **mavera))
        return worlds[-1]

    yield make
    for world in worlds:
        world.stop()
