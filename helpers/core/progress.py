"""Progress while something takes longer than two seconds; afterwards nothing is left of it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator

from tqdm import tqdm

AFTER = 2.0  # seconds
EVERY = 1.0  # seconds, so that a wait without any news is seen to go on


@contextlib.contextmanager
def progress(what: str, unit: str = "", total: int | None = None) -> Iterator[tqdm]:
    """A bar on a terminal and in JupyterLab; in a run by papermill, or into a file, nothing.

    Parameters
    ----------
    what : str
        What is being done.
    unit : str
        What ``bar.update(n)`` counts; empty: only the time that passes is shown.
    total : int, optional
        How many there will be.
    """
    # Set in kernels that Jupyter's server started, before whose notebook somebody sits.
    place = _Cell() if os.environ.get("JPY_SESSION_NAME") else sys.stderr
    form = None if unit else "{desc} {elapsed}"
    options = {"unit": f" {unit}", "total": total, "bar_format": form, "leave": False, "ncols": 80}
    with tqdm(desc=what, file=place, delay=AFTER, disable=None, **options) as bar:
        over = threading.Event()
        ticker = threading.Thread(target=_tick, args=(bar, over), daemon=True)
        if not bar.disable:
            ticker.start()
        try:
            yield bar
        finally:
            over.set()
            if ticker.ident:
                ticker.join()


def _tick(bar: tqdm, over: threading.Event) -> None:
    if not over.wait(AFTER):
        while not over.wait(EVERY):
            bar.refresh()
        bar.clear()


class _Cell(io.StringIO):
    """A notebook's cell as a terminal of one line, which is blank in the end."""

    encoding = "utf-8"
    shown = False

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        from IPython.display import clear_output

        line = text.strip()
        if line or self.shown:
            clear_output(wait=bool(line))
        if line:
            print(line)
        self.shown = bool(line)
        return len(text)
