"""Progress while something takes longer than two seconds; afterwards nothing is left of it."""

import contextlib
import os
import time
from collections.abc import Iterator

from tqdm import tqdm

AFTER = 2.0  # seconds


@contextlib.contextmanager
def progress(what: str, unit: str = "", total: int | None = None) -> Iterator[tqdm]:
    """A bar on a terminal and in JupyterLab; in a run by papermill, or into a file, nothing.

    Parameters
    ----------
    what : str
        What is being done.
    unit : str
        What ``bar.update(n)`` counts; empty: a wait that has no steps, told at once.
    total : int, optional
        How many there will be.
    """
    # Set in kernels that Jupyter's server started, before whose notebook somebody sits.
    in_notebook = "JPY_SESSION_NAME" in os.environ
    delay, begun = AFTER if unit else 0, time.monotonic()
    options = {"unit": f" {unit}", "bar_format": None if unit else "{desc} …", "ncols": 80}
    hidden = False if in_notebook else None  # None: where nobody looks
    try:
        with tqdm(None, what, total, False, delay=delay, disable=hidden, **options) as bar:
            yield bar
    finally:
        if in_notebook and time.monotonic() - begun >= delay:
            from IPython.display import clear_output

            clear_output()
