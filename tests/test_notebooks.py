"""The committed notebooks, executed in order on fresh outputs: every output is the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from helpers.run import STAGES

ROOT = Path(__file__).resolve().parent.parent


def test_committed_outputs_are_what_the_cells_print_today(bare_environment):
    books = [f"notebooks/{stage}.ipynb" for stage in STAGES]
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", *books]
    quiet = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly"]
    done = subprocess.run([*command, *quiet], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert (bare_environment / "dev" / "run.json").is_file(), "it ran somewhere else"


def test_a_cell_that_prints_something_else_is_found(tmp_path):
    import nbformat

    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(2)")])
    shown = nbformat.v4.new_output("stream", name="stdout", text="1\n")
    book.cells[0].outputs, book.cells[0].execution_count = [shown], 1
    nbformat.write(book, tmp_path / "b.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", "b.ipynb"]
    plain = {**os.environ, "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=plain)
    assert done.returncode == 1 and "1 failed" in done.stdout
