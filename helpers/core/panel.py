"""An error in a notebook as a panel to read: what, where, expected, what to do; no traceback.

IPython asks an exception for ``_render_traceback_``. So the panel is the cell's error output, the
cell still fails, and class and message stay what papermill, nbval and the runner read.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import textwrap
import traceback
from pathlib import Path

from helpers.core import clock, parameters, privacy, settings
from helpers.core.errors import KitError

WIDTH = 88  # characters, so that a panel fits beside JupyterLab's side bar
LABELS = ("What", "Where", "Expected", "What to do")
EXPECTED = re.compile(
    r"(A run whose|Columns are|Expected|It has|It may have|It needs|Only|Thresholds are)\b"
)
DO = re.compile(
    r"`|(Add|Allow|Ask|Check|Choose|Correct|Delete|Did you mean|Free|Give|Go on|If|Install|Look|"
    r"Make|Put|Restore|Run|Set|Shorten|Start|The kit needs|To go on|Two addresses|Use|Wait)\b"
)
DO_BESIDE = re.compile(r"; (?=(?:delete|do not|run|send|start|wait)\b)")
_SENTENCES = re.compile(r"(?<=[.?!])\s+(?=[A-Z`])")
_HERE = Path(__file__).resolve().parents[1]
SEE = "Look the message up in docs/troubleshooting.md."
_open = {"stage": "", "run": ""}


def install(stage: str, run: str) -> None:
    """From now on errors of the kit are shown as panels, and their tracebacks go to a log.

    Parameters
    ----------
    stage : str
        Notebook, such as ``"03_cluster"``.
    run : str
        Name of its run folder; empty: ``dev``.
    """
    _open.update(stage=stage, run=run)
    KitError._render_traceback_ = render


def parts(message: str) -> dict[str, str]:
    """A message taken apart: What, Expected, What to do; a part that it lacks is left out.

    Sentences tell by their first words where they belong; others go with the one before them.
    """
    first, *more = _SENTENCES.split(message.strip())
    found, label = {"What": first}, "What"
    for sentence in more:
        if EXPECTED.match(sentence):
            label = "Expected"
        elif DO.match(sentence):
            label = "What to do"
        elif label == "Expected":
            label = "What"
        found[label] = f"{found.get(label, '')} {sentence}".strip()
    for label in () if "What to do" in found else ("Expected", "What"):
        text, *rest = DO_BESIDE.split(found.get(label, ""), maxsplit=1)
        if rest:
            found |= {label: f"{text}.", "What to do": rest[0][0].upper() + rest[0][1:]}
            break
    return found


def render(error: BaseException) -> list[str]:
    """Lines that stand in a notebook in the place of a traceback, which goes to the run's log."""
    if not hasattr(error, "_panel"):  # IPython asks twice, and the log is written once
        error._panel = _rendered(error)
    return error._panel


def _rendered(error: BaseException) -> list[str]:
    told = parts(privacy.plain(str(error), _folder()))
    told.setdefault("What to do", "Correct it and run again." if "Expected" in told else SEE)
    told["Expected"] = told.get("Expected", "").removeprefix("Expected ")
    told["Where"] = ", ".join(place for place in (_open["stage"], _cell(error)) if place)
    told["Traceback"] = _write_down(error)
    lines = [f"\x1b[1;31m{type(error).__name__.lstrip('_')}\x1b[0m"]
    for name in (*LABELS, "Traceback"):
        if told[name]:
            text = textwrap.wrap(
                told[name], WIDTH - 12, break_long_words=False, break_on_hyphens=False
            )
            lines.append(f"\x1b[1m{name:<12}\x1b[0m" + ("\n" + " " * 12).join(text))
    return lines


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
        known = bool(parameters.RUN_NAME.match(name)) and (outputs / name).is_dir()
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
