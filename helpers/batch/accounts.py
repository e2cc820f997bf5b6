"""Several accounts by one command: each with its own keys, in a process and a folder of its own."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click

from helpers.batch import plan, runner, summary
from helpers.batch.accounts_file import Account, read
from helpers.batch.listing import align, numbers
from helpers.core import files, settings
from helpers.core.folders import Manifest, make_outputs, newest_first, read_manifest
from helpers.core.privacy import clean_text
from helpers.report import report

INTERRUPTED = 130
WORDS = files.read_package_yaml("batch/texts/statuses.yml")
# Its messages are read here, and Ctrl-C reaches it through this process alone.
CHILD = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
CHILD |= {"text": True, "errors": "replace", "start_new_session": True}
HEAD = ("account", "outcome", "viewers", "credits", "report")


@dataclass
class Outcome:
    """What became of an account; no status: it was not started."""

    account: Account
    outputs: Path
    status: int | None = None
    folder: Path | None = None

    @property
    def manifest(self) -> Manifest:
        return read_manifest(self.folder) if self.folder else Manifest()

    def __str__(self) -> str:
        """The exit status in words."""
        if self.status:
            return f"{WORDS.get(self.status, WORDS[1])} ({self.status})"
        if self.status is None:
            return "not started"
        told = ["done"]
        if self.manifest.counts.get("viewers") == 0:
            told.append("no viewers in the window")
        if self.manifest.source.get("wistia") == "sandbox":
            told.append("invented data")
        return ", ".join(told)

    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        page = self.folder and self.folder / "report.html"
        place = settings.shown(page) if page and page.is_file() else "-"
        return (self.account.name, str(self), *numbers(self.manifest), place)


def command(account: Account, outputs: Path, given: dict[str, str], stages: str = "") -> list[str]:
    """The command that runs an account."""
    words = [sys.executable, "-m", "helpers", "run", "--quiet", "--outputs", str(outputs)]
    words += ["-f", str(account.parameters)] if account.parameters else []
    words += ["--stages", stages] if stages else []
    return words + [word for pair in account.options(given).items() for word in ("-p", *pair)]


def environment(account: Account) -> dict[str, str]:
    """What it inherits: nothing of another account, and no setting but of its own file."""
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(settings.PREFIXES)}
    own = {settings.ENV_FILE: str(account.env_file)}
    if "account" not in account.settings.model_fields_set:
        own["VIEWER_PERSONAS_ACCOUNT"] = account.name
    return kept | own


def run(path: Path, given: dict[str, str], *, stages: str = "", quiet: bool = False) -> int:
    """Run every account of a file, past those that fail, and print a table of them all.

    Parameters
    ----------
    path : Path
        See :func:`helpers.batch.accounts_file.read`.
    given : dict
        Parameters of the command line, as text.
    stages : str
        See :func:`helpers.batch.plan.choose_stages`.
    quiet : bool
        Print nothing when all went well.

    Returns
    -------
    int
        The highest exit status of an account.

    Raises
    ------
    ParameterError
        The file is wrong. Nothing was started.
    KeyboardInterrupt
        The account that was running has been stopped; the table is printed.
    """
    plan.choose_stages(stages)
    accounts = read(path, given)
    outputs = settings.load().outputs
    make_outputs(outputs)
    outcomes = [Outcome(account, outputs / account.name) for account in accounts]
    worst = INTERRUPTED
    try:
        for outcome in outcomes:
            _run_account(outcome, command(outcome.account, outcome.outputs, given, stages), quiet)
        worst = max(outcome.status for outcome in outcomes)
    finally:
        index = report.index(outputs)
        if worst or not quiet:
            table = align([HEAD, *(outcome.row() for outcome in outcomes)])
            click.echo("\n".join([*table, f"Index: {settings.shown(index)}"]))
    return worst


def _run_account(outcome: Outcome, words: list[str], quiet: bool) -> None:
    if not quiet:
        click.echo(f"{outcome.account.name} …", err=True)
    before, started = {folder for folder, _ in newest_first(outcome.outputs)}, time.monotonic()
    process = subprocess.Popen(words, env=environment(outcome.account), **CHILD)
    try:
        _, output = process.communicate()
        outcome.status = process.returncode if process.returncode >= 0 else 1
    except KeyboardInterrupt:  # it first writes down that it was stopped
        process.terminate()
        process.communicate()
        outcome.status = INTERRUPTED if process.returncode else 0
        raise
    finally:
        new = (folder for folder, _ in newest_first(outcome.outputs) if folder not in before)
        outcome.folder = next(new, None)
    # The command to go on lacks the account's keys: a new run is as good.
    lines = [line.partition(runner.GO_ON)[0].rstrip() for line in output.splitlines()]
    if process.returncode < 0:
        lines.append(f"It was ended by signal {-process.returncode}, as when memory runs out.")
    elif outcome.folder and not outcome.status:
        lines += summary.tell("notices", outcome.folder)
    if outcome.status or not quiet:
        head = f"{outcome.account.name}: {outcome}, {time.monotonic() - started:.0f} s"
        told = [head, *(f"  {line}" for line in lines if line)]
        click.echo(clean_text("\n".join(told)), err=True)
