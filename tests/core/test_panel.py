"""Errors in a notebook: one panel, the cell still fails, the traceback is in the log."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient
from papermill.exceptions import PapermillExecutionError

from helpers.batch import kernels
from helpers.core import panel
from helpers.core.errors import AccessError, KitError, ParameterError

REFUSED = (
    "Wistia: 401 on GET /v1/stats/events.json (2026-10-03, page 3): token refused. It needs "
    '"Read detailed stats". Set WISTIA_API_TOKEN in .env and run again; what was fetched is kept.'
)


@pytest.fixture(autouse=True)
def plain_errors():
    """Only a notebook that opened a run has panels."""
    yield
    if hasattr(KitError, "_render_traceback_"):
        del KitError._render_traceback_


def test_a_message_is_taken_apart_by_how_its_sentences_begin():
    assert panel.parts(REFUSED) == {
        "What": "Wistia: 401 on GET /v1/stats/events.json (2026-10-03, page 3): token refused.",
        "Expected": 'It needs "Read detailed stats".',
        "What to do": "Set WISTIA_API_TOKEN in .env and run again; what was fetched is kept.",
    }
    typo = (
        "03_cluster has no parameter 'n_cluster'. Did you mean 'min_cell'? It has: run, min_cell."
    )
    assert panel.parts(typo) == {
        "What": "03_cluster has no parameter 'n_cluster'.",
        "What to do": "Did you mean 'min_cell'?",
        "Expected": "It has: run, min_cell.",
    }


def test_what_to_do_is_found_behind_a_semicolon():
    told = panel.parts("Mavera: 500 on GET /usage. What was fetched is kept; run again to go on.")
    assert told["What"] == "Mavera: 500 on GET /usage. What was fetched is kept."
    assert told["What to do"] == "Run again to go on."


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_no_word_of_a_message_is_lost(message):
    def letters(text):
        return sorted(re.sub(r"[\s;.]", "", text).casefold())

    assert letters("".join(panel.parts(message).values())) == letters(message)


def lines(error: BaseException) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", "\n".join(panel.render(error)))


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_the_panel_says_class_what_where_expected_and_what_to_do(bare_environment):
    panel.install("01_fetch", "")
    text = lines(raised(AccessError(REFUSED)))
    assert text.splitlines()[0] == "AccessError"
    for name in ("What", "Where", "Expected", "What to do", "Traceback"):
        assert re.search(rf"^{name} +\S", text, re.M), name
    assert re.search(r"^Where +01_fetch, ", text, re.M)
    assert re.search(r"^Traceback +outputs/dev/run\.log$", text, re.M)
    assert max(map(len, text.splitlines())) <= panel.WIDTH


def test_a_message_without_advice_gets_one(bare_environment):
    panel.install("02_enrich", "")
    assert "Correct it and run again." in lines(ParameterError("seed is 1.5. Expected int."))
    assert "docs/troubleshooting.md" in lines(KitError("Something else."))
    assert "\nExpected    int." in lines(ParameterError("seed is 1.5. Expected int."))


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
        "Expected    int, such as 10.",
        "What to do  Correct it and run again.",
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
