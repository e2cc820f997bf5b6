"""HTML to share: the report of a run, the index of all runs, and the notebooks beside them.

``report.json`` is written first; the page is made from it alone. No page holds a script or asks
anything of the network, and each says so to the browser.
"""

from __future__ import annotations

import functools
import json
from datetime import date
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from helpers import plots
from helpers.core import tables
from helpers.core.files import write_json
from helpers.core.folders import Manifest, describe_state, given_parameters, newest_first
from helpers.core.tables import NBSP
from helpers.findings.disclosure import share_of, span, whole_percent
from helpers.report import data
from helpers.report.pages import environment, headings_in_order

CONTENTS = {
    "answer": "Answer", "clusters": "Clusters", "content": "Content", "change": "Change",
    "people": "People", "personas": "Personas", "advice": "Mave’s advice",
    "stability": "How sure", "method": "Method", "stamp": "Stamp",
}  # fmt: skip
NAMES = {
    "next_video": "Next video to send", "videos": "Completion against length",
    "migration": "Who moved", "causes": "Why the shares differ", "look_back": "Looking back",
    "kinds": "Kinds of conversion", "discovery": "Clusters the data show by themselves",
    "stage_seconds": "Seconds of each stage", "rules": "Clusters file",
    "period": "Against the period before", "sensitivity": "If a threshold moved by a step",
    "visits": "One-time and repeat visitors", "finishers": "Good leads the rules miss",
    "cross": "Rules against the data", "evidence": "How many clusters",
}  # fmt: skip
STATUS = {
    "draft": "draft, not bought", "bought": "new at Mavera", "reused": "reused",
    "updated": "updated", "sandbox": "simulated",
}  # fmt: skip


def warm_up() -> None:
    """What the first report takes longer for: templates are compiled, slow modules imported."""
    import scipy.optimize  # noqa: F401

    from helpers.mavera import answers  # noqa: F401

    for name in ("macros.html.j2", "report.html.j2", "index.html.j2"):
        _environment().get_template(name)


def build(folder: Path) -> Path:
    """Write ``report.json``, then ``report.html`` from it.

    Parameters
    ----------
    folder : Path
        A run folder; only its files are read.

    Returns
    -------
    Path of the page.

    Raises
    ------
    DataError
        See :func:`helpers.report.data.gather`.
    """
    write_json(folder / "report.json", data.gather(folder))
    page = folder / "report.html"
    page.write_text(render(json.loads((folder / "report.json").read_text("utf-8"))), "utf-8")
    return page


def render(facts: dict[str, Any]) -> str:
    """The page of a report.json."""
    looks = plots.looks(row["cluster"] for row in facts["clusters"]["rows"])
    html = (
        _environment()
        .get_template("report.html.j2")
        .render(**facts, contents=CONTENTS.items(), look=lambda name: looks.get(name, 7))
    )
    return headings_in_order(html)


def index(outputs: Path) -> Path:
    """Write ``index.html``: all runs from their run.json, by account, newest first.

    Parameters
    ----------
    outputs : Path
        The outputs folder; ``dev`` is no run. Folders in it that are outputs folders of accounts
        of their own are listed too.
    """
    accounts: dict[str, list[dict[str, Any]]] = {}
    for place in (outputs, *sorted(outputs.glob("*/"))):
        for folder, manifest in newest_first(place):
            name = manifest.account or "not known"
            if place != outputs and name != place.name:
                name = f"{place.name} ({name})"
            row = _run_row(folder, manifest) | {"place": folder.relative_to(outputs).as_posix()}
            accounts.setdefault(name, []).append(row)
    page = outputs / "index.html"
    page.write_text(_environment().get_template("index.html.j2").render(accounts=accounts), "utf-8")
    return page


def _run_row(folder: Path, about: Manifest) -> dict[str, Any]:
    manifest = about.model_dump(exclude_unset=True)
    status = manifest.get("status", "not readable")
    said = status  # this page is read later, so nothing is said to be running
    if status == "done":
        said = describe_state(folder, about, lambda account: False)
    error = manifest.get("error") or {}
    stopped = [name for name, stage in manifest.get("stages", {}).items()
               if stage.get("status") in ("failed", "running")]  # fmt: skip
    links = [path.name for path in sorted(folder.glob("0*.html"))]
    return {
        "run": folder.name, "status": status, "state": said, "choices": given_parameters(about),
        "window": manifest.get("window"),
        "source": manifest.get("source", {}), "counts": manifest.get("counts", {}),
        "clusters": manifest.get("clusters", {}),
        "credits": {"spent": (manifest.get("credits") or {}).get("spent")},
        "reason": error.get("message") if isinstance(error, dict) else str(error),
        "invented": manifest.get("account") == "sandbox",
        "stopped": stopped, "links": links, "report": (folder / "report.html").is_file(),
    }  # fmt: skip


@functools.cache
def _environment() -> jinja2.Environment:
    made = environment()
    made.filters.update(
        count=_count, percent=whole_percent, mean=_mean, day=_day, run_day=_run_day,
        sentence=tables.sentence,
    )  # fmt: skip
    made.globals.update(
        span=span, share=share_of, at=_at, cell=tables.cell, table_columns=_table_columns,
        prose=_prose, flat=tables.flat, confidence=_confidence, max_of=_max_of,
        max_reach=_max_reach, matrix_top=_matrix_top,
        name_of=lambda key: NAMES.get(key, str(key).replace("_", " ").capitalize()),
        status_of=lambda status: STATUS.get(status, status),
        dict_of=lambda rows: {row["cluster"]: row["title"] for row in rows},
        run_number=lambda run: run.partition(".")[2] or "1",
    )  # fmt: skip
    return made


def _count(value: Any) -> str:
    return "–" if value is None else f"{value:,}"


def _mean(value: float | None, digits: int = 1, unit: str = "") -> str:
    return "–" if value is None else f"{value:.{digits}f}{unit.replace(' ', NBSP)}"


def _day(text: str) -> str:
    moment = date.fromisoformat(text[:10])
    return f"{moment.day}{NBSP}{moment:%B}{NBSP}{moment.year}"


def _run_day(run: str) -> str:
    try:
        born, _, number = run.partition(".")
        return _day(born).replace(NBSP, " ") + (f", run {number}" if number else "")
    except ValueError:
        return run


def _at(value: float, top: float) -> str:
    """A length in percent of an axis that leaves room for labels."""
    return f"{value / top * 82:.2f}%"


def _max_of(rows: list[dict], key: str) -> float:
    return max((row[key] for row in rows if row[key]), default=1)


def _max_reach(videos: list[dict]) -> float:
    return max((cell["reach"] for video in videos for cell in video["cells"] if cell), default=1)


def _matrix_top(part: dict[str, Any]) -> int:
    return max((value for row in part["rows"] for value in row.values()
                if isinstance(value, int)), default=1) or 1  # fmt: skip


def _prose(text: str | None, unsupported: list[str]) -> Markup:
    from helpers.mavera import answers

    return Markup(answers.markdown_html(text or "", unsupported))


def _confidence(known: dict[str, Any]) -> str:
    """What Mavera says of its own answer."""
    said = [f"confidence {known['score']:g} of 1"] if known.get("score") is not None else []
    said += [f"risk of error: {known['risk']}"] if known.get("risk") else []
    claimed = "; ".join(known.get("unsupported_claims") or [])
    said += [f"claims it could not support: {claimed}"] if claimed else []
    return f"Mave’s own judgement: {'; '.join(said)}." if said else ""


def _table_columns(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**column, "label": tables.sentence(column["label"])}
            for column in tables.columns(part["columns"], part["rows"])]  # fmt: skip
