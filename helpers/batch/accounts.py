"""Several accounts by one command: each with its own keys, in a process and a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click

from helpers.batch import plan, runner, summary
from helpers.batch.accounts_file import Account, read
from helpers.batch.listing import align
from helpers.core import clock, settings
from helpers.core.folders import Manifest, make_outputs, newest_first, read_manifest
from helpers.core.privacy import clean_text
from helpers.report import report

OWN = ("WISTIA_", "MAVERA_", "VIEWER_PERSONAS_")
"""Settings that begin so are an account's own: none is handed on from here."""
INTERRUPTED = 130
WORDS = {
    1: "unexpected",
    2: "wrong use",
    3: "keys or permissions",
    4: "a service failed",
    5: "credits",
    6: "another run is in progress",
    7: "the data broke a rule",
    INTERRUPTED: "interrupted",
}
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

    @property
    def words(self) -> str:
        """The exit status in words."""
        if self.status is None:
            return "not started"
        if self.status:
            return f"{WORDS.get(self.status, WORDS[1])} ({self.status})"
        empty = self.manifest.counts.get("viewers") == 0
        invented = self.manifest.source.get("wistia") == "sandbox"
        more = ["no viewers in the window"] * empty + ["invented data"] * invented
        return ", ".join(["done", *more])

    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        viewers, spent = self.manifest.counts.get("viewers"), self.manifest.credits.get("spent")
        play = " (play)" if self.manifest.source.get("mavera") == "sandbox" else ""
        page = self.folder / "report.html" if self.folder else None
        return (
            self.account.name,
            self.words,
            "-" if viewers is None else f"{viewers:,}",
            "-" if spent is None else f"{spent:,}{play}",
            summary.shown(page) if page and page.is_file() else "-",
        )


def command(account: Account, outputs: Path, given: dict[str, str], stages: str = "") -> list[str]:
    """The command that runs an account."""
    words = [sys.executable, "-m", "helpers", "run", "--quiet"]
    words += ["--outputs", str(outputs / account.name)]
    words += ["-f", str(account.parameters)] if account.parameters else []
    words += ["--stages", stages] if stages else []
    return words + [word for pair in account.options(given).items() for word in ("-p", *pair)]


def environment(account: Account) -> dict[str, str]:
    """What it inherits: nothing of another account, and no setting but of its own file."""
    kept = {name: v for name, v in os.environ.items() if not name.upper().startswith(OWN)}
    named = "account" in account.settings.model_fields_set
    name = {} if named else {"VIEWER_PERSONAS_ACCOUNT": account.name}
    return {**kept, **name, settings.ENV_FILE: str(account.env_file)}


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
    today = clock.today().isoformat()  # one date for all, also across midnight
    outcomes = [Outcome(account, outputs / account.name) for account in accounts]
    try:
        with runner.stop_on_sigterm():
            for outcome in outcomes:
                dated = "run_date" in outcome.account.values(given).model_fields_set
                day = {} if dated else {"run_date": today}
                words = command(outcome.account, outputs, day | given, stages)
                _run_account(outcome, words, quiet)
                report.index(outputs)
    except KeyboardInterrupt:
        report.index(outputs)
        click.echo("\n".join(table(outcomes)))
        raise
    worst = max(outcome.status for outcome in outcomes)
    if worst or not quiet:
        click.echo("\n".join([*table(outcomes), f"Index: {summary.shown(outputs / 'index.html')}"]))
    return worst


def _run_account(outcome: Outcome, words: list[str], quiet: bool) -> None:
    if not quiet:
        click.echo(f"{outcome.account.name} …", err=True)
    before, started = _folders(outcome.outputs), time.monotonic()
    process = subprocess.Popen(
        words,
        env=environment(outcome.account),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C reaches it through this process alone
    )
    interrupt = None
    try:
        _, output = process.communicate()
    except KeyboardInterrupt as error:  # it first writes down that it was stopped
        interrupt = error
        process.terminate()
        _, output = process.communicate()
    outcome.folder = next((f for f in _folders(outcome.outputs) if f not in before), None)
    outcome.status = max(process.returncode, 0) or (1 if process.returncode else 0)
    # The command to go on lacks the account's keys: a new run is as good.
    lines = [line.partition(runner.GO_ON)[0].rstrip() for line in output.splitlines()]
    if process.returncode < 0:
        lines.append(f"It was ended by signal {-process.returncode}, as when memory runs out.")
    if outcome.status or not quiet:
        seconds = time.monotonic() - started
        notices = summary.notices(outcome.folder) if outcome.folder and not outcome.status else []
        told = [f"  {line}" for line in [*lines, *notices] if line]
        head = f"{outcome.account.name}: {outcome.words}, {seconds:.0f} s"
        click.echo(clean_text("\n".join([head, *told])), err=True)
    if interrupt:
        outcome.status = INTERRUPTED if outcome.status else 0
        raise interrupt


def _folders(outputs: Path) -> list[Path]:
    return [folder for folder, _ in newest_first(outputs)]


def table(outcomes: list[Outcome]) -> list[str]:
    """The accounts as lines of plain text, in the order of the file."""
    return align([HEAD, *(outcome.row() for outcome in outcomes)])
