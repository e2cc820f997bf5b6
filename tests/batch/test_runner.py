"""The runner: what it checks first, what it leaves behind, how it goes on."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import nbformat
import pyarrow as pa
import pytest

from helpers.batch import listing, runner
from helpers.batch.plan import plan
from helpers.core import files, folders
from helpers.core.errors import DataError, KitError, LockError, ParameterError
from helpers.run import STAGES
from helpers.store.store import VISITORS, Store
from notebooks import plain_report, write  # noqa: F401

pytestmark = [pytest.mark.usefixtures("plain_report")]
WORDS = {"source": "sandbox", "run_date": "2026-07-01"}


@pytest.fixture(autouse=True)
def no_sandbox(monkeypatch):
    monkeypatch.setenv("VIEWER_PERSONAS_SANDBOX", "http://127.0.0.1:9")  # nobody calls it here


def manifest(folder):
    return json.loads((folder / "run.json").read_text("utf-8"))


def statuses(folder):
    return [stage["status"] for stage in manifest(folder)["stages"].values()]


def test_a_run_leaves_executed_notebooks_pages_and_a_manifest(tmp_path, bare_environment):
    cells = {
        "s1": "run.record(counts={'viewers': 3})",
        "s2": "import sys, pandas\nprint(run.folder, sys.executable)",
    }
    folder = runner.run(WORDS, notebooks=write(tmp_path / "books {odd}", **cells)).run.folder
    assert folder == bare_environment / "2026-07-01"
    for stage in STAGES:
        assert (folder / f"{stage}.ipynb").is_file() and (folder / f"{stage}.html").is_file()
    assert (folder / "report.html").is_file() and (bare_environment / "index.html").is_file()
    known = manifest(folder)
    assert known["status"] == "done" and statuses(folder) == ["done"] * 6
    assert known["window"] == {
        "start_date": "2024-07-01", "end_date": "2026-06-30", "as_of": "2026-07-01",
    }  # fmt: skip
    assert known["counts"] == {"viewers": 3} and known["account"] == "sandbox"
    assert known["parameters"]["run_date"] == "2026-07-01"
    assert stat.S_IMODE(bare_environment.stat().st_mode) == 0o700
    for path in folder.rglob("*.*"):  # no folder of this machine stands in it
        text = path.read_text("utf-8")
        assert str(tmp_path) not in text and sys.prefix not in text and os.getcwd() not in text


def test_an_error_in_a_cell_keeps_its_kind_and_the_run_goes_on_where_it_stopped(
    tmp_path, bare_environment
):
    books = write(tmp_path / "books", s2="raise errors.DataError('percent_viewed is 55. Look.')")
    with pytest.raises(DataError, match="percent_viewed is 55"):
        runner.run(WORDS, stages="1-3", notebooks=books)
    folder = bare_environment / "2026-07-01"
    assert manifest(folder)["status"] == "failed"
    assert statuses(folder) == ["done", "failed", "waiting"]
    assert manifest(folder)["error"] == {
        "kind": "DataError", "message": "percent_viewed is 55. Look.",
    }  # fmt: skip
    assert "Traceback" in (folder / "run.log").read_text("utf-8")
    first = (folder / "01_fetch.ipynb").stat().st_mtime_ns
    said = "There is no report: run 2026-07-01 stopped at 02_enrich."
    assert runner.render("2026-07-01", pdf=True) == said

    write(tmp_path / "books")
    work = runner.run({}, resume="2026-07-01", notebooks=books)
    assert work.run.folder == folder and statuses(folder) == ["done"] * 6
    assert (folder / "01_fetch.ipynb").stat().st_mtime_ns == first
    assert manifest(folder)["status"] == "done" and manifest(folder)["error"] is None


def test_a_run_goes_back_to_02_where_the_store_changed_meanwhile(tmp_path, bare_environment):
    features = "run.write_json('features.parquet', {})"
    broken = "raise errors.DataError('Stopped.')"
    with pytest.raises(DataError):
        runner.run(WORDS, notebooks=write(tmp_path / "books", s2=features, s3=broken))
    books = write(tmp_path / "books", s2=features)
    assert plan({}, resume="2026-07-01", notebooks=books).stages == STAGES[2:]
    store = Store(bare_environment / "store" / "sandbox")
    row = {"visitor_key": "anna"}
    files.write_parquet(store.visitors_path, pa.Table.from_pylist([row], VISITORS))
    assert runner.run({}, resume="2026-07-01", notebooks=books).stages == STAGES[1:]
    files.write_parquet(store.visitors_path, VISITORS.empty_table())  # a run that is done stays so
    assert not plan({}, resume="2026-07-01", notebooks=books).stages


def test_a_run_that_is_done_stays_so_and_a_higher_budget_runs_what_spends_again(
    tmp_path, bare_environment
):
    books = write(tmp_path / "books")
    folder = runner.run(WORDS, notebooks=books).run.folder
    (folder / "report.html").unlink()
    folders.record(folder, status="running")  # killed after the last stage
    before = {path.name: path.stat().st_mtime_ns for path in sorted(folder.glob("0*.ipynb"))}
    for budget, stages in (({}, ()), ({"max_credits": 1575}, STAGES[3:])):
        runner.run(budget, resume="2026-07-01", notebooks=books)
        assert manifest(folder)["status"] == "done" and statuses(folder) == ["done"] * 6
        assert (folder / "report.html").is_file()
        again = [name for name, at in before.items() if (folder / name).stat().st_mtime_ns != at]
        assert again == [f"{stage}.ipynb" for stage in stages]


@pytest.mark.parametrize(
    ("cell", "status", "said"),
    [
        ("{}['x']", 1, "01_fetch: KeyError: 'x'"),
        ("import os; os._exit(9)", 1, "01_fetch: The kernel died"),
        ("raise OSError(28, 'No space left on device')", 4, "The disk is full"),
        ("raise ValueError('jane' + chr(64) + 'example.com')", 1, "ValueError"),
    ],
)
def test_other_errors_of_a_cell_are_one_line_with_the_log_and_how_to_go_on(
    tmp_path, bare_environment, cell, status, said
):
    with pytest.raises(KitError, match=said) as caught:
        runner.run(WORDS, stages="1", notebooks=write(tmp_path / "books", s1=cell))
    assert caught.value.exit_status == status
    (note,) = caught.value.__notes__
    assert "run.log" in note and "viewer-personas run --resume 2026-07-01" in note
    folder = bare_environment / "2026-07-01"
    assert manifest(folder)["status"] == "failed" and statuses(folder) == ["failed"]
    for name in ("run.log", "run.json", "01_fetch.ipynb"):
        assert "jane@example.com" not in (folder / name).read_text("utf-8"), name


def test_a_resumed_run_keeps_its_parameters_but_for_the_budget(tmp_path, bare_environment):
    books = write(tmp_path / "books", s4="assert max_credits == 1500, max_credits")
    with pytest.raises(KitError, match="AssertionError"):
        runner.run({**WORDS, "start_date": "2026-06-01"}, notebooks=books)
    with pytest.raises(ParameterError, match="Expected no other parameter than max_credits"):
        runner.run({"start_date": "2026-06-02"}, resume="2026-07-01", notebooks=books)
    work = runner.run({"max_credits": "1500"}, resume="2026-07-01", notebooks=books)
    assert work.run.window.start.isoformat() == "2026-06-01"
    assert manifest(work.run.folder)["status"] == "done"


@pytest.mark.parametrize("name", ["2026-07-09", "dev", "../2026-07-01", "2026-07-01.11", "x"])
def test_a_run_that_is_not_there_cannot_be_resumed(tmp_path, name):
    with pytest.raises(ParameterError, match="There is no run"):
        runner.run({}, resume=name, notebooks=write(tmp_path / "books"))


def test_later_stages_alone_need_a_run_to_go_on_with(tmp_path, bare_environment):
    books = write(tmp_path / "books")
    with pytest.raises(ParameterError, match="03_cluster reads what 01_fetch writes"):
        runner.run(WORDS, stages="3-4", notebooks=books)
    assert not bare_environment.exists()
    runner.run(WORDS, stages="1-2", notebooks=books)
    work = runner.run({}, stages="3", resume="2026-07-01", notebooks=books)
    assert [s["status"] for s in manifest(work.run.folder)["stages"].values()] == ["done"] * 3
    assert not (work.run.folder / "report.html").exists()


def test_a_run_keeps_a_copy_of_its_clusters_file(tmp_path, bare_environment):
    from helpers.store import rules

    books = write(tmp_path / "books", s3="from helpers import cluster\ncluster.rules_of(run)")
    file = tmp_path / "mine.yml"
    file.write_text(rules.builtin_text(), "utf-8")
    work = runner.run({**WORDS, "clusters_file": str(file)}, stages="1-3", notebooks=books)
    assert (work.run.folder / "mine.yml").read_text("utf-8") == file.read_text("utf-8")
    assert manifest(work.run.folder)["parameters"]["clusters_file"] == "mine.yml"


def test_a_leak_fails_the_run_and_names_the_file(tmp_path, bare_environment, monkeypatch):
    monkeypatch.setenv("WISTIA_API_TOKEN", "sesame-open-1234")
    books = write(tmp_path / "books", s1="print('sesame-' + 'open-1234')")
    with pytest.raises(DataError, match=r"a secret in 01_fetch\.ipynb"):
        runner.run({"run_date": "2026-07-01"}, stages="1", notebooks=books)
    assert manifest(bare_environment / "2026-07-01")["status"] == "failed"


def test_a_second_run_while_one_works_waits_and_then_gives_way(
    tmp_path, bare_environment, monkeypatch
):
    store = Store(bare_environment / "store" / "sandbox")
    code = (
        "import sys; from pathlib import Path; from helpers.store.store import Store\n"
        "with Store(Path(sys.argv[1])).run_lock(): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(store.folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        patient = Store.run_lock
        monkeypatch.setattr(Store, "run_lock", lambda self: patient(self, wait=0.2))
        with pytest.raises(LockError, match="another run is in progress"):
            runner.run(WORDS, stages="1", notebooks=write(tmp_path / "books"))
        holder.stdin.close()
    assert not (bare_environment / "2026-07-01").exists()


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_a_failed_run_that_can_go_on(tmp_path, bare_environment):
    running = tmp_path / "running"
    cell = f"import time; open({str(running)!r}, 'w').close(); time.sleep(60)"
    books = write(tmp_path / "books", s1=cell)

    def interrupt():
        while not running.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt) as caught:
        runner.run(WORDS, stages="1", notebooks=books)
    folder = bare_environment / "2026-07-01"
    assert manifest(folder)["status"] == "failed" and statuses(folder) == ["failed"]
    assert "--resume 2026-07-01" in caught.value.__notes__[0]
    assert "interrupted" in listing.list_runs(bare_environment)[1]


def test_a_run_that_crosses_midnight_keeps_its_date(tmp_path, bare_environment, monkeypatch):
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", "2026-02-28T23:59:59+00:00")
    later = "import os; os.environ['VIEWER_PERSONAS_NOW'] = '2026-03-01T00:10:00+00:00'"
    show = "print('as of', run.window.as_of, run_date)"
    books = write(tmp_path / "books", s1=later, s2=f"{later}\n{show}")
    folder = runner.run({"source": "sandbox"}, stages="1-2", notebooks=books).run.folder
    assert folder.name == "2026-02-28"
    assert "2026-02-28" in nbformat.read(folder / "02_enrich.ipynb", 4).cells[-2].outputs[0].text


@pytest.mark.parametrize(
    ("views", "kind", "said"),
    [
        ("visitor_key,media_id\nv,m\n", DataError, "column received_at is missing"),
        (
            "visitor_key,media_id,received_at,percent_viewed\nv,m,2026-06-01,7\n",
            DataError,
            "line 2",
        ),
        (None, ParameterError, "Sessions file views.csv: No such file"),
    ],
)
def test_a_run_whose_own_sessions_are_damaged_takes_no_name_of_the_day(
    tmp_path, bare_environment, views, kind, said
):
    if views:
        (tmp_path / "views.csv").write_text(views)
    given = {"run_date": "2026-07-01", "sessions_file": str(tmp_path / "views.csv")}
    with pytest.raises(kind, match=said):
        runner.run(given, notebooks=write(tmp_path / "books"))
    assert not bare_environment.exists()
