"""Tiny notebooks in the place of the real ones, for tests of the runner; real ones made anew."""

import ast
import contextlib
import io
import sys
from pathlib import Path

import nbformat
import pytest
from commands import ROOT
from nbclient import NotebookClient

from helpers.batch import kernels
from helpers.core import errors, parameters
from helpers.core.folders import STAGES
from helpers.report import notebook_page, report

SPEC = {"name": "python3", "language": "python", "display_name": "Python 3"}
PREPARE = (
    "from helpers.run import Run\n"
    "from helpers.core import errors\n"
    "run = Run.open({stage!r}, run, source=source)"
)


def write(folder: Path, **cells: str) -> Path:
    """The notebooks with all parameters; ``cells`` by number: ``s3="raise ..."``."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{k}: {type(v).__name__} = {v!r}  # a" for k, v in parameters.DEFAULTS.items()]
    for number, stage in enumerate(STAGES, 1):
        first = nbformat.v4.new_code_cell("\n".join(lines))
        first.metadata["tags"] = ["parameters"]
        texts = [PREPARE.format(stage=stage), cells.get(f"s{number}", "pass"), "run.done()"]
        made = nbformat.v4.new_notebook(metadata={"kernelspec": SPEC})
        made.cells = [first, *map(nbformat.v4.new_code_cell, texts)]
        nbformat.write(made, folder / f"{stage}.ipynb")
    return folder


@pytest.fixture
def plain_report(monkeypatch):
    """No warm-up of kernels and pages of one line: these tests are about the runner."""

    def report_page(folder: Path) -> Path:
        return _page(folder / "report.html")

    def notebook_html(path: Path) -> Path:
        return _page(path.with_suffix(".html"))

    monkeypatch.setattr(kernels, "WARM_UP", {})
    monkeypatch.setattr(report, "build", report_page)
    monkeypatch.setattr(notebook_page, "notebook_html", notebook_html)


def _page(path: Path) -> Path:
    path.write_text("<p>page</p>", "utf-8")
    return path


@pytest.fixture
def no_kernels(monkeypatch, plain_report):
    """Cells are executed in this process: a kernel for each notebook takes seconds."""
    monkeypatch.setattr(kernels, "start_kernels", _no_kernels)
    monkeypatch.setattr(kernels, "execute", _execute)


@contextlib.contextmanager
def _no_kernels(names, environment):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield [None for _ in names]


def _execute(path: Path, output: Path, given: dict, kernel: None) -> None:
    book, takes = nbformat.read(path, 4), kernels.parameters_of(path)
    names = takes | {name: value for name, value in given.items() if name in takes}
    for cell in book.cells[1:]:
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                exec(cell.source, names)
        except Exception as error:
            raise errors.explain(type(error).__name__, str(error), path.stem) from error
        finally:
            text = nbformat.v4.new_output("stream", name="stdout", text=printed.getvalue())
            cell.outputs = [text]
            nbformat.write(book, output)


def run_real(folder: Path, monkeypatch, *stages: str, **given) -> None:
    """Run the cells of real notebooks in this process, on a run folder, and make its report.

    Results are made into what a notebook shows.
    """
    monkeypatch.setenv("VIEWER_PERSONAS_OUTPUTS", str(folder.parent))
    monkeypatch.setenv("MPLBACKEND", "agg")
    for stage in stages:
        names: dict = {}
        book = nbformat.read(ROOT / "notebooks" / f"{stage}.ipynb", 4)
        for cell in (cell for cell in book.cells if cell.cell_type == "code"):
            *lines, last = ast.parse(cell.source).body
            exec(compile(ast.Module(lines, []), stage, "exec"), names)
            if isinstance(last, ast.Expr):
                shown = eval(compile(ast.Expression(last.value), stage, "eval"), names)
                _ = repr(shown), getattr(shown, "_repr_html_", str)()
            else:
                exec(compile(ast.Module([last], []), stage, "exec"), names)
            if "parameters" in cell.metadata.get("tags", ()):
                names |= {"run": folder.name} | {n: v for n, v in given.items() if n in names}
    report.build(folder)


def refresh(*paths: Path) -> None:
    """Execute notebooks one after another and save their outputs in place, without times."""
    with kernels.start_kernels([path.stem for path in paths]) as started:
        for path, kernel in zip(paths, started, strict=True):
            book = nbformat.read(path, as_version=4)
            NotebookClient(book, km=kernel, record_timing=False).execute()
            book.metadata["language_info"] = {"name": "python"}  # no version
            nbformat.write(book, path)


if __name__ == "__main__":
    refresh(*map(Path, sys.argv[1:]))
