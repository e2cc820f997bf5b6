"""What a run is going to do: every check that can be made before anything starts."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from helpers import run as runs
from helpers.batch import kernels
from helpers.core import clock, parameters
from helpers.core import settings as settings_module
from helpers.core.errors import ParameterError
from helpers.core.settings import Settings, project_root
from helpers.mavera import payloads
from helpers.run import STAGES
from helpers.store import rules
from helpers.store.store import Store

log = logging.getLogger("viewer_personas")
CHANGEABLE = {"max_credits"}
"""What a resumed run may be given anew; the rest is as its finished stages had it."""
YES_NO = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
SPENDS = set(STAGES[3:])
"""Stages that are run again when a resumed run is allowed more credits."""


def typed(name: str, text: Any) -> Any:
    """A parameter's value from text; what is not text is left to the check.

    Ids stay strings: only parameters whose default is a number become one.
    """
    default = parameters.DEFAULTS.get(name)
    if not isinstance(text, str):
        return text
    if isinstance(default, bool):
        return YES_NO.get(text.strip().lower(), text)
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
    def is_new(self) -> bool:
        """Whether it has no folder of its own yet."""
        return self.folder == self.settings.outputs

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
    """Check everything that can be checked before anything starts.

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
    ParameterError, AccessError
        See :func:`helpers.core.parameters.check`, :func:`helpers.run.sources`,
        :func:`helpers.store.rules.load`.
    """
    notebooks = notebooks or project_root() / "notebooks"
    wanted = chosen_stages(stages)
    if "run" in given:
        raise ParameterError("The runner names the run itself. To go on with one: --resume RUN.")
    values = parameters.check({name: typed(name, text) for name, text in given.items()})
    for stage in wanted:
        kernels.parameters_of(notebooks / f"{stage}.ipynb")
    settings = settings_module.load()
    folder, known = settings.outputs, {}
    if resume:
        folder, known, values = _resumed(settings, resume, values)
    done = {s for s, facts in known.get("stages", {}).items() if facts.get("status") == "done"}
    allowed = known.get("parameters", {}).get("max_credits", 0)
    if resume and values.get("max_credits", 0) > allowed:
        done -= SPENDS  # the bill was shown; now it may be paid
    wanted = tuple(stage for stage in wanted if stage not in done)
    source = runs.sources(settings, values.get("source", "auto"), wanted or STAGES[:1])
    sandbox = source["wistia"] == "sandbox"
    account = "sandbox" if sandbox else settings.account
    values["run_date"] = values.get("run_date") or clock.today().isoformat()
    dates = {name: values.get(name, "") for name in ("run_date", "start_date", "end_date")}
    window = parameters.window(**dates, sandbox=sandbox)
    found = rules.load(values.get("clusters_file", ""), folder=folder if resume else None)
    for cluster in found.clusters:
        payloads.persona_fields(cluster)
    if known.get("account", account) != account:
        raise ParameterError(
            f"Run {resume} belongs to account {known['account']!r}, and this is {account!r}. "
            "Set the keys it was made with, or start a new run."
        )
    if wanted and (missing := set(STAGES[: STAGES.index(wanted[0])]) - done):
        raise ParameterError(
            f"--stages {stages}: {wanted[0]} reads what {min(missing)} writes, and this run has not"
            " made it. Start from stage 1, or go on with a run that has: --resume RUN."
        )
    runs.make_outputs(settings.outputs)
    store = Store(settings.outputs / "store" / account)
    return Plan(settings, folder, account, source, window, values, wanted, notebooks, store, quiet)


def _resumed(settings: Settings, name: str, given: dict) -> tuple[Path, dict, dict[str, Any]]:
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
    return folder, known, {**recorded, **given}
