"""The outputs folder, the run folders in it, and their run.json."""

import contextlib
import os
import re
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from helpers.core import files, settings as settings_module
from helpers.core.errors import DataError, ParameterError
from helpers.core.parameters import DEFAULTS, RUN_NAME

STAGES = ("01_fetch", "02_enrich", "03_cluster", "04_personas", "05_mave_analysis", "06_retention")
REPORTED_AFTER = "05_mave_analysis"
MARK = ".viewer-personas"
"""Marks an outputs folder as the kit's."""
CHOOSE = "Choose another with --outputs or VIEWER_PERSONAS_OUTPUTS."
OF_THE_KIT = re.compile(r"\.viewer-personas|store|dev|\d{4}-\d{2}-\d{2}(\.\d+)?")
"""Names in an outputs folder, that of an earlier version too."""


class Manifest(BaseModel, extra="allow"):
    """run.json of a run folder."""

    status: str = ""
    account: str = ""
    started_at: str = ""
    source: dict[str, str] = {}
    stages: dict[str, dict[str, Any]] = {}
    parameters: dict[str, Any] = {}
    window: dict[str, str] = {}
    counts: dict[str, int] = {}
    credits: dict[str, Any] = {}
    files: dict[str, dict[str, Any]] = {}
    error: dict[str, str] | None = None

    def is_done(self, stage: str) -> bool:
        return self.stages.get(stage, {}).get("status") == "done"


def read_manifest(folder: Path) -> Manifest:
    """run.json of a folder; without content where there is none, ``damaged`` where it is torn."""
    try:
        return Manifest.model_validate(files.read_json(folder / "run.json"))
    except (DataError, ValidationError):
        return Manifest(status="damaged")


def record(folder: Path, **facts: Any) -> None:
    """Merge facts into run.json of a folder; dictionaries merge key by key."""
    path = folder / "run.json"
    content = {} if read_manifest(folder).status == "damaged" else files.read_json(path)
    files.write_json(path, _merged(content, facts))


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return new


def newest_first(outputs: Path) -> list[tuple[Path, Manifest]]:
    """Run folders with their run.json, newest first, numerically; ``dev`` is no run."""
    folders = [path.parent for path in outputs.glob("*/run.json")]
    runs = [f for f in folders if RUN_NAME.match(f.name) and not f.name.startswith("dev")]
    runs.sort(key=lambda folder: [int(n) for n in re.findall(r"\d+", folder.name)], reverse=True)
    return [(folder, read_manifest(folder)) for folder in runs]


def describe_state(manifest: Manifest, is_held: bool) -> str:
    """The status of a run in words: also which stages were asked for, and whether it still runs.

    Parameters
    ----------
    is_held : bool
        Whether a run holds the lock of the account now.

    Returns
    -------
    str: ``done``, ``done, stages 1-3``, ``failed``, ``interrupted`` (by Ctrl-C), ``running``, or
    ``stopped`` for a run that was killed before it could write down that it failed.
    """
    if manifest.status == "running":
        return "running" if is_held else "stopped"
    if manifest.status == "failed" and (manifest.error or {}).get("kind") == "KeyboardInterrupt":
        return "interrupted"
    asked = [stage[1] for stage in manifest.stages if stage[:1] == "0"]
    if manifest.status == "done" and asked and max(asked) < REPORTED_AFTER[1]:
        return "done, stage" + (f"s {min(asked)}-{max(asked)}" if asked[1:] else f" {asked[0]}")
    return manifest.status or "?"


def given_parameters(manifest: Manifest) -> list[str]:
    """What sets a run apart beside its window: ``name=value`` of parameters that were given."""
    return [
        f"{name}={','.join(value) if isinstance(value, list) else value}"
        for name, value in manifest.parameters.items()
        if name not in ("run", "run_date", "start_date", "end_date") and value != DEFAULTS.get(name)
    ]


def make_outputs(outputs: Path) -> None:
    """Make the outputs folder, open to its owner alone, or take one that is empty or the kit's.

    Raises
    ------
    ParameterError
        It cannot be made or written, holds what is not the kit's, or a link leads out of it.
    """
    own = outputs == settings_module.project_root() / "outputs"
    try:
        outputs.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = {path.name for path in outputs.iterdir()}
        is_ours = any(map(OF_THE_KIT.fullmatch, kept)) or any(outputs.glob("*/store"))
        if not own and kept - {"opt_out.txt"} and not is_ours:
            what = f"The outputs folder {outputs} holds files that are not the kit's."
            raise ParameterError(what, expected="a new or empty folder", remedy=CHOOSE)
        if own:
            outputs.chmod(0o700)
        elif MARK not in kept:
            (outputs / MARK).touch()
            (outputs / ".gitignore").write_text("*\n", "utf-8")  # people's data are in it
        refuse_links(outputs)
        with tempfile.TemporaryFile(dir=outputs):
            pass
    except OSError as error:
        what = f"The outputs folder {outputs} cannot be written: {error.strerror or error}."
        raise ParameterError(what, remedy=CHOOSE) from None


def refuse_links(outputs: Path) -> None:
    """Raise ParameterError where a link under the outputs folder leads out of it.

    What is behind it would be written, searched and deleted as if it were the kit's.
    """
    home = outputs.resolve()
    # Path.rglob fails where another process deletes a folder meanwhile.
    for folder, folders, names in os.walk(outputs):
        for path in map(Path(folder).joinpath, (*folders, *names)):
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                what = f"{path.relative_to(outputs)} in the outputs folder is a link out of it."
                raise ParameterError(what, remedy="Put what it leads to into its place.")


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
    raise ParameterError(f"Run date {run_date} has ten runs.", remedy="Delete one of them.")
