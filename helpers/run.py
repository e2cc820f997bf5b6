"""A run: its folder, its window, its account, its parameters, and the two services it asks."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import InitVar, asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import SecretStr

from helpers.core import files, folders, settings as settings_module, tables
from helpers.core.errors import DataError, ParameterError
from helpers.core.parameters import Parameters, Window, inherit, recordable
from helpers.core.settings import Settings, Sources
from helpers.sandbox.process import start_sandbox
from helpers.store import rules, shards
from helpers.store.engine import Engine
from helpers.store.rules import ClusterRules
from helpers.store.store import Store


@dataclass(eq=False, repr=False)
class Run:
    """One run folder and all that a stage needs to know to work in it.

    Attributes
    ----------
    stage : str
        Notebook that opened it, such as ``"03_cluster"``.
    folder : Path
    params : Parameters
        As given, else as recorded, else the default.
    source, account, window, store
    """

    stage: str
    folder: Path
    settings: Settings
    params: Parameters
    source: Sources | None = field(default=None, kw_only=True)
    stages: InitVar[tuple[str, ...]] = field(default=(), kw_only=True)

    def __post_init__(self, stages: tuple[str, ...]):
        self.source = self.source or Sources.of(self.settings, self.params, stages or (self.stage,))
        self.account = self.source.account(self.settings)
        self.window = Window.of(self.params, sandbox=self.source.wistia == "sandbox")
        self.store = Store(self.settings.outputs / "store" / self.account)
        self.asked = self.params.model_fields_set

    @classmethod
    def open(cls, stage: str, run: "str | Run" = "", **given: Any) -> "Run":
        """Open the run folder that a notebook, a script or a console works in.

        Parameters
        ----------
        stage : str
            The notebook's name, such as ``"03_cluster"``.
        run : str
            Name of a run folder; empty: ``dev``; ``dev-NAME`` is a scratch folder of your own.
        **given
            The notebook's other parameters.

        Raises
        ------
        ParameterError, AccessError
            See :meth:`helpers.core.parameters.Parameters.check` and :meth:`Sources.of`.

        """
        name = run.folder.name if isinstance(run, Run) else run
        tables.install()
        os.umask(0o077)  # whatever is made is open to its owner alone
        settings = settings_module.load()
        files.log_errors(stage, settings.outputs / "dev")
        asked = Parameters.check({"run": name, **given}, where=stage)
        folders.make_outputs(settings.outputs)
        folder = settings.outputs / (asked.run or "dev")
        files.log_errors(stage, folder)
        manifest = folders.read_manifest(folder)
        opened = cls(stage, folder, settings, inherit(asked, manifest.parameters, stage))
        if not opened.is_dev and not folder.is_dir():
            what = f"There is no run folder {name!r} in {settings.outputs.name}/."
            listed = f"`{settings_module.command('runs', settings.outputs)}` lists those there are"
            raise ParameterError(what, where=stage, remedy=f"{listed}; run left empty means dev.")
        if not opened.is_dev:
            opened.refuse_other_account(manifest)
        elif manifest.account != opened.account:
            if manifest.account:  # dev holds another account's work, and accounts never mix
                shutil.rmtree(folder)
            _, newest = opened.newest_done()  # which an analyst goes on from
            opened = cls(stage, folder, settings, inherit(asked, newest.parameters, stage))
        opened.asked = asked.model_fields_set
        opened.record(**opened.facts(), stages={stage: {"status": "running"}})
        return opened

    def refuse_other_account(self, manifest: folders.Manifest) -> None:
        """Raise ParameterError where a run.json is of another account than this run."""
        if manifest.account not in ("", self.account):
            what = f"Run {self.folder.name} belongs to account {manifest.account!r}"
            remedy = "Set the keys it was made with, or start a new run."
            raise ParameterError(f"{what}, and this is {self.account!r}.", remedy=remedy)

    def __repr__(self) -> str:
        """Where the data come from, the same on any date, so that a notebook may show it."""
        window = f"Window   {self.window.start} to {self.window.end}, UTC days"
        return "\n".join([f"Account  {self.account}", window, *self.source.describe()])

    @property
    def is_dev(self) -> bool:
        return self.folder.name.startswith("dev")

    def facts(self) -> dict[str, Any]:
        """What run.json says of a run from its start."""
        return {
            "schema_version": 2,
            "account": self.account,
            "source": asdict(self.source),
            "parameters": recordable(self.params),
            "window": self.window.model_dump(mode="json", by_alias=True),
        }

    def newest_done(self, *, before: str = "") -> tuple[Path | None, folders.Manifest]:
        """The newest finished run of the account, or of those whose window ends before a day."""
        for folder, manifest in folders.newest_first(self.settings.outputs):
            is_done = (manifest.account, manifest.status) == (self.account, "done")
            ends_before = not before or manifest.window.get("end_date", before) < before
            if is_done and ends_before:
                return folder, manifest
        return None, folders.Manifest()

    def previous(self) -> "Run | None":
        """The newest finished run of the account whose window ends earlier, to read its files."""
        folder, manifest = self.newest_done(before=self.window.end.isoformat())
        if folder is None:
            return None
        params = inherit(Parameters(), manifest.parameters, "The run")
        source = Sources(**manifest.source)
        past = Run(folders.REPORTED_AFTER, folder, self.settings, params, source=source)
        past.window = Window.model_validate(manifest.window)
        return past

    def data(self, name: str) -> Path:
        """Path of ``data/<name>`` of this run."""
        return self.folder / "data" / name

    def private(self, name: str) -> Path:
        """Path of ``private/<name>``, a folder open to its owner alone, whatever it was before."""
        folder = self.folder / "private"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        return folder / name

    @contextlib.contextmanager
    def replace(self, name: str) -> Iterator[Path]:
        """A path to write ``data/<name>`` to; afterwards it is in its place, with its basis."""
        with files.replace_file(self.data(name)) as staged:
            yield staged
        self.record(files={name: self.basis()})

    def write_json(self, name: str, content: Any) -> None:
        """Write ``data/<name>`` and record what it was made with."""
        files.write_json(self.data(name), content)
        self.record(files={name: self.basis()})

    def write_csv(self, name: str, frame: pd.DataFrame) -> None:
        """Write ``data/<name>`` and record what it was made with."""
        files.write_csv(frame, self.data(name))
        self.record(files={name: self.basis()})

    def find(self, name: str) -> Path | None:
        """``data/<name>`` of this run; in dev, else of the newest finished run of the account."""
        path = self.data(name)
        if self.is_dev and not path.is_file() and (newest := self.newest_done()[0]):
            path = newest / "data" / name
        return path if path.is_file() else None

    def need(self, name: str, made_by: str) -> Path:
        """Like :meth:`find`, but a file that is missing, or made with something else, is an error.

        Raises
        ------
        DataError
            No such file, or its basis (window, videos, domains, time zone, rules, source, what
            was fetched) is not this notebook's.
        """
        path = self.find(name)
        if path is None:
            there = f"run {self.folder.name} nor in an earlier one of account {self.account}"
            what = f"data/{name} is not there, neither in {there}."
            raise DataError(what, where=self.stage, remedy=f"Run {made_by} first.")
        for what, before, now in self._changes(path):
            told = f"was made with another {what.replace('_', ' ')}: {before}, and now it is {now}"
            if what == "store":
                told = "is older than the store, which has changed since (a fetch or an erase)"
                made_by = "02_enrich"
            again = f"Run {made_by} again, then what comes after it."
            raise DataError(f"data/{name} {told}.", where=self.stage, remedy=again)
        return path

    def _changes(self, path: Path) -> list[tuple[str, str, str]]:
        """What a file was made with that is not so now: what, before, now."""
        manifest, now = folders.read_manifest(path.parents[1]), self.basis()
        made_with = manifest.files.get(path.name, {})
        values = ((what, made_with.get(what, value), value) for what, value in now.items())
        return [(what, _shown(old), _shown(new)) for what, old, new in values if old != new]

    def basis(self) -> dict[str, Any]:
        """What a file of this stage is made with."""
        return {
            "window": f"{self.window.start} to {self.window.end}",
            **self.params.choice,
            "time_zone": self.params.time_zone,
            "source": self.source.wistia,
            "store": self.store.fingerprint(),
        } | ({"rules": self.rules.fingerprint} if self.stage >= "03" else {})

    def manifest(self) -> folders.Manifest:
        """run.json as it stands."""
        return folders.read_manifest(self.folder)

    def record(self, **facts: Any) -> None:
        """Merge facts into run.json; dictionaries merge key by key."""
        folders.record(self.folder, **facts)

    def done(self) -> None:
        """Mark this stage done."""
        self.record(stages={self.stage: {"status": "done"}})

    @cached_property
    def engine(self) -> Engine:
        """The run's tables: sessions, visitors, medias, plays; features and viewers once made.

        Raises
        ------
        DataError
            Nothing was fetched yet, or a table was made with something else.
        """
        if not self.store.days():
            what = f"Nothing was fetched yet for account {self.account}."
            raise DataError(what, where=self.stage, remedy="Run 01_fetch first.")
        engine = shards.over_store(self.settings, self.store, self.window, **self.params.choice)
        for table, maker in (("features", "02_enrich"), ("viewers", "03_cluster")):
            path = self.find(f"{table}.parquet")
            if path and self.stage > maker:
                path = self.need(f"{table}.parquet", maker)
            elif path and (self.stage < maker or self._changes(path)):
                path = None  # this stage makes it anew
            if path:
                engine.show(table, path)
                if table == "features":  # until stage 03 gives viewers their cluster
                    engine.show("viewers", path)
        return engine

    def forget_tables(self) -> None:
        """Ask the store anew the next time: it was filled, or a table was made."""
        self.__dict__.pop("engine", None)

    def sql(self, query: str) -> pd.DataFrame:
        """A question in SQL over sessions, viewers, visitors and medias, such as
        ``SELECT country, count(*) AS viewers FROM viewers GROUP BY 1 ORDER BY 2 DESC``.
        """
        return self.engine.query(query)

    @cached_property
    def rules(self) -> ClusterRules:
        """The clusters file of the run; from stage 04 on, the rules that stage 03 used.

        Raises
        ------
        ParameterError
            The clusters file is wrong.
        DataError
            A later stage was given other rules than stage 03.
        """
        wanted, is_given = self.params.clusters_file, "clusters_file" in self.asked
        is_free = is_given and self.stage <= "03_cluster"
        recorded = None if is_free else self.find("clusters.yml")
        if recorded is None:
            return rules.load(wanted, folder=self.folder)
        used = rules.load(recorded)
        asked = rules.load(wanted, folder=self.folder) if wanted and is_given else used
        if asked.fingerprint != used.fingerprint:
            what = f"{asked.source} has other rules than those that 03_cluster used."
            remedy = "Run 03_cluster with it first, or leave clusters_file empty."
            raise DataError(what, where=self.stage, remedy=remedy)
        return used

    def address(self, service: str) -> tuple[str, SecretStr]:
        """Base URL and key of ``wistia`` or ``mavera``; starts the sandbox when it is one."""
        address = self.source.identity(service, self.settings)
        if address == "sandbox":
            path = {"wistia": "", "mavera": "/api/v1"}[service]
            return self.sandbox_url() + path, SecretStr("sandbox")  # which takes any
        return address, getattr(self.settings, settings_module.KEYS[service].lower())

    def sandbox_url(self) -> str:
        """Address of the sandbox, which is started unless a parent process runs one."""
        return self.settings.sandbox or start_sandbox(self.store.folder / "sandbox.json").url


def _shown(value: Any) -> str:
    return (", ".join(value) or "all") if isinstance(value, list) else str(value)
