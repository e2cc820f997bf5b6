"""One notebook: its parameters cell, a kernel of this very Python, papermill over it."""

from __future__ import annotations

import ast
import contextlib
import math
import os
import queue
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from helpers.core.errors import BY_NAME, KitError, ParameterError, ServiceError

_FIGURE = """
import io, helpers.plots, matplotlib.pyplot as plt
plt.figure().savefig(io.BytesIO())
plt.close()
"""
WARM_UP = {
    "01_fetch": "import helpers.fetch" + _FIGURE,
    "02_enrich": "import helpers.enrich" + _FIGURE,
    "03_cluster": "import helpers.findings.insights, scipy.optimize, scipy.stats, sklearn.metrics, "
    "statsmodels.stats.multitest, statsmodels.stats.proportion" + _FIGURE,
    "04_personas": "import helpers.personas",
    "05_mave_analysis": "import helpers.analysis",
}
"""What takes a stage's kernel time at first: it is done while the stage before works."""


class NotebookError(KitError):
    """A cell failed for a reason the kit cannot explain, or its kernel did."""


def parameters_of(path: Path) -> dict[str, Any]:
    """Name to default of a notebook's parameters cell.

    Raises
    ------
    ParameterError
        There is no such notebook, or it has no parameters cell.
    """
    try:
        cells = nbformat.read(path, as_version=4).cells
    except (OSError, ValueError, nbformat.ValidationError) as error:
        reason = getattr(error, "strerror", None) or "no notebook"
        raise ParameterError(
            f"Notebook {path.name} cannot be read: {reason}. The kit needs the notebooks/ folder "
            "of its project; install it from there with `pip install -e .`."
        ) from None
    for cell in cells:
        if "parameters" in cell.metadata.get("tags", ()):
            tree = ast.parse(cell.source).body
            lines = [line for line in tree if isinstance(line, ast.AnnAssign)]
            return {line.target.id: ast.literal_eval(line.value) for line in lines}
    raise ParameterError(f"Notebook {path.name} has no cell tagged parameters. Restore it.")


class _Client(AsyncKernelClient):
    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Until the kernel answers and is heard; nbclient itself passes over older messages."""
        until = time.monotonic() + (timeout or math.inf)
        while time.monotonic() < until and await self.is_alive():
            self.kernel_info()
            with contextlib.suppress(queue.Empty):
                await self.get_shell_msg(timeout=1)
                await self.get_iopub_msg(timeout=1)
                return
        raise RuntimeError("the kernel did not start, or does not answer")


class _Manager(AsyncKernelManager):
    """Kernels of this Python, whatever kernel specs other environments left on the machine."""

    _talking = None
    client_factory = _Client

    @property
    def kernel_spec(self) -> KernelSpec:
        launcher = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher"]
        return KernelSpec(
            argv=[*launcher, "-f", "{connection_file}"], display_name="Python 3", language="python"
        )

    def client(self, **options: Any) -> Any:
        self._talking = super().client(**options)
        return self._talking

    def kill(self) -> None:
        """Close the connection, which nbclient leaves open, and end the kernel without a wait."""
        if self._talking:
            self._talking.stop_channels()
        if self.has_kernel:
            run_sync(self.signal_kernel)(signal.SIGKILL)

    def stop(self) -> None:
        """End the kernel, and wait until it has."""
        self.kill()
        if self.has_kernel:
            run_sync(self.shutdown_kernel)(now=True)


@contextlib.contextmanager
def kernels(names: Sequence[str]) -> Iterator[Iterator[AsyncKernelManager]]:
    """A started kernel for each notebook in turn, always one ahead; all are gone at the end.

    Parameters
    ----------
    names : sequence of str
        Of the notebooks, for what is done beforehand; see ``WARM_UP``.
    """
    managers: list[_Manager] = []
    # A backend set for scripts, as cron jobs do, would leave notebooks without figures.
    inherited = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    sockets = tempfile.TemporaryDirectory(prefix="vp-")  # a short path, as sockets need

    def start(name: str) -> _Manager:
        manager = _Manager(transport="ipc", connection_file=f"{sockets.name}/{len(managers)}.json")
        apart = f"exec({WARM_UP.get(name, '')!r}, {{}})"  # its names are not the notebook's
        options = [f"--IPKernelApp.exec_lines={apart}"]
        run_sync(manager.start_kernel)(extra_arguments=options, env=inherited)
        managers.append(manager)
        return manager

    def one_ahead():
        if not names:
            return
        ahead = start(names[0])
        for following in [*names[1:], None]:
            present, ahead = ahead, start(following) if following is not None else None
            yield present
            present.kill()

    try:
        yield one_ahead()
    finally:
        for manager in managers:
            manager.stop()
        sockets.cleanup()


def answers() -> str:
    """Start a kernel and have it run something; what it says of itself.

    Raises
    ------
    NotebookError
        It does not start or does not answer.
    """
    cell = nbformat.v4.new_code_cell("import sys; print(sys.version.split()[0])")
    asked = nbformat.v4.new_notebook(cells=[cell])
    try:
        with kernels([""]) as ready:
            done = NotebookClient(asked, km=next(ready), timeout=60).execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError, RuntimeError) as error:
        raise NotebookError(
            f"The kernel of this Python does not answer: {type(error).__name__}. "
            "Install the project anew (make clean, then make report)."
        ) from error
    return f"Python {done.cells[0].outputs[0].text.strip()} runs cells"


def execute(path: Path, output: Path, values: dict[str, Any], kernel: AsyncKernelManager) -> None:
    """Execute a notebook with its parameters; the output is written cell by cell.

    Raises
    ------
    KitError
        Of the class that the cell raised; NotebookError for anything else.
    """
    import papermill  # slow to import; the kernel starts meanwhile
    from papermill.exceptions import PapermillException, PapermillExecutionError

    here = Path.cwd()  # relative, for papermill writes both paths into the output
    names = [os.path.relpath(place, here) for place in (path, output)]
    try:
        papermill.execute_notebook(
            *(name.replace("{", "{{").replace("}", "}}") for name in names),  # papermill formats
            parameters=values,
            kernel_name="python3",
            language="python",
            km=kernel,
            progress_bar=False,
        )
    except PapermillExecutionError as error:
        raise explained(path.stem, error.ename, error.evalue) from error
    except (CellTimeoutError, DeadKernelError) as error:
        raise NotebookError(
            f"{path.stem}: the kernel died, as it does when memory runs out. What was fetched and "
            "bought is kept. Set VIEWER_PERSONAS_MEMORY_LIMIT (such as 2GB) and run again."
        ) from error
    except (CellExecutionError, PapermillException, RuntimeError) as error:
        raise NotebookError(f"{path.stem}: {error}") from error


def explained(stage: str, name: str, text: str) -> KitError:
    """The error a cell raised, by its class name and message, as the kit's own."""
    kind = BY_NAME.get(name)
    if kind:
        return kind(text)
    if "No space left on device" in text or "[Errno 28]" in text:
        return ServiceError(
            f"{stage}: the disk is full. What was fetched is kept. Free some space and run again."
        )
    first = (text.strip().splitlines() or [""])[0][:300]
    return NotebookError(f"{stage}: {name}: {first}")


def refresh(*paths: Path) -> None:
    """Execute notebooks one after another and save their outputs in place, without times."""
    with kernels([path.stem for path in paths]) as ready:
        for path, kernel in zip(paths, ready, strict=True):
            book = nbformat.read(path, as_version=4)
            NotebookClient(book, km=kernel, record_timing=False).execute()
            book.metadata["language_info"] = {"name": "python"}  # no version
            nbformat.write(book, path)


if __name__ == "__main__":
    refresh(*map(Path, sys.argv[1:]))
