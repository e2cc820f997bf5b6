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
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from helpers import clock, gateway, notebook, notebook_page, parameters, privacy, report, rules
from helpers import run as runs
from helpers import settings as settings_module
from helpers.errors import ParameterError
from helpers.run import STAGES
from helpers.settings import Settings, project_root
from helpers.store import Store

log = logging.getLogger("viewer_personas")
CHANGEABLE = {"max_credits"}
"""What a resumed run may be given anew; the rest is as its finished stages had it."""


def typed(name: str, text: Any) -> Any:
    """A parameter's value from text; what is not text is left to the check.

    Ids stay strings: only parameters whose default is a number become one.
    """
    default = parameters.DEFAULTS.get(name)
    if not isinstance(text, str):
        return text
    if isinstance(default, bool):
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    if isinstance(default, int):
        return int(text) if re.fullmatch(r"\s*[+-]?\d{1,15}\s*", text, re.ASCII) else text
    if isinstance(default, list):
        return _listed(text)
    return text


def _listed(text: str) -> Any:
    if text.lstrip().startswith("["):
        try:
            return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
        except ValueError:
            return text
    return [item.strip() for item in text.split(",") if item.strip()]


def read_file(path: Path) -> dict[str, Any]:
    """Parameters from a YAML file, every scalar as text, so that no id becomes a number.

    Raises
    ------
    ParameterError
        The file is missing or is no YAML of names and values.
    """
    try:
        content = YAML(typ="base", pure=True).load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "strerror", None) or getattr(error, "problem", None) or "no YAML"
        raise ParameterError(
            f"Parameter file {path.name}{where}: {problem}. Expected YAML lines `name: value`."
        ) from None
    if not isinstance(content, dict):
        raise ParameterError(f"Parameter file {path.name}: expected YAML lines `name: value`.")
    return dict(content)


def chosen_stages(text: str) -> tuple[str, ...]:
    """Stages named by ``N`` or ``N-M``; all of them for nothing.

    Raises
    ------
    ParameterError
        The text names no stages.
    """
    match = re.fullmatch(r"([1-5])(?:-([1-5]))?", text.strip()) if text else re.match("", "")
    first, last = (int(match[1]), int(match[2] or match[1])) if match and text else (1, len(STAGES))
    if match is None or last < first:
        raise ParameterError(f"--stages is {text!r}. Expected N or N-M from 1 to 5, such as 2-4.")
    return STAGES[first - 1 : last]


@dataclass
class Plan:
    """A run that passed every check and has its folder: what is to be done, and where."""

    settings: Settings
    folder: Path
    account: str
    source: dict[str, str]
    window: parameters.Window
    values: dict[str, Any]
    stages: tuple[str, ...]
    notebooks: Path
    store: Store
    quiet: bool = False
    started: float = field(default_factory=time.monotonic)

    def record(self, **facts: Any) -> None:
        """Merge facts into run.json."""
        runs.record(self.folder, **facts)

    @property
    def manifest(self) -> dict[str, Any]:
        return runs.read_manifest(self.folder)

    def say(self, line: str) -> None:
        """Progress, for whoever sits before a terminal."""
        log.info(line)
        if not self.quiet and sys.stderr.isatty():
            print(line, file=sys.stderr, flush=True)


def plan(
    given: dict[str, Any],
    *,
    stages: str = "",
    resume: str = "",
    quiet: bool = False,
    notebooks: Path | None = None,
) -> Plan:
    """Check everything that can be checked before anything starts; nothing is written yet.

    Raises
    ------
    ParameterError, AccessError
        See :func:`helpers.parameters.check`, :func:`helpers.run.sources`,
        :func:`helpers.rules.load`.
    """
    notebooks = notebooks or project_root() / "notebooks"
    wanted = chosen_stages(stages)
    if "run" in given:
        raise ParameterError("The runner names the run itself. To go on with one: --resume RUN.")
    values = parameters.check({name: typed(name, text) for name, text in given.items()})
    for stage in wanted:
        notebook.parameters_of(notebooks / f"{stage}.ipynb")
    settings = settings_module.load()
    folder = settings.outputs
    if resume:
        folder, values = _resumed(settings, resume, values)
        known = runs.read_manifest(folder)
        wanted = tuple(s for s in wanted if known["stages"].get(s, {}).get("status") != "done")
    source = runs.sources(settings, values.get("source", "auto"), wanted or STAGES[:1])
    sandbox = source["wistia"] == "sandbox"
    account = "sandbox" if sandbox else settings.account
    values.setdefault("run_date", "")
    values["run_date"] = values["run_date"] or clock.today().isoformat()
    dates = {name: values.get(name, "") for name in ("run_date", "start_date", "end_date")}
    window = parameters.window(**dates, sandbox=sandbox)
    rules.load(values.get("clusters_file", ""), folder=folder if resume else None)
    if resume and known["account"] != account:
        raise ParameterError(
            f"Run {resume} belongs to account {known['account']!r}, and this is {account!r}. "
            "Set the keys it was made with, or start a new run."
        )
    done = set(STAGES) - set(wanted) if resume else set()
    if wanted and (missing := set(STAGES[: STAGES.index(wanted[0])]) - done):
        raise ParameterError(
            f"--stages {stages}: {wanted[0]} reads what {min(missing)} writes, and this run has not"
            " made it. Start from stage 1, or go on with a run that has: --resume RUN."
        )
    runs.make_outputs(settings.outputs)
    store = Store(settings.outputs / "store" / account)
    return Plan(settings, folder, account, source, window, values, wanted, notebooks, store, quiet)


def _resumed(settings: Settings, name: str, given: dict) -> tuple[Path, dict[str, Any]]:
    folder = settings.outputs / name
    known = runs.read_manifest(folder) if parameters.RUN_NAME.match(name) else {}
    if name == "dev" or not known.get("stages"):
        raise ParameterError(
            f"--resume {name}: there is no such run in {settings.outputs.name}/. "
            "`viewer-personas runs` lists those there are."
        )
    before = {**parameters.DEFAULTS, **known["parameters"]}
    for parameter, value in given.items():
        if parameter not in CHANGEABLE and value != before[parameter]:
            raise ParameterError(
                f"--resume {name}: {parameter} is {value!r}, but the run was started with "
                f"{before[parameter]!r}. Only {', '.join(CHANGEABLE)} may change; "
                "start a new run for the rest."
            )
    recorded = {k: v for k, v in known["parameters"].items() if k != "run"}
    return folder, {**recorded, **given}


def run(
    given: dict[str, Any],
    *,
    stages: str = "",
    resume: str = "",
    quiet: bool = False,
    notebooks: Path | None = None,
) -> Plan:
    """Run the notebooks into a new run folder, or go on with one that failed.

    Parameters
    ----------
    given : dict
        Parameters by name, as text or typed.
    stages : str
        ``N`` or ``N-M``; empty: all.
    resume : str
        Name of a run folder to go on with at the first stage that is not done.
    quiet : bool
        No progress lines.
    notebooks : Path, optional
        Folder of the notebooks. Default: the project's.

    Raises
    ------
    KitError
        By what the user can do about it; run.json then says ``failed``, and what was fetched and
        bought is kept.
    """
    work = plan(given, stages=stages, resume=resume, quiet=quiet, notebooks=notebooks)
    with work.store.run_lock(), _terminates(), contextlib.ExitStack() as stack:
        if not resume:
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
def _terminates():
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
    """The notebooks one after another; HTML is made, and the next kernel starts, meanwhile."""
    count = len(work.stages)
    with notebook.kernels(count) as ready, ThreadPoolExecutor(1) as renderer:
        pages = []
        for number, (stage, kernel) in enumerate(zip(work.stages, ready, strict=True), 1):
            work.say(f"[{number}/{count}] {stage}")
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
    takes = notebook.parameters_of(path)
    values = {name: value for name, value in work.values.items() if name in takes}
    work.record(stages={stage: {"status": "running"}})
    begun, outcome = time.monotonic(), "failed"
    try:
        notebook.execute(path, output, {**values, "run": work.folder.name}, kernel)
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
    told = {"kind": type(error).__name__, "message": _plain(message, work.folder)}
    for stage, facts in work.manifest.get("stages", {}).items():
        if facts.get("status") == "running":
            work.record(stages={stage: {"status": "failed"}})
    work.record(status="failed", seconds=round(time.monotonic() - work.started, 2), error=told)
    name = work.folder.name
    error.add_note(
        f"Run {name} failed; its log is {shown(work.folder / 'run.log')}. "
        f"To go on with it: viewer-personas run --resume {name}"
    )
    try:
        _refuse_leaks(work.folder, work.settings)
        report.index(work.settings.outputs)
    except Exception as other:  # the first error decides the exit status
        error.add_note(str(other))


def shown(path: Path) -> str:
    """A path as short as it can be said to whoever works in the current folder."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def relative(text: str, folder: Path | None = None) -> str:
    """Text without this machine's folders: paths start at the run, the project or ``~``."""
    outputs = folder.parent if folder else None
    places = [
        (folder, ""), (outputs, "outputs/"), (Path(sys.prefix), ".venv/"),
        (project_root(), ""), (Path(sys.base_prefix), "python/"), (Path.cwd(), ""),
        (Path.home(), "~/"),
    ]  # fmt: skip
    for place, name in places:
        for form in {str(place), str(place.resolve())} if place and str(place) != "/" else ():
            text = text.replace(f"{form}/", name)
    return text


def _clean_notebook(path: Path, work: Plan) -> None:
    """Take this machine's paths out of an executed notebook, and people out of its errors."""
    known = json.loads(path.read_text("utf-8"))
    for output in (out for cell in known["cells"] for out in cell.get("outputs", ())):
        if output["output_type"] == "error":  # an error may quote a value
            output["evalue"] = _plain(output["evalue"], work.folder)
            output["traceback"] = [_plain(line, work.folder) for line in output["traceback"]]
    written = known["metadata"].get("papermill", {})
    written |= {"input_path": f"notebooks/{path.name}", "output_path": path.name}
    text = json.dumps(known, indent=1, ensure_ascii=False) + "\n"
    path.write_text(relative(text, work.folder), "utf-8")


def _plain(text: str, folder: Path) -> str:
    """Text without folders of this machine, e-mails and colours."""
    return privacy.EMAIL.sub("(e-mail)", relative(re.sub("\x1b\\[[0-9;]*m", "", text), folder))


class _Formatter(logging.Formatter):
    """Lines for a log that holds nothing personal."""

    converter = time.gmtime

    def __init__(self, folder: Path):
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self.folder = folder

    def format(self, record: logging.LogRecord) -> str:
        return _plain(super().format(record), self.folder)


@contextlib.contextmanager
def _logging(work: Plan):
    """run.log of the run folder: our lines, papermill's and tracebacks."""
    handler = logging.FileHandler(work.folder / "run.log", encoding="utf-8")
    handler.setFormatter(_Formatter(work.folder))
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
    lines += _table(folder / "data" / "clusters.csv") + _advice(folder / "data" / "analysis.json")
    if "credits" in known:
        kind = "play credits of the sandbox" if known["source"]["mavera"] == "sandbox" else "Mavera"
        lines.append(f"Credits spent: {known['credits'].get('spent', 0):,} ({kind})")
    page = folder / "report.html"
    lines.append(f"Report: {shown(page)}" if page.is_file() else f"Folder: {shown(folder)}")
    return [line for line in lines if line]


def _table(path: Path) -> list[str]:
    if not path.is_file():
        return []
    table = pd.read_csv(path)
    percent = {name: table[name] * 100 for name in ("share", "identified_share") if name in table}
    return table.assign(**percent).to_string(index=False, float_format="%.1f").splitlines()


def _advice(path: Path) -> list[str]:
    if not path.is_file():
        return []
    answer = json.loads(path.read_text("utf-8")).get("answer") or ""
    text = [gateway.clean(line.strip("#*-> \t"), 160) for line in answer.splitlines()]
    first = [line for line in text if line][:3]
    return ["Mave (written by AI):", *(f"  {line}" for line in first)] if first else []
