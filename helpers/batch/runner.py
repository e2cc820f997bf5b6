"""The runner: notebooks into a run folder, then HTML, the scan for leaks and a summary."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import re
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from helpers import run as runs
from helpers.batch import kernels
from helpers.batch.plan import Plan, log, plan
from helpers.core import clock, parameters, privacy
from helpers.core import settings as settings_module
from helpers.core.errors import ParameterError
from helpers.core.settings import Settings
from helpers.mavera import payloads
from helpers.report import notebook_page, report
from helpers.run import STAGES
from helpers.store import rules

GO_ON = "To go on with it:"


def run(given: dict[str, Any], **options: Any) -> Plan:
    """Run the notebooks into a new run folder, or go on with one that failed.

    Parameters
    ----------
    given : dict
        Parameters by name, as text or typed.
    **options
        See :func:`helpers.batch.plan.plan`.

    Raises
    ------
    KitError
        By what the user can do about it; run.json then says ``failed``, and what was fetched and
        bought is kept.
    """
    work = plan(given, **options)
    with work.store.run_lock(), terminates(), contextlib.ExitStack() as stack:
        if work.is_new:
            born = parameters.day("run_date", work.values["run_date"])
            work.folder = runs.new_folder(work.settings.outputs, born)
            _keep_clusters_file(work)
        stack.enter_context(_logging(work))
        work.record(
            schema_version=runs.SCHEMA_VERSION,
            status="running",
            started_at=clock.now().isoformat(timespec="seconds"),
            account=work.account,
            source=work.source,
            parameters=work.values,
            window=work.window.as_dict(),
            stages={stage: {"status": "waiting"} for stage in work.stages},
            versions=_versions(),
            error=None,
        )
        try:
            stack.enter_context(_environment(work))
            _execute(work)
            _finish(work)
        except BaseException as error:
            _fail(work, error)
            raise
    return work


def _keep_clusters_file(work: Plan) -> None:
    """The run keeps its rules: a later edit of the file does not change what it was made with."""
    path = work.values.get("clusters_file")
    if path:
        found = rules._find(Path(path), None)
        shutil.copyfile(found, work.folder / found.name)
        work.values["clusters_file"] = found.name


@contextlib.contextmanager
def _environment(work: Plan):
    """What kernels inherit: where to write, which sandbox to ask, that the lock is held."""
    extra = {"VIEWER_PERSONAS_OUTPUTS": str(work.settings.outputs), "VIEWER_PERSONAS_LOCK": "held"}
    if "sandbox" in work.source.values() and not work.settings.sandbox and work.stages:
        state = work.store.folder / "sandbox.json"
        extra["VIEWER_PERSONAS_SANDBOX"] = runs.start_sandbox(state).url
    before = {name: os.environ.get(name) for name in extra}
    os.environ.update(extra)
    try:
        yield
    finally:
        runs.stop_sandboxes()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def terminates():
    """A polite end (SIGTERM) is handled like Ctrl-C: the run says that it failed."""

    def stop(*_):
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread: whoever calls handles signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _execute(work: Plan) -> None:
    """The notebooks one after another; meanwhile HTML is made and what comes next warms up."""
    count = len(work.stages)
    with kernels.kernels(work.stages) as ready, ThreadPoolExecutor(1) as renderer:
        pages = []
        for number, (stage, kernel) in enumerate(zip(work.stages, ready, strict=True), 1):
            work.say(f"[{number}/{count}] {stage}")
            if stage == STAGES[2]:  # the longest: a core is free
                renderer.submit(report.warm_up)
            output = work.folder / f"{stage}.ipynb"
            try:
                _stage(work, stage, output, kernel)
            finally:
                if output.is_file():
                    _clean_notebook(output, work)
                    pages.append(renderer.submit(notebook_page.notebook_html, output))
        for page in pages:
            page.result()


def _stage(work: Plan, stage: str, output: Path, kernel: Any) -> None:
    path = work.notebooks / output.name
    takes = kernels.parameters_of(path)
    values = {name: value for name, value in work.values.items() if name in takes}
    work.record(stages={stage: {"status": "running"}})
    begun, outcome = time.monotonic(), "failed"
    try:
        kernels.execute(path, output, {**values, "run": work.folder.name}, kernel)
        outcome = "done"
    finally:
        seconds = round(time.monotonic() - begun, 2)
        work.record(stages={stage: {"status": outcome, "seconds": seconds}})


def _finish(work: Plan) -> None:
    """Report, scan, index; only then is the run done."""
    work.record(seconds=round(time.monotonic() - work.started, 2))
    if _is_told(work.manifest):
        work.say("report.html")
        report.build(work.folder)
    _refuse_leaks(work.folder, work.settings)
    work.record(status="done")
    report.index(work.settings.outputs)
    log.info("done")


def _is_told(manifest: dict[str, Any]) -> bool:
    """Whether the last stage has run, so that there is something to report."""
    return manifest.get("stages", {}).get(STAGES[-1], {}).get("status") == "done"


def _refuse_leaks(folder: Path, settings: Settings) -> None:
    shown = runs.read_manifest(folder).get("parameters", {}).get("show_identities")
    privacy.refuse_leaks(folder, secrets=settings.secrets, emails_allowed=bool(shown))


def render(name: str) -> Path:
    """Make the HTML of a run anew: its notebooks', the report, the index.

    Raises
    ------
    ParameterError
        There is no such run.
    DataError
        The scan found what must not be there.
    """
    settings = settings_module.load()
    folder = settings.outputs / name
    known = runs.read_manifest(folder) if parameters.RUN_NAME.match(name) else {}
    if not known:
        raise ParameterError(
            f"There is no run {name!r} in {settings.outputs.name}/. `viewer-personas runs` lists "
            "those there are."
        )
    for path in sorted(folder.glob("0*.ipynb")):
        notebook_page.notebook_html(path)
    page = report.build(folder) if _is_told(known) else folder
    _refuse_leaks(folder, settings)
    report.index(settings.outputs)
    return page


def _fail(work: Plan, error: BaseException) -> None:
    """Write down that the run failed and why; the traceback goes to the run's log alone."""
    log.error("failed", exc_info=error)
    message = "Interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
    told = {"kind": type(error).__name__, "message": privacy.plain(message, work.folder)}
    for stage, facts in work.manifest.get("stages", {}).items():
        if facts.get("status") == "running":
            work.record(stages={stage: {"status": "failed"}})
    work.record(status="failed", seconds=round(time.monotonic() - work.started, 2), error=told)
    name = work.folder.name
    error.add_note(
        f"Run {name} failed; its log is {shown(work.folder / 'run.log')}. "
        f"{GO_ON} viewer-personas run --resume {name}{settings_module.flag(work.settings.outputs)}"
    )
    try:
        _refuse_leaks(work.folder, work.settings)
        report.index(work.settings.outputs)
    except Exception as other:  # the first error decides the exit status
        error.add_note(str(other))


def shown(path: Path) -> str:
    """A path as short as it can be said to whoever works in the current folder."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _clean_notebook(path: Path, work: Plan) -> None:
    """Take this machine's paths out of an executed notebook, and people out of its errors."""
    known = json.loads(path.read_text("utf-8"))
    for output in (out for cell in known["cells"] for out in cell.get("outputs", ())):
        if output["output_type"] == "error":  # an error may quote a value
            output["evalue"] = privacy.plain(output["evalue"], work.folder)
            output["traceback"] = [privacy.plain(line, work.folder) for line in output["traceback"]]
    written = known["metadata"].get("papermill", {})
    written |= {"input_path": f"notebooks/{path.name}", "output_path": path.name}
    text = json.dumps(known, indent=1, ensure_ascii=False) + "\n"
    path.write_text(privacy.relative(text, work.folder), "utf-8")


class _Formatter(logging.Formatter):
    """Lines for a log that holds nothing personal."""

    converter = time.gmtime

    def __init__(self, folder: Path):
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self.folder = folder

    def format(self, record: logging.LogRecord) -> str:
        return privacy.plain(super().format(record), self.folder)


@contextlib.contextmanager
def _logging(work: Plan):
    """run.log of the run folder: our lines, papermill's and tracebacks."""
    handler = logging.FileHandler(work.folder / "run.log", encoding="utf-8")
    handler.setFormatter(_Formatter(work.folder))
    handler.handleError = lambda record: None  # a full disk is told once, by the run itself
    loggers = [log, logging.getLogger("papermill"), logging.getLogger("traitlets")]
    before = [(known.level, known.propagate) for known in loggers]
    for known in loggers:
        known.addHandler(handler)
        known.setLevel(logging.INFO if known is log else logging.WARNING)
        known.propagate = False
    try:
        yield
    finally:
        for known, (level, propagate) in zip(loggers, before, strict=True):
            known.removeHandler(handler)
            known.setLevel(level)
            known.propagate = propagate
        handler.close()


def _versions() -> dict[str, str]:
    names = ("viewer-personas", "pandas", "duckdb", "pyarrow", "papermill")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in names}


def summary(folder: Path) -> list[str]:
    """What a run ends by printing: counts, clusters, Mave's first lines, credits, the report."""
    known = runs.read_manifest(folder)
    counts, window = known.get("counts", {}), known["window"]
    lines = [
        f"Run {folder.name} · account {known['account']} · "
        f"{window['start_date']} to {window['end_date']}",
        " · ".join(
            f"{name.replace('_', ' ')}: {counts[name]:,}"
            for name in ("visitors", "sessions", "viewers")
            if name in counts
        ),
    ]
    if counts.get("viewers") == 0:
        lines.append("No viewers in the window: nothing to cluster, nothing to buy.")
    elif not any(known.get("fetch", {}).get("sessions", {}).get(k, 1) for k in ("new", "changed")):
        lines.append("No new sessions since the last run.")
    lines += _table(folder / "data" / "clusters.csv")
    lines += _advice(folder / "data" / "analysis.json", known.get("source", {}).get("mavera"))
    if "credits" in known:
        kind = "play credits of the sandbox" if known["source"]["mavera"] == "sandbox" else "Mavera"
        lines.append(f"Credits spent: {known['credits'].get('spent', 0):,} ({kind})")
    page = folder / "report.html"
    lines += notices(folder)
    lines.append(f"Report: {shown(page)}" if page.is_file() else f"Folder: {shown(folder)}")
    return [line for line in lines if line]


def notices(folder: Path) -> list[str]:
    """What the reader of a done run has to know, or to do."""
    known, lines = runs.read_manifest(folder), []
    for name, values in known.get("unmatched", {}).items():
        if values:
            whom = "no session has" if name == "media_ids" else "no viewer's e-mail has"
            lines.append(f"Warning: {name}: {whom} {', '.join(values)}. Check the spelling.")
    live = known.get("source", {}).get("mavera") == "live"
    budget, credits = known.get("parameters", {}).get("max_credits"), known.get("credits") or {}
    if live and "bill" in credits and not budget and not credits.get("spent"):
        bill = credits["bill"]
        lines.append(f"Nothing was bought: max_credits is 0. The bill: {bill:,} credits at most.")
        lines[-1] += f" To buy: --max-credits {bill}" if bill else ""
    if live and (_json(folder / "data" / "personas.json").get("bill") or {}).get("auto_recharge"):
        lines.append(
            "Warning: auto-recharge is on at Mavera: it buys credits by itself when they run low."
        )
    if _json(folder / "data" / "analysis.json").get("status") == "clarifying":
        lines.append(
            "Mave asked back instead of answering: there is no advice in this run. "
            "See 05_mave_analysis.html."
        )
    return lines


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _table(path: Path) -> list[str]:
    if not path.is_file():
        return []
    table = pd.read_csv(path)
    for name in ("share", "identified_share"):
        table[name] *= 100
    table = table.rename(columns={"share": "share %", "identified_share": "identified %"})
    return table.to_string(index=False, float_format="%.1f", na_rep="-").splitlines()


def _advice(path: Path, source: str | None) -> list[str]:
    """The first lines of what Mave said, without its headings, and who wrote them."""
    known = _json(path)
    answer, asks = known.get("answer") or "", known.get("status") == "clarifying"
    lines = [line.strip() for line in answer.splitlines()]
    lines = [line for line in lines if line]
    said = [line for line in lines if not re.match(r"#{1,6}\s", line)] or lines
    text = [payloads.clean(line.strip("#*-> \t").replace("**", ""), 160) for line in said]
    first = [line for line in text if line][:3]
    writer = "simulated by the sandbox" if source == "sandbox" else "written by AI"
    return (
        [f"Mave{' asks' if asks else ''} ({writer}):", *(f"  {line}" for line in first)]
        if first
        else []
    )
