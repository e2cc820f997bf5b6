"""The runner: notebooks into a run folder, then HTML, the scan for leaks and the index."""

import logging
import os
import platform
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat

from helpers.batch import kernels, notify
from helpers.batch.plan import Plan, find_run, log, plan
from helpers.core import clock, privacy, settings as settings_module
from helpers.core.folders import REPORTED_AFTER, STAGES, new_folder, read_manifest
from helpers.core.parameters import parse_day
from helpers.report import notebook_page, report
from helpers.run import Run
from helpers.sandbox.process import stop_sandboxes
from helpers.store import rules

GO_ON = "To go on with it:"
LIBRARIES = ("viewer-personas", "pandas", "duckdb", "pyarrow", "papermill")


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
    with work.run.store.run_lock():
        if work.run.folder == work.run.settings.outputs:  # it has no folder of its own yet
            work.run = _in_new_folder(work.run)
        log_file = _RunLog(work.run.folder / "run.log", encoding="utf-8")
        logging.basicConfig(handlers=[log_file], force=True)  # in the place of an earlier run's
        log.setLevel(logging.INFO)
        work.run.record(
            **work.run.facts(),
            status="running",
            started_at=clock.now().isoformat(timespec="seconds"),
            stages={stage: {"status": "waiting"} for stage in work.stages},
            versions={"python": platform.python_version()}
            | {name: metadata.version(name) for name in LIBRARIES},
            error=None,
        )
        try:
            _execute(work)
            _finish(work)
        except BaseException as error:
            _fail(work, error)
            raise
        finally:
            stop_sandboxes()
            notify.send(work.run.settings, work.run.folder)
    return work


def _in_new_folder(run: Run) -> Run:
    """The run in a folder of its own, which keeps its clusters file: later edits change nothing."""
    folder = new_folder(run.settings.outputs, parse_day(run.params.run_date))
    values = run.params.model_dump(exclude_unset=True)
    if run.params.clusters_file:
        source = rules.find_file(Path(run.params.clusters_file), None)
        shutil.copyfile(source, folder / source.name)
        values["clusters_file"] = source.name
    if run.params.sessions_file:  # relative: papermill writes parameters into the notebooks
        values["sessions_file"] = os.path.relpath(run.params.sessions_file)
    return Run(run.stage, folder, run.settings, type(run.params).check(values), source=run.source)


def _execute(work: Plan) -> None:
    """The notebooks one after another; meanwhile their HTML is made and what is next warms up."""
    run, count = work.run, len(work.stages)
    # Kernels write where this process says, and the lock is held for them.
    told = {"VIEWER_PERSONAS_OUTPUTS": str(run.settings.outputs), "VIEWER_PERSONAS_LOCK": "held"}
    if count and "sandbox" in (run.source.wistia, run.source.mavera):
        told["VIEWER_PERSONAS_SANDBOX"] = run.sandbox_url()
    given = run.params.model_dump(exclude_unset=True) | {"run": run.folder.name}
    with kernels.start_kernels(work.stages, told) as ready, ThreadPoolExecutor(1) as renderer:
        pages = []
        for number, (stage, kernel) in enumerate(zip(work.stages, ready, strict=True), 1):
            work.say(f"[{number}/{count}] {stage}")
            run.record(stages={stage: {"status": "running"}})
            output, begun = run.folder / f"{stage}.ipynb", time.monotonic()
            try:
                kernels.execute(work.notebooks / output.name, output, given, kernel)
            except BaseException:
                run.record(stages={stage: {"status": "failed"}})
                raise
            finally:
                if output.is_file():
                    _clean_notebook(output)
                    pages.append(renderer.submit(notebook_page.notebook_html, output))
            seconds = round(time.monotonic() - begun, 2)
            run.record(stages={stage: {"status": "done", "seconds": seconds}})
        for page in pages:
            page.result()


def _publish(settings: settings_module.Settings, folder: Path) -> Path | None:
    """The report, where the stages that it is made of are done; then the scan for leaks."""
    manifest = read_manifest(folder)
    page = report.build(folder) if manifest.is_done(REPORTED_AFTER) else None
    is_named = bool(manifest.parameters.get("show_identities"))
    privacy.refuse_leaks(folder, secrets=settings.secrets, emails=is_named)
    return page


def _finish(work: Plan) -> None:
    """Report, scan, index; only then is the run done."""
    run = work.run
    run.record(seconds=round(time.monotonic() - work.started, 2))
    if run.manifest().is_done(REPORTED_AFTER):
        work.say("report.html")
    _publish(run.settings, run.folder)
    run.record(status="done")
    report.index(run.settings.outputs)
    log.info("done")


def _fail(work: Plan, error: BaseException) -> None:
    """Write down that the run failed and why; the traceback goes to the run's log alone."""
    run, name = work.run, work.run.folder.name
    log.error("failed", exc_info=error)
    message = "Interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
    reason = {"kind": type(error).__name__, "message": privacy.plain(message, run.folder)}
    run.record(status="failed", seconds=round(time.monotonic() - work.started, 2), error=reason)
    again = settings_module.command(f"run --resume {name}", run.settings.outputs)
    log_file = settings_module.shown(run.folder / "run.log")
    error.add_note(f"Run {name} is not finished; its log is {log_file}. {GO_ON} {again}")
    try:
        _publish(run.settings, run.folder)  # what comes after the report is an addition
        report.index(run.settings.outputs)
    except Exception as other:  # the first error decides the exit status
        error.add_note(str(other))


def render(name: str, *, pdf: bool = False) -> str:
    """Make the HTML of a run anew; returns where the report is, or why there is none.

    Raises
    ------
    ParameterError
        There is no such run.
    ServiceError
        A PDF is asked for, and there is no chromium.
    DataError
        The scan found what must not be there.
    """
    settings = settings_module.load()
    folder, manifest = find_run(settings, name)
    for path in sorted(folder.glob("0*.ipynb")):
        notebook_page.notebook_html(path)
    page = _publish(settings, folder)
    report.index(settings.outputs)
    if page is None:
        stopped = next(stage for stage in STAGES if not manifest.is_done(stage))
        return f"There is no report: run {name} stopped at {stopped}."
    return f"Report: {settings_module.shown(report.render_pdf(page) if pdf else page)}"


def _clean_notebook(path: Path) -> None:
    """Take this machine's paths out of an executed notebook, and people out of its errors."""
    book, folder = nbformat.read(path, as_version=4), path.parent
    for output in (output for cell in book.cells for output in cell.get("outputs", ())):
        if output["output_type"] == "error":  # an error may quote a value
            output["evalue"] = privacy.plain(output["evalue"], folder)
            output["traceback"] = [privacy.plain(line, folder) for line in output["traceback"]]
    paths = {"input_path": f"notebooks/{path.name}", "output_path": path.name}
    book.metadata.setdefault("papermill", {}).update(paths)
    path.write_text(privacy.relative(nbformat.writes(book), folder) + "\n", "utf-8")


class _RunLog(logging.FileHandler):
    """run.log: our lines, warnings of the libraries and tracebacks; nothing personal."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{clock.now():%Y-%m-%d %H:%M:%S} {record.levelname} {record.getMessage()}"
        if record.exc_info:
            text += f"\n{privacy.traceback_of(record.exc_info[1])}"
        return privacy.plain(text, Path(self.baseFilename).parent)

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: a full disk is told once, by the run itself."""
