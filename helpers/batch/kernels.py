"""One notebook: its parameters cell, a kernel of this very Python, papermill over it."""

import ast
import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from helpers.core.errors import KitError, ParameterError, explain

_FIGURE = """
import io, helpers.plots, matplotlib.pyplot as plt
plt.figure().savefig(io.BytesIO())
plt.close()
"""
WARM_UP = {
    "01_fetch": "import helpers.fetch" + _FIGURE,
    "02_enrich": "import helpers.enrich, seaborn" + _FIGURE,
    "03_cluster": "import helpers.cluster, scipy.stats, sklearn.metrics, "
    "statsmodels.stats.multitest, statsmodels.stats.proportion" + _FIGURE,
    "04_personas": "import helpers.personas",
    "05_mave_analysis": "import helpers.analysis",
    "06_retention": "import helpers.retention, scipy.stats" + _FIGURE,
}
"""What takes a stage's kernel time at first: done while the stage before works, which saves ten of
40 seconds of a run (benchmarks/run.md)."""
LONGEST_SOCKET_FOLDER = 80  # characters; a socket's whole path may have about a hundred
WRITABLE = {"IPYTHONDIR": "ipython", "MPLCONFIGDIR": "matplotlib"}
"""Folders that libraries warn about in every notebook where the home folder cannot be written."""


# A kernel's connections never leave 127.0.0.1: what it says of encryption is noise. The current
# folder may hold another package `helpers`.
ARGUMENTS = ("--log-level=ERROR", "--InteractiveShellApp.ignore_cwd=True")
OPTIONS = {"kernel_name": "python3", "language": "python", "progress_bar": False}
THIS_PYTHON = KernelSpecManager(kernel_dirs=[])
"""Knows the kernel of this Python alone, whatever other environments left on the machine."""


def parameters_of(path: Path) -> dict[str, Any]:
    """Name to default of a notebook's parameters cell.

    Raises
    ------
    ParameterError
        There is no such notebook, or it has no parameters cell.
    """
    try:
        cells = nbformat.read(path, as_version=4).cells
        cell = next(cell for cell in cells if "parameters" in cell.metadata.get("tags", ()))
    except (OSError, ValueError, nbformat.ValidationError, StopIteration):
        what = f"Notebook {path.name} cannot be read, or has no cell tagged parameters."
        remedy = "Restore it, or install the kit from its folder with `pip install -e .`."
        raise ParameterError(what, remedy=remedy) from None
    lines = (line for line in ast.parse(cell.source).body if isinstance(line, ast.AnnAssign))
    return {line.target.id: ast.literal_eval(line.value) for line in lines}


@contextlib.contextmanager
def start_kernels(
    names: Sequence[str], environment: Mapping[str, str] = {}
) -> Iterator[Iterator[AsyncKernelManager]]:
    """A started kernel of this Python for each notebook in turn, always one ahead.

    All are stopped at the end.

    Parameters
    ----------
    names : sequence of str
        Of the notebooks, for what is imported beforehand; see ``WARM_UP``.
    environment : mapping
        What kernels have beside this process's own.
    """
    with tempfile.TemporaryDirectory(prefix="vp-") as folder, contextlib.ExitStack() as stack:
        # A backend set for scripts, as cron jobs do, would leave notebooks without figures; a
        # command given in a notebook's cell is no notebook that somebody looks at.
        kept = os.environ.keys() - {"MPLBACKEND", "JPY_SESSION_NAME"}
        inherited = {name: os.environ[name] for name in kept}
        if not os.access(Path.home(), os.W_OK):
            inherited |= {name: f"{folder}/{place}" for name, place in WRITABLE.items()}
        # Two runs at once may pick one TCP port; sockets in a folder of their own cannot meet.
        apart_from_others = os.name == "posix" and len(folder) < LONGEST_SOCKET_FOLDER
        transport = "ipc" if apart_from_others else "tcp"

        def start(name: str) -> AsyncKernelManager:
            where = {"transport": transport, "connection_file": f"{folder}/{name}.json"}
            kernel = AsyncKernelManager(kernel_spec_manager=THIS_PYTHON, **where)
            stack.callback(_stop, kernel)
            apart = f"exec({WARM_UP.get(name, '')!r}, {{}})"  # its names stay its own
            arguments = [*ARGUMENTS, f"--IPKernelApp.exec_lines={apart}"]
            run_sync(kernel.start_kernel)(extra_arguments=arguments, env=inherited | environment)
            return kernel

        yield _one_ahead(map(start, names))


def _one_ahead(started: Iterator[AsyncKernelManager]) -> Iterator[AsyncKernelManager]:
    """Each kernel, while the next one starts; it is stopped when it has done its work."""
    for kernel, _ in itertools.pairwise(itertools.chain(started, [None])):
        yield kernel
        _stop(kernel)


def _stop(kernel: AsyncKernelManager) -> None:
    if kernel.has_kernel:
        run_sync(kernel.shutdown_kernel)(now=True)
    kernel.context.destroy(linger=0)  # nbclient leaves its connection open


def check_kernel() -> str:
    """Start a kernel and have it run something; what it says of itself.

    Raises
    ------
    KitError
        It does not start or does not answer.
    """
    cell = nbformat.v4.new_code_cell("import sys; print(sys.version.split()[0])")
    asked = nbformat.v4.new_notebook(cells=[cell])
    try:
        with start_kernels(["check"]) as started:
            done = NotebookClient(asked, km=next(started), timeout=60).execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError, RuntimeError) as error:
        what = f"The kernel of this Python does not answer: {type(error).__name__}."
        remedy = "Install the project anew (make clean, then make report)."
        raise KitError(what, remedy=remedy) from error
    return f"Python {done.cells[0].outputs[0].text.strip()} runs cells"


def execute(path: Path, output: Path, given: dict[str, Any], kernel: AsyncKernelManager) -> None:
    """Execute a notebook with those parameters that it takes; the output is written cell by cell.

    Raises
    ------
    KitError
        Of the class that the cell raised; the base class for anything else.
    """
    import papermill  # slow to import; the kernel starts meanwhile
    from papermill.exceptions import PapermillException, PapermillExecutionError

    # Relative, for papermill writes both paths into the output; braces, for it formats them.
    names = [os.path.relpath(file).replace("{", "{{").replace("}", "}}") for file in (path, output)]
    try:
        taken = {name: given[name] for name in parameters_of(path) if name in given}
        papermill.execute_notebook(*names, taken, km=kernel, **OPTIONS)
    except PapermillExecutionError as error:
        raise explain(error.ename, error.evalue, path.stem) from error
    except (CellTimeoutError, DeadKernelError) as error:
        what = "The kernel died, as when memory runs out. What was fetched and bought is kept."
        remedy = "Set VIEWER_PERSONAS_MEMORY_LIMIT (such as 2GB) and run again."
        raise KitError(what, where=path.stem, remedy=remedy) from error
    except (PapermillException, RuntimeError) as error:
        raise KitError(str(error), where=path.stem) from error
