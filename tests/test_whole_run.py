"""The main job by the public command: on the sandbox, twice, and on captured rows as live."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import stat
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import nbformat
import pandas as pd
import pyarrow.parquet as pq
import pytest
from test_house import BOOKS, assert_drawn

from helpers.core import privacy
from helpers.run import STAGES

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = ROOT.parent / "shared" / "captures"
SECTIONS = (
    "answer", "clusters", "content", "change", "people", "personas", "advice", "stability",
    "method", "stamp",
)  # fmt: skip


def give(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """The public command, with no key and no setting but these."""
    kept = ("VIEWER_PERSONAS_", "WISTIA_", "MAVERA_")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(kept)}
    return subprocess.run(
        [sys.executable, "-m", "helpers", *arguments],
        cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        env={**bare, "VIEWER_PERSONAS_ENV_FILE": os.devnull, **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("whole") / "outputs"


@pytest.fixture(scope="module")
def first(outputs):
    """A first run, on the sandbox: (what the command said, its folder)."""
    done = give("run", "--outputs", str(outputs), "--run-date", "2026-07-01")
    assert done.returncode == 0, done.stdout + done.stderr
    return done, outputs / "2026-07-01"


@pytest.fixture(scope="module")
def second(first, outputs):
    """Another run of the same day."""
    done = give("run", "--outputs", str(outputs), "--run-date", "2026-07-01", "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr
    return done, outputs / "2026-07-01.2"


def manifest(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text("utf-8"))


def test_it_says_what_it_found_and_warns_of_nothing(first):
    done, folder = first
    assert done.stderr.splitlines() == [
        *(f"[{n}/6] {stage}" for n, stage in enumerate(STAGES, 1)),
        "report.html",
    ]
    for word in ("visitors: 1,247", "viewers: ", "binge_watchers", "Credits spent: ",
                 "Mave (simulated by the sandbox):\n  The one action that would convert ",
                 f"Report: {folder / 'report.html'}"):  # fmt: skip
        assert word in done.stdout, word


def test_the_run_folder_holds_what_the_design_lists(first, outputs):
    _, folder = first
    for stage in STAGES:
        assert (folder / f"{stage}.ipynb").is_file() and (folder / f"{stage}.html").is_file()
    names = "features.parquet viewers.parquet clusters.csv affinity.csv personas.json analysis.json"
    assert {path.name for path in (folder / "data").iterdir()} >= set(names.split())
    known = manifest(folder)
    assert known["status"] == "done"
    assert {stage["status"] for stage in known["stages"].values()} == {"done"}
    for key in ("account", "source", "parameters", "window", "counts", "requests", "retries",
                "repeated_rows", "dropped_rows", "credits", "versions", "seconds"):  # fmt: skip
        assert key in known, key
    told = json.loads((folder / "report.json").read_text("utf-8"))
    assert set(SECTIONS) < set(told) and told["schema_version"] == 2
    page = (folder / "report.html").read_text("utf-8")
    places = [page.index(f'id="{section}"') for section in SECTIONS]
    assert places == sorted(places)
    assert "2026-07-01/report.html" in (outputs / "index.html").read_text("utf-8")
    assert stat.S_IMODE(outputs.stat().st_mode) == 0o700
    for path in folder.glob("private/*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def counted_by_hand(store: Path) -> tuple[dict[str, int], int]:
    """Viewers of each cluster from the stored sessions, without a line of the kit's SQL."""
    kept: dict[str, tuple] = {}
    rows = 0
    for path in (store / "sessions").rglob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            rows += 1
            rank = (-row["percent_viewed"], row["received_at"], row["visitor_key"], row["media_id"])
            if row["event_key"] not in kept or rank < kept[row["event_key"]]:
                kept[row["event_key"]] = rank
    best: dict[str, dict[str, float]] = defaultdict(dict)
    for minus_percent, _, visitor, media in kept.values():
        best[visitor][media] = max(best[visitor].get(media, 0.0), -minus_percent)
    found: dict[str, int] = defaultdict(int)
    for videos in best.values():
        count, mean = len(videos), 100 * sum(videos.values()) / len(videos)
        found[
            "binge_watchers" if count >= 5 and mean >= 75
            else "engaged_explorers" if count >= 3 and mean >= 50
            else "bouncers" if count == 1 and mean < 30
            else "skimmers" if count >= 2 and mean < 50
            else "casual_viewers"
        ] += 1  # fmt: skip
    return dict(found), rows - len(kept)


def test_cluster_numbers_equal_an_independent_count(first, outputs):
    _, folder = first
    counts, repeated = counted_by_hand(outputs / "store" / "sandbox")
    table = pd.read_csv(folder / "data" / "clusters.csv").set_index("cluster")["viewers"]
    assert table[table > 0].to_dict() == counts
    assert manifest(folder)["repeated_rows"] == repeated > 0
    viewers = pd.read_parquet(folder / "data" / "viewers.parquet")
    assert viewers["cluster"].value_counts().to_dict() == counts
    assert viewers["visitor_key"].is_unique


def test_committed_notebooks_show_what_a_run_shows(first):
    """nbval passes a stripped notebook; this does not, and it looks at the figures."""
    _, folder = first
    for path in BOOKS:
        here = [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
        there = nbformat.read(folder / path.name, 4).cells
        there = [c for c in there if c.cell_type == "code"
                 and "injected-parameters" not in c.metadata.get("tags", ())]  # fmt: skip
        assert [kinds(c) for c in here] == [kinds(c) for c in there], path.name
        for output in (o for c in there for o in c.outputs):
            if "image/png" in output.get("data", {}):
                assert_drawn(base64.b64decode(output.data["image/png"]))


def kinds(cell) -> list[tuple]:
    return [(o.output_type, sorted(o.get("data", {}))) for o in cell.outputs]


def test_nothing_personal_or_secret_stands_in_the_run(first):
    _, folder = first
    privacy.refuse_leaks(folder)
    viewers = pd.read_parquet(folder / "data" / "viewers.parquet")
    emails = viewers["email"].dropna().str.casefold().tolist()
    assert emails
    for path in folder.iterdir():
        if path.is_file():
            text = path.read_text("utf-8").casefold()
            assert not [email for email in emails if email in text], path.name
            assert str(ROOT) not in text and str(Path.home()) + "/" not in text, path.name
            assert "127.0.0.1" not in text, path.name


def test_a_second_run_fetches_almost_nothing_and_buys_nothing(first, second):
    done, folder = second
    assert (done.stdout, done.stderr) == ("", "")  # --quiet
    before, after = manifest(first[1]), manifest(folder)
    assert after["requests"] <= 12 < before["requests"]
    assert before["credits"]["spent"] > 0 and after["credits"]["spent"] == 0
    assert after["counts"] == before["counts"]
    same = [(f / "data" / "clusters.csv").read_bytes() for f in (first[1], folder)]
    assert same[0] == same[1]


def test_plain_papermill_of_one_notebook_works_in_dev(second, outputs, tmp_path):
    environment = {**os.environ, "VIEWER_PERSONAS_OUTPUTS": str(outputs)}
    command = [sys.executable, "-m", "papermill", "notebooks/03_cluster.ipynb"]
    done = subprocess.run(
        [*command, str(tmp_path / "out.ipynb"), "--no-progress-bar"],
        cwd=ROOT, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(outputs / "dev" / "data" / "clusters.csv")
    assert table["viewers"].sum() == manifest(outputs / "2026-07-01")["counts"]["viewers"]


def test_render_makes_the_pages_anew(second, outputs):
    page = outputs / "2026-07-01" / "report.html"
    page.unlink()
    done = give("render", "2026-07-01", "--outputs", str(outputs))
    assert (done.returncode, done.stdout) == (0, f"Report: {page}\n")
    assert page.is_file()


@contextlib.contextmanager
def sandbox(*options: str):
    command = [sys.executable, "-m", "helpers", "sandbox", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield re.search(r"http://\S+", process.stdout.readline())[0]
        finally:
            process.terminate()


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="no captured rows beside this folder")
def test_captured_rows_give_the_known_numbers_and_nothing_of_the_sandbox(second, outputs):
    with sandbox("--data", str(CAPTURES)) as url:
        done = give(
            "run", "--outputs", str(outputs), "-p", "start_date", "2024-12-04",
            "-p", "end_date", "2025-05-12", "--run-date", "2026-07-01",
            WISTIA_BASE_URL=url, WISTIA_API_TOKEN="any-token",
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    folder = outputs / "2026-07-01.3"
    known = manifest(folder)
    assert known["source"] == {"wistia": "live", "mavera": "sandbox"}
    assert known["counts"]["session_rows"] == 1694 and known["repeated_rows"] == 2
    assert known["counts"]["viewers"] == 1622
    table = pd.read_csv(folder / "data" / "clusters.csv").set_index("cluster")["viewers"]
    assert table.to_dict() == {
        "binge_watchers": 0, "engaged_explorers": 0, "bouncers": 758, "skimmers": 0,
        "casual_viewers": 864,
    }  # fmt: skip
    assert known["window"]["start_date"] == "2024-12-04"
    counts, repeated = counted_by_hand(outputs / "store" / "live")
    assert counts == {"bouncers": 758, "casual_viewers": 864} and repeated == 2
    invented = set(pd.read_parquet(outputs / "2026-07-01/data/viewers.parquet")["visitor_key"])
    real = set(pd.read_parquet(folder / "data" / "viewers.parquet")["visitor_key"])
    assert not invented & real
    privacy.refuse_leaks(folder, secrets=["any-token"])


def test_the_clusters_file_of_the_docs_makes_a_whole_report(tmp_path):
    page = (ROOT / "docs" / "clusters.md").read_text("utf-8")
    file = tmp_path / "fans.yml"
    file.write_text(re.search(r"```yaml\n(clusters:.*?)```", page, re.S)[1], "utf-8")
    done = give("run", "--outputs", str(tmp_path / "o"), "-p", "clusters_file", str(file))
    assert done.returncode == 0 and len(done.stderr.splitlines()) == 7, done.stderr
    (folder,) = (tmp_path / "o").glob("2*")
    assert "Everyone Else" in (folder / "report.html").read_text("utf-8")
