"""The recipes of the documentation run, one after another, on the sandbox's viewers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from helpers import cluster, enrich, fetch
from helpers.run import Run
from helpers.sandbox.process import stop_sandboxes

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "recipes.md").read_text("utf-8"), re.M | re.S
)
OPENING, FIVE_LINES, *RECIPES = BLOCKS


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """An outputs folder with what the sandbox has."""
    outputs = tmp_path_factory.mktemp("recipes") / "outputs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIEWER_PERSONAS_OUTPUTS", str(outputs))
        try:
            fetch.everything(Run.open("01_fetch", source="sandbox"))
        finally:
            stop_sandboxes()
    return outputs


@pytest.fixture(autouse=True)
def elsewhere(fetched, monkeypatch, tmp_path):
    """Another working folder."""
    monkeypatch.setenv("VIEWER_PERSONAS_OUTPUTS", str(fetched))
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)


def test_ten_recipes_run_from_another_folder(tmp_path):
    enrich.features(Run.open("02_enrich"))
    cluster.assign(Run.open("03_cluster"))
    names: dict = {}
    for recipe in [OPENING, *RECIPES]:
        exec(compile(recipe, "recipes.md", "exec"), names)  # noqa: S102
    assert len(RECIPES) == 10
    assert (tmp_path / "my-clusters.yml").is_file()
    assert names["run"].private("viewers.csv").is_file()
    assert set(names["viewers"]["cluster"]) == set(names["rules"].names)


def test_five_lines_of_plain_python_give_the_viewers_of_a_window_by_own_rules(tmp_path):
    (tmp_path / "my-clusters.yml").write_text(
        "clusters:\n  - name: finishers\n    when: avg_percent_watched >= 80\n  - name: others\n"
    )
    assert len([line for line in FIVE_LINES.splitlines() if line]) == 5
    script = FIVE_LINES + 'viewers.to_parquet("found.parquet")'
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | {"HOME": "/"})
    found = pd.read_parquet("found.parquet")
    assert found["first_seen"].min() >= pd.Timestamp("2026-01-01", tz="UTC")
    assert found["last_active"].max() < pd.Timestamp("2026-04-01", tz="UTC")
    is_finisher = found["avg_percent_watched"] >= 80
    assert found["cluster"].eq("finishers").equals(is_finisher) and 0 < is_finisher.sum() < 400
