"""A run: its folder, its window, its account, and the two services it talks to."""

from __future__ import annotations

import contextlib
import json
import stat
import tempfile
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import SecretStr

from helpers.core import panel, parameters, tables
from helpers.core import settings as settings_module
from helpers.core.errors import AccessError, DataError, ParameterError
from helpers.core.files import write_json
from helpers.core.parameters import Window
from helpers.core.settings import MAVERA_BASE_URL, WISTIA_BASE_URL, Settings
from helpers.sandbox.process import Sandbox
from helpers.store.store import Store

STAGES = ("01_fetch", "02_enrich", "03_cluster", "04_personas", "05_mave_analysis")
SCHEMA_VERSION = 1
_sandboxes: dict[Path, Sandbox] = {}


def sources(settings: Settings, source: str, stages: tuple[str, ...] = STAGES) -> dict[str, str]:
    """Which service is live and which is the sandbox.

    Raises
    ------
    ParameterError
        A base URL is set without its key.
    AccessError
        ``source`` is live and a key that the stages need is missing.
    """
    if source == "sandbox":
        return {"wistia": "sandbox", "mavera": "sandbox"}
    keys = {
        "wistia": (settings.wistia_api_token, settings.wistia_base_url, "WISTIA_API_TOKEN"),
        "mavera": (settings.mavera_api_key, settings.mavera_base_url, "MAVERA_API_KEY"),
    }
    needs = {"wistia": set(STAGES[:3]) & set(stages), "mavera": set(STAGES[3:]) & set(stages)}
    found = {}
    for service, (key, address, name) in keys.items():
        if address and not key:
            raise ParameterError(
                f"{service.upper()}_BASE_URL is set but {name} is not: an address needs its key. "
                f"Set {name} in the environment or .env, or unset the address."
            )
        if source == "live" and not key and needs[service]:
            raise AccessError(
                f"source is live, but {name} is not set. Set it in the environment or .env, "
                "or choose source auto or sandbox."
            )
        found[service] = "live" if key else "sandbox"
    return found


def newest_first(outputs: Path, account: str | None = None) -> list[tuple[Path, dict]]:
    """Run folders with their run.json, newest first, numerically; ``dev`` is no run."""
    runs = []
    for path in outputs.glob("*/run.json"):
        name = path.parent.name
        if name == "dev" or not parameters.RUN_NAME.match(name):
            continue
        manifest = read_manifest(path.parent)
        if account is None or manifest.get("account") == account:
            born, _, number = name.partition(".")
            runs.append(((born, int(number or 1)), path.parent, manifest))
    return [(folder, manifest) for _, folder, manifest in sorted(runs, reverse=True)]


def read_manifest(folder: Path) -> dict[str, Any]:
    """run.json of a folder; empty when there is none or it is torn."""
    try:
        return json.loads((folder / "run.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def state(folder: Path, manifest: dict[str, Any]) -> str:
    """The status of a run in words: also which stages were asked for, and whether it still works.

    Returns
    -------
    str: ``done``, ``done, stages 1-3``, ``failed``, ``running``, or ``stopped`` for a run that was
    killed before it could write down that it failed.
    """
    status = str(manifest.get("status", "?"))
    if status == "running":
        account = str(manifest.get("account"))
        starts = [
            str(known.get("started_at", "")) for _, known in newest_first(folder.parent, account)
            if known.get("status") == status
        ]  # fmt: skip
        newest = str(manifest.get("started_at", "")) == max(starts, default="")
        works = newest and Store(folder.parent / "store" / account).is_held()
        return status if works else "stopped"
    asked = [int(stage[1]) for stage in manifest.get("stages", {}) if stage in STAGES]
    if status == "done" and asked and len(asked) < len(STAGES):
        part = f"{min(asked)}-{max(asked)}" if len(asked) > 1 else f"{asked[0]}"
        return f"done, stage{'s' if len(asked) > 1 else ''} {part}"
    return status


def choices(manifest: dict[str, Any]) -> list[str]:
    """What sets a run apart beside its window: ``name=value`` of parameters that were given."""
    given = manifest.get("parameters", {})
    return [
        f"{name}={','.join(value) if isinstance(value, list) else value}"
        for name, value in given.items()
        if name not in ("run", "run_date", "start_date", "end_date")
        and value != parameters.DEFAULTS.get(name)
    ]


def record(folder: Path, **facts: Any) -> None:
    """Merge facts into run.json of a folder; dictionaries merge key by key."""
    write_json(folder / "run.json", _merged(read_manifest(folder), facts))


def make_outputs(outputs: Path) -> None:
    """Make the outputs folder, open to its owner alone.

    Raises
    ------
    ParameterError
        It cannot be made or written.
    """
    try:
        if not outputs.exists():
            outputs.mkdir(parents=True)
            (outputs / ".gitignore").write_text("*\n", "utf-8")  # people's data are in it
        outputs.chmod(stat.S_IRWXU)
        with tempfile.TemporaryFile(dir=outputs):
            pass
    except OSError as error:
        raise ParameterError(
            f"The outputs folder {outputs} cannot be written: {error.strerror or error}. "
            "Choose another with --outputs or VIEWER_PERSONAS_OUTPUTS."
        ) from None


class Run:
    """One run folder and all that a stage needs to know to work in it.

    Attributes
    ----------
    stage : str
        Notebook that opened it, such as ``"03_cluster"``.
    folder : Path
    account : str
    source : dict
        ``{"wistia": "live" or "sandbox", "mavera": ...}``.
    window : Window
    params : dict
        Every parameter of the kit: as given, else as recorded, else its default.
    store : Store
    """

    def __init__(self, stage: str, folder: Path, settings: Settings, given: dict[str, Any]):
        self.stage, self.folder, self.settings = stage, folder, settings
        known = read_manifest(folder)
        recorded = known.get("parameters", {}) if known else {}
        chosen = {**recorded, **given}
        self.source = sources(settings, chosen.get("source", "auto"), (stage,))
        self.account = "sandbox" if self.source["wistia"] == "sandbox" else settings.account
        if known and known.get("account") != self.account:
            if not self.is_dev:
                raise ParameterError(
                    f"Run {folder.name} belongs to account {known.get('account')!r}, and this is "
                    f"{self.account!r}. Set the keys it was made with, or start a new run."
                )
            known, recorded = self._start_dev_afresh(), {}
        if self.is_dev and not known:  # an analyst goes on from the newest run
            newest = self._newest_done()
            known = read_manifest(newest) if newest else {}
            recorded = known.get("parameters", {})
            known = {key: known[key] for key in ("window",) if key in known}
        self.params = {**parameters.DEFAULTS, **recorded, **given, "run": folder.name}
        if "window" in known and not (self.is_dev and "start_date" in given):
            self.window = Window.from_dict(known["window"])
        else:
            dates = {name: self.params[name] for name in ("run_date", "start_date", "end_date")}
            self.window = parameters.window(**dates, sandbox=self.source["wistia"] == "sandbox")
        self.store = Store(settings.outputs / "store" / self.account)

    @classmethod
    def open(cls, stage: str, run: str | Run = "", **given: Any) -> Run:
        """Open the run folder that a notebook works in.

        Parameters
        ----------
        stage : str
            The notebook's name, such as ``"03_cluster"``.
        run : str
            Name of a run folder; empty: ``dev``.
        **given
            The notebook's other parameters.

        Raises
        ------
        ParameterError, AccessError
            See :func:`helpers.core.parameters.check` and :func:`sources`.
        """
        name = run.folder.name if isinstance(run, Run) else run
        panel.install(stage, name)
        tables.install()
        parameters.check({"run": name, **given}, where=stage)
        settings = settings_module.load()
        make_outputs(settings.outputs)
        folder = settings.outputs / (name or "dev")
        if name and not folder.is_dir():
            raise ParameterError(
                f"{stage}: there is no run folder {name!r} in {settings.outputs.name}/. "
                "`viewer-personas runs` lists those there are; leave run empty to work in dev."
            )
        opened = cls(stage, folder, settings, given)
        opened.record(
            schema_version=SCHEMA_VERSION,
            account=opened.account,
            source=opened.source,
            parameters=_shown({"run": name, **given}),
            window=opened.window.as_dict(),
            stages={stage: {"status": "running"}},
        )
        # The same for frames that are printed: sentences in full, no digits that nobody needs.
        pd.set_option("display.max_colwidth", None, "display.precision", 3)
        return opened

    def __repr__(self) -> str:
        """Where the data come from, the same on any date, so that a notebook may show it."""
        kinds = {
            ("wistia", "live"): "Wistia, live",
            ("wistia", "sandbox"): "Wistia sandbox: invented sample data",
            ("mavera", "live"): "Mavera, live: calls cost credits",
            ("mavera", "sandbox"): "Mavera sandbox: play credits, simulated answers",
        }
        return "\n".join(
            [
                f"Account  {self.account}",
                f"Window   {self.window.start} to {self.window.end}, UTC days",
                *(f"Source   {kinds[pair]}" for pair in self.source.items()),
            ]
        )

    @property
    def is_dev(self) -> bool:
        return self.folder.name == "dev"

    def _start_dev_afresh(self) -> dict:
        """dev holds another account's work: accounts never mix, so it goes."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        return {}

    def _newest_done(self) -> Path | None:
        for folder, manifest in newest_first(self.settings.outputs, self.account):
            if manifest.get("status") == "done":
                return folder
        return None

    def data(self, name: str) -> Path:
        """Path to write ``data/<name>`` to."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        return self.folder / "data" / name

    def private(self, name: str) -> Path:
        """Path to write ``private/<name>`` to, in a folder open to its owner alone."""
        folder = self.folder / "private"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder / name

    def find(self, name: str) -> Path | None:
        """``data/<name>`` of this run; in dev, else of the newest done run of the account."""
        own = self.folder / "data" / name
        if own.is_file():
            return own
        newest = self._newest_done() if self.is_dev else None
        other = newest / "data" / name if newest else None
        return other if other and other.is_file() else None

    def need(self, name: str, made_by: str) -> Path:
        """Like :meth:`find`, but a missing file is a clear error.

        Raises
        ------
        DataError
            No such file stands in this run, nor in a run before it.
        """
        found = self.find(name)
        if found is None:
            raise DataError(
                f"{self.stage}: data/{name} is not there, neither in run {self.folder.name} nor in "
                f"an earlier one of account {self.account}. Run {made_by} first."
            )
        return found

    def manifest(self) -> dict[str, Any]:
        """run.json as it stands."""
        return read_manifest(self.folder)

    def record(self, **facts: Any) -> None:
        """Merge facts into run.json; dictionaries merge key by key."""
        record(self.folder, **facts)

    def done(self) -> None:
        """Mark this stage done."""
        self.record(stages={self.stage: {"status": "done"}})

    @cached_property
    def spill(self) -> Path:
        return self.store.folder / ".spill"

    def wistia_address(self) -> tuple[str, SecretStr]:
        """Base URL and token of Wistia; starts the sandbox when it is one."""
        if self.source["wistia"] == "sandbox":
            return self._sandbox_url(), SecretStr("sandbox")
        return self.settings.wistia_base_url or WISTIA_BASE_URL, self.settings.wistia_api_token

    def mavera_address(self) -> tuple[str, SecretStr]:
        """Base URL and key of Mavera; starts the sandbox when it is one."""
        if self.source["mavera"] == "sandbox":
            return self._sandbox_url() + "/api/v1", SecretStr("sandbox")
        return self.settings.mavera_base_url or MAVERA_BASE_URL, self.settings.mavera_api_key

    def mavera_identity(self) -> str:
        """What the ledger is named after: the address, or ``sandbox``, whose port changes."""
        if self.source["mavera"] == "sandbox":
            return "sandbox"
        return (self.settings.mavera_base_url or MAVERA_BASE_URL).rstrip("/")

    def wistia_identity(self) -> str:
        """What the store is bound to: the address, or ``sandbox``."""
        if self.source["wistia"] == "sandbox":
            return "sandbox"
        return (self.settings.wistia_base_url or WISTIA_BASE_URL).rstrip("/")

    def _sandbox_url(self) -> str:
        if self.settings.sandbox:
            return self.settings.sandbox.rstrip("/")
        return start_sandbox(self.store.folder / "sandbox.json").url


def start_sandbox(state: Path) -> Sandbox:
    """The sandbox of this process, started when it is first asked for."""
    if state not in _sandboxes:
        _sandboxes[state] = Sandbox(state)
    return _sandboxes[state]


def stop_sandboxes() -> None:
    """Stop every sandbox that this process started."""
    while _sandboxes:
        _sandboxes.popitem()[1].stop()


def new_folder(outputs: Path, run_date: date) -> Path:
    """Make ``run_date``, or ``run_date.2`` to ``.10``; nothing is overwritten.

    Raises
    ------
    ParameterError
        All ten names of the day are taken.
    """
    for number in range(1, 11):
        folder = outputs / (f"{run_date}" if number == 1 else f"{run_date}.{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise ParameterError(
        f"Run date {run_date} has ten runs already, the most there can be. "
        "Delete one of them, or give another --run-date."
    )


def _shown(given: dict[str, Any]) -> dict[str, Any]:
    """Parameters as they may be written down: of a path, the name alone."""
    path = given.get("clusters_file", "")
    return {**given, "clusters_file": Path(path).name} if path else given


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return new
