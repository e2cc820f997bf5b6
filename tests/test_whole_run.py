"""The main job by the public command: on the sandbox, twice, and on captured rows as live."""

import base64
import shutil
import stat
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import commands
import nbformat
import pandas as pd
import pyarrow.parquet as pq
import pytest
from commands import ROOT, manifest
from counting import count_by_hand
from test_house import BOOKS, assert_drawn

from helpers.core import files, privacy
from helpers.core.folders import STAGES
from helpers.sandbox.process import stop_sandboxes
from notebooks import run_real

CAPTURES = ROOT.parent / "shared" / "captures"
SECTIONS = [
    "answer", "clusters", "content", "change", "people", "personas", "advice", "stability",
    "method", "stamp",
]  # fmt: skip


@pytest.fixture(scope="module")
def outside(tmp_path_factory) -> Path:
    """Another home and another place for temporary files."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def outputs(whole_run, tmp_path_factory) -> Path:
    """A copy of the first run's outputs, to go on in."""
    return shutil.copytree(whole_run.outputs, tmp_path_factory.mktemp("whole") / "outputs")


@pytest.fixture(scope="module")
def second(outputs, outside) -> Path:
    """Another run of the same day: killed in stage 02 or 03, and gone on with."""
    folder, places = outputs / "2026-07-01.2", {"HOME": str(outside), "TMPDIR": str(outside)}
    words = ["run", "--outputs", str(outputs), "--run-date", "2026-07-01", "--quiet"]
    begun = [sys.executable, "-m", "helpers", *words]
    with subprocess.Popen(begun, cwd=ROOT, env=commands.bare(**places)) as process:
        while not (folder / "data" / "features.parquet").is_file():
            assert process.poll() is None
            time.sleep(0.1)
        time.sleep(1)
        process.kill()
    assert manifest(folder)["status"] == "running"
    for name in (".viewers.parquet.1.tmp", ".x.csv.1.tmp"):
        (folder / "data" / name).write_bytes(b"PAR1")
    done = commands.run(outputs, "--resume", folder.name, "--quiet", **places)
    assert (done.stdout, done.stderr) == ("", "")
    return folder


def test_it_says_what_it_found_and_warns_of_nothing(whole_run):
    steps = [f"[{n}/6] {stage}" for n, stage in enumerate(STAGES, 1)]
    assert whole_run.err.splitlines() == [*steps, "report.html"]
    for words in ("visitors: 1,247", "viewers: ", "binge_watchers", "Credits spent: ",
                  "Mave (simulated by the sandbox):\n  The one action that would convert ",
                  f"Report: {whole_run.folder / 'report.html'}"):  # fmt: skip
        assert words in whole_run.out


def test_the_run_folder_holds_what_the_design_lists(whole_run):
    folder = whole_run.folder
    for stage in STAGES:
        assert (folder / f"{stage}.ipynb").is_file() and (folder / f"{stage}.html").is_file()
    names = "features.parquet viewers.parquet clusters.csv affinity.csv personas.json analysis.json"
    assert {path.name for path in (folder / "data").iterdir()} >= set(names.split())
    known = manifest(folder)
    assert known["status"] == "done"
    assert {stage["status"] for stage in known["stages"].values()} == {"done"}
    facts = "account source parameters window counts requests retries repeated_rows dropped_rows"
    assert known.keys() >= {*facts.split(), "credits", "versions", "seconds"}
    told = files.read_json(folder / "report.json")
    assert told.keys() > set(SECTIONS) and told["schema_version"] == 2
    page = (folder / "report.html").read_text("utf-8")
    places = [page.index(f'id="{section}"') for section in SECTIONS]
    assert places == sorted(places)
    assert "2026-07-01/report.html" in (whole_run.outputs / "index.html").read_text("utf-8")
    assert stat.S_IMODE(whole_run.outputs.stat().st_mode) == 0o700
    for path in folder.glob("private/*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def counted_in(store: Path) -> tuple[dict[str, int], int]:
    """Viewers of each cluster, and repeated rows, from the stored sessions."""
    tables = map(pq.read_table, (store / "sessions").rglob("*.parquet"))
    rows = [row for table in tables for row in table.to_pylist()]
    counts = Counter(viewer["cluster"] for viewer in count_by_hand(rows).values())
    return dict(counts), len(rows) - len({row["event_key"] for row in rows})


def sizes(folder: Path) -> dict[str, int]:
    return pd.read_csv(folder / "data" / "clusters.csv", index_col=0)["viewers"].to_dict()


def test_cluster_numbers_equal_an_independent_count(whole_run):
    counts, repeated = counted_in(whole_run.outputs / "store" / "sandbox")
    assert {name: size for name, size in sizes(whole_run.folder).items() if size} == counts
    assert manifest(whole_run.folder)["repeated_rows"] == repeated > 0
    viewers = pd.read_parquet(whole_run.folder / "data" / "viewers.parquet")
    assert viewers["cluster"].value_counts().to_dict() == counts
    assert viewers["visitor_key"].is_unique


def test_committed_notebooks_show_what_a_run_shows(whole_run):
    """nbval passes a stripped notebook; this does not, and it looks at the figures."""
    for path in BOOKS:
        committed, ran = (
            nbformat.read(book, 4).cells for book in (path, whole_run.folder / path.name)
        )
        ran = [c for c in ran if "injected-parameters" not in c.metadata.get("tags", ())]
        assert kinds(committed) == kinds(ran), path.name
        for output in (output for cell in ran for output in cell.get("outputs", ())):
            if "image/png" in output.get("data", {}):
                assert_drawn(base64.b64decode(output["data"]["image/png"]))


def kinds(cells) -> list[list[tuple]]:
    outputs = [cell.outputs for cell in cells if cell.cell_type == "code"]
    return [[(o.output_type, sorted(o.get("data", {}))) for o in of_cell] for of_cell in outputs]


def test_nothing_personal_or_secret_stands_in_the_run(whole_run):
    folder = whole_run.folder
    privacy.refuse_leaks(folder)
    emails = emails_of(folder)
    for path in (path for path in folder.iterdir() if path.is_file()):
        text = path.read_text("utf-8").casefold()
        assert not [email for email in emails if email in text], path.name
        assert str(ROOT) not in text and str(Path.home()) + "/" not in text, path.name
        assert "127.0.0.1" not in text, path.name


def emails_of(folder: Path) -> list[str]:
    viewers = pd.read_parquet(folder / "data" / "viewers.parquet")
    emails = viewers["email"].dropna().str.casefold().tolist()
    assert len(emails) == 454
    return emails


def test_a_second_run_fetches_almost_nothing_and_buys_nothing(whole_run, second):
    before, after = manifest(whole_run.folder), manifest(second)
    assert after["requests"] <= 12 < before["requests"]
    assert before["credits"]["spent"] > 0 and after["credits"]["spent"] == 0
    assert after["counts"] == before["counts"] and after["counts"]["viewers"] == 1218
    same = [
        (folder / "data" / "clusters.csv").read_bytes() for folder in (whole_run.folder, second)
    ]
    assert same[0] == same[1]


def test_a_killed_run_that_went_on_left_nobody_outside(second, outside):
    assert manifest(second)["status"] == "done"
    left = {path: path.read_bytes().lower() for path in outside.rglob("*") if path.is_file()}
    emails = [email.encode() for email in emails_of(second)]
    assert [path for path, text in left.items() if any(email in text for email in emails)] == []


def test_plain_papermill_of_one_notebook_works_in_dev(second, outputs, tmp_path):
    words = ["-m", "papermill", "notebooks/04_personas.ipynb", str(tmp_path / "out.ipynb")]
    environment = commands.bare(VIEWER_PERSONAS_OUTPUTS=str(outputs))
    command = [sys.executable, *words, "--no-progress-bar"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    made = files.read_json(outputs / "dev" / "data" / "personas.json")["personas"]
    assert [persona["status"] for persona in made] == ["reused"] * 5


def test_render_makes_the_pages_anew(outputs):
    page = outputs / "2026-07-01" / "report.html"
    for left_out in (page, *page.parent.glob("0[2-6]*.ipynb")):
        left_out.unlink()
    done = commands.give("render", "2026-07-01", "--outputs", str(outputs))
    assert (done.returncode, done.stdout) == (0, f"Report: {page}\n")
    assert page.is_file()


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="no captured rows beside this folder")
def test_captured_rows_give_the_known_numbers_and_nothing_of_the_sandbox(
    whole_run, second, outputs
):
    days = ["-p", "start_date", "2024-12-04", "-p", "end_date", "2025-05-12"]
    with commands.sandbox("--data", str(CAPTURES)) as live:
        commands.run(outputs, *days, "--run-date", "2026-07-01", "--stages", "1-5", **live)
    folder = outputs / "2026-07-01.3"
    known = manifest(folder)
    assert known["source"] == {"wistia": "live", "mavera": "sandbox"}
    assert known["counts"]["session_rows"] == 1694 and known["repeated_rows"] == 2
    assert known["counts"]["viewers"] == 1622
    assert sizes(folder) == {"binge_watchers": 0, "engaged_explorers": 0, "bouncers": 758,
                             "skimmers": 0, "casual_viewers": 864}  # fmt: skip
    assert known["window"]["start_date"] == "2024-12-04"
    counted = {"bouncers": 758, "casual_viewers": 864}
    assert counted_in(outputs / "store" / "live") == (counted, 2)
    invented, real = (
        set(pd.read_parquet(run / "data" / "viewers.parquet")["visitor_key"])
        for run in (whole_run.folder, folder)
    )
    assert not invented & real
    privacy.refuse_leaks(folder, secrets=["any-token"])


def test_every_cell_and_the_report_stand_a_window_without_viewers(tmp_path, monkeypatch):
    folder = tmp_path / "outputs" / "dev"
    days = {"start_date": "2020-01-01", "end_date": "2020-01-31", "source": "sandbox"}
    try:
        run_real(folder, monkeypatch, *STAGES, **days)
    finally:
        stop_sandboxes()
    known = manifest(folder)
    assert known["counts"]["viewers"] == 0 and known["credits"]["spent"] == 0
    assert "no viewers" in (folder / "report.html").read_text("utf-8").lower()
