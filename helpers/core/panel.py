"""What a notebook adds to an error: the cell that led to it, and its traceback in the run's log."""

from __future__ import annotations

import contextlib
import itertools
import re
import traceback
from pathlib import Path

from helpers.core import clock, errors, privacy, settings
from helpers.core.errors import KitError
from helpers.core.parameters import RUN_NAME

_HERE = Path(__file__).resolve().parents[1]
_open = {"stage": "", "run": ""}


def install(stage: str, run: str) -> None:
    """From now on errors name the cell that led to them, and their tracebacks go to a log.

    Parameters
    ----------
    stage : str
        Notebook, such as ``"03_cluster"``.
    run : str
        Name of its run folder; empty: ``dev``.
    """
    _open.update(stage=stage, run=run)
    errors.explain_in_notebook = _explain


def _explain(error: KitError) -> dict[str, str]:
    folder = _folder()
    places = (error.where, _open["stage"], _cell(error))
    return {
        "What": privacy.plain(error.what, folder),
        "Where": privacy.plain(", ".join(place for place in places if place), folder),
        "Traceback": _write_down(error),
    }


def _cell(error: BaseException) -> str:
    """The line of the cell that led here: the last one before the kit's own."""
    frames = traceback.extract_tb(error.__traceback__)
    outside = list(
        itertools.takewhile(lambda f: not Path(f.filename).is_relative_to(_HERE), frames)
    )
    line = " ".join((outside[-1].line or "").split()) if outside else ""
    return line if len(line) <= 60 else f"{line[:59]}…"


def _folder() -> Path | None:
    """The run folder that is worked in; dev where its name is wrong or there is none."""
    with contextlib.suppress(KitError, OSError):
        outputs, name = settings.load().outputs, str(_open["run"])
        known = bool(RUN_NAME.match(name)) and (outputs / name).is_dir()
        return outputs / (name if known else "dev")
    return None


def _write_down(error: BaseException) -> str:
    """Append the traceback to run.log, without what is personal; the log's place, or nothing."""
    folder = _folder()
    if folder is None:
        return ""
    text = "".join(traceback.format_exception(error)).rstrip()
    text = re.sub(r'"[^"]*ipykernel_[^"]*"', '"cell"', text)  # a file that is there for an hour
    stamp = clock.now().strftime("%Y-%m-%d %H:%M:%S")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "run.log").open("a", encoding="utf-8") as file:
            file.write(f"{stamp} ERROR {_open['stage']}: {privacy.plain(text, folder)}\n")
    except OSError:
        return ""
    return "/".join((*folder.parts[-2:], "run.log"))
