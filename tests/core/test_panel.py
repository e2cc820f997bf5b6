"""Errors in a notebook: one panel, the cell still fails, the traceback is in the log."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from papermill.exceptions import PapermillExecutionError

from helpers.batch import kernels
from helpers.core import errors, panel
from helpers.core.errors import AccessError, KitError, ParameterError

REFUSED = AccessError(
    "401 on GET /v1/stats/events.json: token refused.",
    where="Wistia, 2026-10-03, page 3",
    expected='a token with "Read detailed stats"',
    remedy="Set WISTIA_API_TOKEN in .env and run again; what was fetched is kept.",
)


@pytest.fixture(autouse=True)
def plain_errors():
    """Only a notebook that opened a run has panels."""
    yield
    errors.explain_in_notebook = None


def test_a_message_says_where_what_expected_and_what_to_do():
    assert str(REFUSED) == (
        "Wistia, 2026-10-03, page 3: 401 on GET /v1/stats/events.json: token refused. Expected a "
        'token with "Read detailed stats". Set WISTIA_API_TOKEN in .env and run again; what was '
        "fetched is kept."
    )
    assert str(KitError("Something else.")) == "Something else."


def lines(error: BaseException) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", "\n".join(error._render_traceback_()))


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_the_panel_says_class_what_where_expected_and_what_to_do(bare_environment):
    panel.install("01_fetch", "")
    text = lines(raised(REFUSED))
    assert text.splitlines()[0] == "AccessError"
    for name in ("What", "Where", "Expected", "What to do", "Traceback"):
        assert re.search(rf"^{name} +\S", text, re.M), name
    assert re.search(r"^Where +Wistia, 2026-10-03, page 3, 01_fetch", text, re.M)
    assert re.search(r"^Traceback +outputs/dev/run\.log$", text, re.M)
    assert max(map(len, text.splitlines())) <= errors.PANEL_WIDTH


def test_a_message_without_advice_gets_one(bare_environment):
    panel.install("02_enrich", "")
    assert "docs/troubleshooting.md" in lines(KitError("Something else."))
    assert "\nExpected    int" in lines(ParameterError("seed is 1.5.", expected="int"))


def test_the_log_has_the_traceback_once_and_nothing_personal(bare_environment):
    panel.install("01_fetch", "")
    error = raised(ParameterError(f"{bare_environment}/x of ann@example.com is odd."))
    assert lines(error) == lines(error), "IPython asks twice"
    log = (bare_environment / "dev" / "run.log").read_text("utf-8")
    assert log.count("Traceback (most recent call last)") == 1
    assert "ann@example.com" not in log + lines(error)
    assert str(bare_environment) not in log + lines(error)


def test_the_log_is_the_runs_own_where_there_is_one(bare_environment):
    (bare_environment / "2026-07-01").mkdir(parents=True)
    panel.install("01_fetch", "2026-07-01")
    assert "outputs/2026-07-01/run.log" in lines(raised(KitError("x")))
    assert (bare_environment / "2026-07-01" / "run.log").is_file()
    panel.install("01_fetch", "../elsewhere")
    assert "outputs/dev/run.log" in lines(raised(KitError("x")))


def test_an_outputs_folder_that_cannot_be_written_hides_no_error(bare_environment):
    bare_environment.write_text("a file in its place")
    panel.install("01_fetch", "")
    text = lines(raised(KitError("Something else.")))
    assert "Something else." in text and "run.log" not in text


def book(*cells: str) -> nbformat.NotebookNode:
    first = nbformat.v4.new_code_cell("run: str = ''  # a\nseed: int = 0  # a")
    first.metadata["tags"] = ["parameters"]
    spec = {"name": "python3", "language": "python", "display_name": "Python 3"}
    more = map(nbformat.v4.new_code_cell, cells)
    return nbformat.v4.new_notebook(cells=[first, *more], metadata={"kernelspec": spec})


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setattr(kernels, "WARM_UP", {})
    with kernels.kernels([""]) as ready:
        yield next(ready)


@pytest.mark.xdist_group("kernels")
def test_in_a_kernel_the_cell_fails_with_the_panel_as_its_only_output(bare_environment, kernel):
    wrong = 'from helpers.run import Run\nRun.open("03_cluster", run, min_cell="ten")'
    made = book(wrong, "1 / 0")
    NotebookClient(made, km=kernel, allow_errors=True).execute()
    (told,) = made.cells[1].outputs
    assert (told.output_type, told.ename) == ("error", "ParameterError")
    assert told.evalue == (
        "03_cluster: parameter min_cell is 'ten', a str. Expected int, such as 10."
    )
    text = re.sub("\x1b\\[[0-9;]*m", "", "\n".join(told.traceback))
    assert text.splitlines() == [
        "ParameterError",
        "What        03_cluster: parameter min_cell is 'ten', a str.",
        'Where       03_cluster, Run.open("03_cluster", run, min_cell="ten")',
        "Expected    int, such as 10",
        "What to do  Look the message up in docs/troubleshooting.md.",
        "Traceback   outputs/dev/run.log",
    ]
    log = (bare_environment / "dev" / "run.log").read_text("utf-8")
    assert log.count("most recent call last") == 1 and 'File "cell", line 2' in log
    (other,) = made.cells[2].outputs
    assert other.ename == "ZeroDivisionError" and len(other.traceback) > 1, "not ours: as ever"


@pytest.mark.xdist_group("kernels")
def test_papermill_and_the_runner_still_read_class_and_message(
    bare_environment, kernel, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    wrong = 'from helpers.run import Run\nRun.open("03_cluster", run, source="nowhere")'
    nbformat.write(book(wrong), "03_cluster.ipynb")
    source, target = Path("03_cluster.ipynb"), Path("out.ipynb")
    with pytest.raises(ParameterError, match="source is 'nowhere'") as caught:
        kernels.execute(source, target, {"run": ""}, kernel)
    failed = caught.value.__cause__
    assert isinstance(failed, PapermillExecutionError) and failed.ename == "ParameterError"
    assert "What to do" in str(failed), "a scheduler's log has the panel too"
    assert "What to do" in target.read_text("utf-8")
