"""The runner: what it checks first, what it leaves behind, how it goes on."""

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
from commands import manifest

from helpers.batch import listing, runner
from helpers.batch.plan import plan
from helpers.core import files, folders
from helpers.core.errors import DataError, KitError, LockError, ParameterError
from helpers.core.folders import STAGES
from helpers.store import rules
from helpers.store.schema import VISITORS
from helpers.store.store import Store
from notebooks import no_kernels, plain_report, write  # noqa: F401

pytestmark = [pytest.mark.usefixtures("plain_report")]
in_this_process = pytest.mark.usefixtures("no_kernels")
WORDS = {"source": "sandbox", "run_date": "2026-07-01"}


@pytest.fixture(autouse=True)
def no_sandbox(monkeypatch):
    monkeypatch.setenv("VIEWER_PERSONAS_SANDBOX", "http://127.0.0.1:9")  # nobody calls it here


@pytest.fixture
def books(tmp_path):
    """A function that writes the notebooks; what is in the cells by number."""
    return lambda **cells: write(tmp_path / "books {odd}", **cells)


@pytest.fixture
def folder(bare_environment):
    return bare_environment / "2026-07-01"


def statuses(folder):
    return [stage["status"] for stage in manifest(folder)["stages"].values()]


def test_a_run_records_facts_and_leaves_no_path_of_this_machine(books, folder, tmp_path):
    cells = {"s1": "run.record(counts={'viewers': 3})"}
    cells["s2"] = "import sys, pandas\nprint(run.folder, sys.executable)"
    assert runner.run(WORDS, stages="1-2", notebooks=books(**cells)).run.folder == folder
    known = manifest(folder)
    assert known["status"] == "done" and statuses(folder) == ["done"] * 2
    window = {"start_date": "2024-07-01", "end_date": "2026-06-30", "as_of": "2026-07-01"}
    assert known["window"] == window and known["parameters"]["run_date"] == "2026-07-01"
    assert known["counts"] == {"viewers": 3} and known["account"] == "sandbox"
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    for path in folder.rglob("*.*"):
        text = path.read_text("utf-8")
        assert str(tmp_path) not in text and sys.prefix not in text and os.getcwd() not in text


@in_this_process
def test_an_error_in_a_cell_keeps_its_kind_and_the_run_goes_on_where_it_stopped(books, folder):
    broken = books(s2="raise errors.DataError('percent_viewed is 55. Look.')")
    with pytest.raises(DataError, match="percent_viewed is 55"):
        runner.run(WORDS, stages="1-3", notebooks=broken)
    known = manifest(folder)
    assert known["status"] == "failed" and statuses(folder) == ["done", "failed", "waiting"]
    assert known["error"] == {"kind": "DataError", "message": "percent_viewed is 55. Look."}
    assert "Traceback" in (folder / "run.log").read_text("utf-8")
    first = (folder / "01_fetch.ipynb").stat().st_mtime_ns
    said = "There is no report: run 2026-07-01 stopped at 02_enrich."
    assert runner.render("2026-07-01", pdf=True) == said

    work = runner.run({}, resume="2026-07-01", notebooks=books())
    assert work.run.folder == folder and statuses(folder) == ["done"] * 6
    assert (folder / "01_fetch.ipynb").stat().st_mtime_ns == first
    assert manifest(folder)["status"] == "done" and manifest(folder)["error"] is None


@in_this_process
def test_a_run_goes_back_to_02_where_the_store_changed_meanwhile(books, bare_environment):
    features = "run.write_json('features.parquet', {})"
    with pytest.raises(DataError):
        runner.run(WORDS, notebooks=books(s2=features, s3="raise errors.DataError('Stopped.')"))
    resumed = {"resume": "2026-07-01", "notebooks": books(s2=features)}
    assert plan({}, **resumed).stages == STAGES[2:]
    store = Store(bare_environment / "store" / "sandbox")
    row = {"visitor_key": "anna"}
    files.write_parquet(store.visitors_path, pa.Table.from_pylist([row], VISITORS))
    assert runner.run({}, **resumed).stages == STAGES[1:]
    files.write_parquet(store.visitors_path, VISITORS.empty_table())  # a run that is done stays so
    assert not plan({}, **resumed).stages


@in_this_process
def test_a_run_that_is_done_stays_so_and_a_higher_budget_runs_what_spends_again(books, folder):
    runner.run(WORDS, notebooks=books())
    (folder / "report.html").unlink()
    folders.record(folder, status="running")  # killed after the last stage
    before = {path.name: path.stat().st_mtime_ns for path in sorted(folder.glob("0*.ipynb"))}
    for budget, stages in (({}, ()), ({"max_credits": 1575}, STAGES[3:])):
        runner.run(budget, resume="2026-07-01", notebooks=books())
        assert manifest(folder)["status"] == "done" and statuses(folder) == ["done"] * 6
        assert (folder / "report.html").is_file()
        again = [name for name, at in before.items() if (folder / name).stat().st_mtime_ns != at]
        assert again == [f"{stage}.ipynb" for stage in stages]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("import os; os._exit(9)", "01_fetch: The kernel died"),
        ("raise ValueError('jane' + chr(64) + 'example.com')", "ValueError"),
    ],
)
def test_other_errors_of_a_cell_are_one_line_with_the_log_and_how_to_go_on(
    books, folder, cell, said
):
    with pytest.raises(KitError, match=said) as caught:
        runner.run(WORDS, stages="1", notebooks=books(s1=cell))
    assert caught.value.exit_status == 1
    (note,) = caught.value.__notes__
    assert "run.log" in note and "viewer-personas run --resume 2026-07-01" in note
    assert manifest(folder)["status"] == "failed" and statuses(folder) == ["failed"]
    for name in ("run.log", "run.json", "01_fetch.ipynb"):
        assert "jane@example.com" not in (folder / name).read_text("utf-8"), name


@in_this_process
def test_a_resumed_run_keeps_its_parameters_but_for_the_budget(books):
    made = books(s4="assert max_credits == 1500, max_credits")
    with pytest.raises(KitError, match="AssertionError"):
        runner.run({**WORDS, "start_date": "2026-06-01"}, notebooks=made)
    with pytest.raises(ParameterError, match="Expected no other parameter than max_credits"):
        runner.run({"start_date": "2026-06-02"}, resume="2026-07-01", notebooks=made)
    work = runner.run({"max_credits": "1500"}, resume="2026-07-01", notebooks=made)
    assert work.run.window.start.isoformat() == "2026-06-01"
    assert manifest(work.run.folder)["status"] == "done"


@pytest.mark.parametrize("name", ["2026-07-09", "dev", "../2026-07-01", "2026-07-01.11", "x"])
def test_a_run_that_is_not_there_cannot_be_resumed(books, name):
    with pytest.raises(ParameterError, match="There is no run"):
        runner.run({}, resume=name, notebooks=books())


@in_this_process
def test_later_stages_alone_need_a_run_to_go_on_with(books, folder):
    with pytest.raises(ParameterError, match="03_cluster reads what 01_fetch writes"):
        runner.run(WORDS, stages="3-4", notebooks=books())
    assert not folder.parent.exists()
    runner.run(WORDS, stages="1-2", notebooks=books())
    runner.run({}, stages="3", resume="2026-07-01", notebooks=books())
    assert statuses(folder) == ["done"] * 3 and not (folder / "report.html").exists()


@in_this_process
def test_a_run_keeps_a_copy_of_its_clusters_file(books, folder, tmp_path):
    file = tmp_path / "mine.yml"
    file.write_text(rules.builtin_text(), "utf-8")
    used = books(s3="from helpers import cluster\ncluster.rules_of(run)")
    runner.run({**WORDS, "clusters_file": str(file)}, stages="1-3", notebooks=used)
    assert (folder / "mine.yml").read_text("utf-8") == file.read_text("utf-8")
    assert manifest(folder)["parameters"]["clusters_file"] == "mine.yml"


@in_this_process
def test_a_leak_fails_the_run_and_names_the_file(books, folder, monkeypatch):
    monkeypatch.setenv("WISTIA_API_TOKEN", "sesame-open-1234")
    leaky = books(s1="print('sesame-' + 'open-1234')")
    with pytest.raises(DataError, match=r"a secret in 01_fetch\.ipynb"):
        runner.run({"run_date": "2026-07-01"}, stages="1", notebooks=leaky)
    assert manifest(folder)["status"] == "failed"


def test_a_second_run_while_one_works_waits_and_then_gives_way(books, folder, monkeypatch):
    store = Store(folder.parent / "store" / "sandbox")
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
            runner.run(WORDS, stages="1", notebooks=books())
        holder.stdin.close()
    assert not folder.exists()


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_a_failed_run_that_can_go_on(books, folder, tmp_path):
    running = tmp_path / "running"

    def interrupt():
        while not running.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    cell = f"import time; open({str(running)!r}, 'w').close(); time.sleep(60)"
    with pytest.raises(KeyboardInterrupt) as caught:
        runner.run(WORDS, stages="1", notebooks=books(s1=cell))
    assert manifest(folder)["status"] == "failed" and statuses(folder) == ["failed"]
    assert "--resume 2026-07-01" in caught.value.__notes__[0]
    assert "interrupted" in listing.list_runs(folder.parent)[1]
    (line,) = listing.list_runs(folder.parents[1])  # as of run-all: an account's folder within
    assert line.startswith(f"Runs of {folder.parent.name}: `") and "--outputs" in line


@in_this_process
def test_a_run_that_crosses_midnight_keeps_its_date(books, monkeypatch):
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", "2026-02-28T23:59:59+00:00")
    later = "import os; os.environ['VIEWER_PERSONAS_NOW'] = '2026-03-01T00:10:00+00:00'"
    made = books(s1=later, s2="print(run_date)")
    folder = runner.run({"source": "sandbox"}, stages="1-2", notebooks=made).run.folder
    assert folder.name == "2026-02-28"
    told = nbformat.read(folder / "02_enrich.ipynb", 4).cells[-2].outputs[0].text
    assert told == "2026-02-28\n"


HEAD = "visitor_key,media_id,received_at"


@pytest.mark.parametrize(
    ("views", "kind", "said"),
    [
        ("visitor_key,media_id\nv,m\n", DataError, "column received_at is missing"),
        (f"{HEAD},percent_viewed\nv,m,2026-06-01,7\n", DataError, "line 2"),
        (None, ParameterError, "Sessions file views.csv: No such file"),
    ],
)
def test_a_run_whose_own_sessions_are_damaged_takes_no_name_of_the_day(
    books, bare_environment, tmp_path, views, kind, said
):
    if views:
        (tmp_path / "views.csv").write_text(views)
    given = {"run_date": "2026-07-01", "sessions_file": str(tmp_path / "views.csv")}
    with pytest.raises(kind, match=said):
        runner.run(given, notebooks=books())
    assert not bare_environment.exists()
