"""Tiny notebooks in the place of the real ones, for tests of the runner."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from helpers.batch import kernels as notebook_module
from helpers.core import parameters
from helpers.report import notebook_page, report
from helpers.run import STAGES

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
    """No warm-up of kernels and a report of one line: these tests are about the runner."""
    monkeypatch.setattr(notebook_module, "WARM_UP", {})
    monkeypatch.setattr(report, "build", _one_line)
    monkeypatch.setattr(notebook_page, "notebook_html", _page)


def _one_line(folder: Path) -> Path:
    page = folder / "report.html"
    page.write_text("<p>report</p>", "utf-8")
    return page


def _page(path: Path) -> Path:
    page = path.with_suffix(".html")
    page.write_text("<p>notebook</p>", "utf-8")
    return page
