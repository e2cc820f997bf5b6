"""One notebook: its parameters, the kernel that runs it, what its errors become."""

import sys

import nbformat
import pytest

from helpers.batch import kernels
from helpers.core.errors import ParameterError
from helpers.core.folders import STAGES
from notebooks import SPEC, refresh


@pytest.mark.parametrize("text", [None, "no json", "{}", '{"cells": []}'])
def test_a_notebook_that_cannot_be_read_is_named(tmp_path, text):
    path = tmp_path / "01_fetch.ipynb"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ParameterError, match=r"Notebook 01_fetch\.ipynb"):
        kernels.parameters_of(path)


def test_a_notebook_without_a_parameters_cell_is_refused(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "b.ipynb")
    with pytest.raises(ParameterError, match="no cell tagged parameters"):
        kernels.parameters_of(tmp_path / "b.ipynb")


def test_kernels_run_this_python_whatever_the_machine_has(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "WARM_UP", {})
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    book = nbformat.v4.new_notebook(metadata={"kernelspec": SPEC})
    text = "import os, sys\nprint(sys.executable, os.environ['MPLBACKEND'])"
    book.cells = [nbformat.v4.new_code_cell(text)]
    nbformat.write(book, tmp_path / "b.ipynb")
    refresh(tmp_path / "b.ipynb")
    done = nbformat.read(tmp_path / "b.ipynb", 4)
    python, backend = done.cells[0].outputs[0].text.split()
    assert python == sys.executable
    assert "inline" in backend  # figures are shown, whatever a cron job sets
    assert done.cells[0].execution_count == 1
    assert done.metadata.language_info == {"name": "python"}


def test_what_is_done_beforehand_works_and_leaves_no_names_in_the_notebook(tmp_path):
    assert set(STAGES) <= set(kernels.WARM_UP)
    for code in kernels.WARM_UP.values():
        exec(code, {})
    path = tmp_path / "04_personas.ipynb"
    cell = nbformat.v4.new_code_cell(
        "import sys\nprint('helpers.personas' in sys.modules, 'helpers' in globals())"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": SPEC}), path)
    refresh(path)
    assert nbformat.read(path, 4).cells[0].outputs[0].text == "True False\n"


def test_a_kernel_answers():
    assert kernels.check_kernel() == f"Python {sys.version.split()[0]} runs cells"
