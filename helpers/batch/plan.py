"""What a run is going to do: every check that can be made before anything starts."""

import logging
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.batch import kernels
from helpers.core import clock, settings as settings_module
from helpers.core.errors import ParameterError
from helpers.core.folders import RUN_NAME, STAGES, Manifest, make_outputs, read_manifest
from helpers.core.parameters import DEFAULTS, Parameters
from helpers.core.settings import Settings, project_root
from helpers.findings import opt_out
from helpers.run import Run
from helpers.store import intake
from helpers.store.store import Store

log = logging.getLogger("viewer_personas")
CHANGEABLE = {"max_credits", "persona_clusters"}
"""What a resumed run may be given anew; the rest is as its finished stages had it."""
SPENDS = ("04_personas", "05_mave_analysis", "06_retention")
"""Stages that run again when a resumed run is allowed more credits."""


def choose_stages(text: str) -> tuple[str, ...]:
    """Stages named by ``N`` or ``N-M``; all of them for nothing.

    Raises
    ------
    ParameterError
        The text names no stages.
    """
    match = re.fullmatch(r"([1-9])(?:-([1-9]))?", text.strip() or f"1-{len(STAGES)}")
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not first <= last <= len(STAGES):
        expected = f"N or N-M from 1 to {len(STAGES)}, such as 2-4"
        raise ParameterError(f"--stages is {text!r}.", expected=expected)
    return STAGES[first - 1 : last]


@dataclass
class Plan:
    """A run that passed every check: which stages are to be executed, and from where."""

    run: Run
    stages: tuple[str, ...]
    notebooks: Path
    quiet: bool = False
    started: float = field(default_factory=time.monotonic)

    def say(self, line: str) -> None:
        """Progress, for whoever waits."""
        log.info(line)
        if not self.quiet:
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
        Something that the owner wrote is wrong, or a key is missing.
    """
    notebooks = notebooks or project_root() / "notebooks"
    wanted = choose_stages(stages)
    if "run" in given:
        remedy = "To go on with one: --resume RUN."
        raise ParameterError("The runner names the run itself.", remedy=remedy)
    params = Parameters.check(given)
    for stage in wanted:
        kernels.parameters_of(notebooks / f"{stage}.ipynb")
    settings = settings_module.load()
    folder, manifest = settings.outputs, Manifest()
    if resume:
        folder, manifest = find_run(settings, resume)
        params = _resumed(resume, params, manifest)
    done = _done_stages(manifest, params)
    if set(wanted) - done and _store_changed(settings, manifest):
        done &= {STAGES[0]}  # later stages refuse what 02_enrich made of another store
    wanted = tuple(stage for stage in wanted if stage not in done)
    missing = set(STAGES[: STAGES.index(wanted[0])]) - done if wanted else set()
    if missing:
        what = f"--stages {stages}: {wanted[0]} reads what {min(missing)} writes, not made yet."
        remedy = "Start from stage 1, or go on with a run that has it: --resume RUN."
        raise ParameterError(what, remedy=remedy)
    params = params.model_copy(update={"run_date": params.run_date or f"{clock.today()}"})
    run = Run("the run", folder, settings, params, stages=wanted or STAGES[:1])
    run.refuse_other_account(manifest)
    # Whatever else the owner wrote: opt-out list, clusters file, own sessions.
    opt_out.read_opt_out(run.settings.outputs / opt_out.OPT_OUT)
    run.rules.refuse_unknown(run.params.persona_clusters)
    if run.params.sessions_file and STAGES[0] in wanted:
        intake.read_sessions_file(run.params.sessions_file)
    make_outputs(settings.outputs)
    return Plan(run, wanted, notebooks, quiet)


def find_run(settings: Settings, name: str) -> tuple[Path, Manifest]:
    """A run folder and its run.json; ParameterError where there is none."""
    folder = settings.outputs / name
    manifest = read_manifest(folder) if RUN_NAME.match(name) else Manifest()
    if name.startswith("dev") or not manifest.stages:
        remedy = f"`{settings_module.command('runs', settings.outputs)}` lists those there are."
        what = f"There is no run {name!r} in {settings.outputs.name}/."
        raise ParameterError(what, remedy=remedy)
    return folder, manifest


def _resumed(name: str, given: Parameters, manifest: Manifest) -> Parameters:
    """The parameters of a run to go on with: as it was started, but for what may change."""
    recorded = {k: v for k, v in manifest.parameters.items() if k in DEFAULTS and k != "run"}
    for key in given.model_fields_set - CHANGEABLE:
        value, before = getattr(given, key), recorded.get(key, DEFAULTS[key])
        if value != before:
            what = f"--resume {name}: {key} is {value!r}; the run was started with {before!r}."
            expected = f"no other parameter than {', '.join(sorted(CHANGEABLE))}"
            raise ParameterError(what, expected=expected, remedy="Start a new run for the rest.")
    return Parameters.check({**recorded, **given.model_dump(exclude_unset=True)})


def _done_stages(manifest: Manifest, params: Parameters) -> set[str]:
    done = {stage for stage in manifest.stages if manifest.is_done(stage)}
    is_more = params.max_credits > manifest.parameters.get("max_credits", 0)
    if is_more or params.persona_clusters != manifest.parameters.get("persona_clusters", []):
        done -= set(SPENDS)  # the bill was shown; now it may be paid
    return done


def _store_changed(settings: Settings, manifest: Manifest) -> bool:
    """Whether a fetch or an erase changed the store since 02_enrich of this run."""
    made_with = manifest.files.get("features.parquet", {}).get("store")
    store = Store(settings.outputs / "store" / manifest.account)
    return made_with is not None and made_with != store.fingerprint()
