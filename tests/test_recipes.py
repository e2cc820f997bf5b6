"""The recipes of the documentation run, one after another, on the sandbox's viewers."""

import re
from pathlib import Path

import pytest

from helpers import cluster, enrich, fetch
from helpers.run import Run
from helpers.sandbox.process import stop_sandboxes

ROOT = Path(__file__).resolve().parents[1]
RECIPES = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "recipes.md").read_text("utf-8"), re.M | re.S
)


@pytest.mark.xdist_group("whole run")
def test_ten_recipes_run_from_another_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    try:
        fetch.everything(Run.open("01_fetch"))
    finally:
        stop_sandboxes()
    enrich.features(Run.open("02_enrich"))
    cluster.assign(Run.open("03_cluster"))
    names: dict = {}
    for recipe in RECIPES:
        exec(compile(recipe, "recipes.md", "exec"), names)  # noqa: S102
    assert len(RECIPES) == 11  # the opening, and ten
    assert (tmp_path / "my-clusters.yml").is_file() and (tmp_path / "viewers.csv").is_file()
    assert set(names["viewers"]["cluster"]) == set(names["rules"].names)
