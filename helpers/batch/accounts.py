"""Several accounts by one command: each with its own keys, in a process and a folder of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click

from helpers.batch import plan, runner, summary
from helpers.batch.accounts_file import Account, read
from helpers.core import clock, settings
from helpers.core.folders import Manifest, make_outputs, newest_first, read_manifest
from helpers.report import report

OWN = ("WISTIA_", "MAVERA_", "VIEWER_PERSONAS_")
"""Settings that begin so are an account's own: none is handed on from here."""
WORDS = {
    1: "unexpected", 2: "wrong use", 3: "keys or permissions", 4: "a service failed", 5: "credits",
    6: "another run is in progress", 7: "the data broke a rule", 130: "interrupted",
}  # fmt: skip
INTERRUPTED = 130
LOOK = 0.2  # seconds between two looks at the processes
NEWS = 30  # seconds after which whoever waits hears that it goes on
STOP = 60  # seconds that an account has to write down that it was stopped


def command(account: Account, outputs: Path, stages: str = "", today: str = "") -> list[str]:
    """The command that runs an account."""
    words = [sys.executable, "-m", "helpers", "run", "--quiet"]
    words += ["--outputs", str(outputs / account.name)]
    words += ["-f", str(account.parameters)] if account.parameters else []
    words += ["--stages", stages] if stages else []
    born = {} if "run_date" in account.values else {"run_date": today}
    return words + [word for pair in (born | account.options).items() for word in ("-p", *pair)]


def environment(account: Account) -> dict[str, str]:
    """What it inherits: nothing of another account, and no setting but of its own file."""
    kept = {name: v for name, v in os.environ.items() if not name.upper().startswith(OWN)}
    named = {} if account.named else {"VIEWER_PERSONAS_ACCOUNT": account.name}
    return {**kept, **named, settings.ENV_FILE: str(account.env_file)}


@dataclass
class Work:
    """What became of an account; no status: it was not started."""

    account: Account
    outputs: Path
    command: list[str]
    status: int | None = None
    said: str = ""
    seconds: float = 0
    process: subprocess.Popen | None = None
    before: set[Path] = field(default_factory=set)

    def start(self) -> None:
        """Start its process, which Ctrl-C reaches through this one alone."""
        self.before, self.seconds = set(self._runs()), time.monotonic()
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            self.command,
            env=environment(self.account), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=self._stderr, start_new_session=True,
        )  # fmt: skip

    def end(self) -> None:
        """Note how its process ended, and what it said."""
        code, self.seconds = self.process.wait(), time.monotonic() - self.seconds
        with self._stderr as file:
            file.seek(0)
            # the command to go on with it lacks the account's keys: a new run is as good
            self.said = "\n".join(line.partition(runner.GO_ON)[0].rstrip() for line in file).strip()
        self.status = 1 if code < 0 else code
        if code < 0:
            self.said += f"\nIt was ended by signal {-code}, as when memory runs out."

    def stop(self) -> None:
        """End its process, which first writes down that it was stopped."""
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):  # once more: now
            self.process.wait(STOP)
        if self.process.poll() is None:
            self.process.kill()
        self.end()
        self.status = INTERRUPTED if self.status else 0

    def _runs(self) -> list[Path]:
        return [folder for folder, _ in newest_first(self.outputs / self.account.name)]

    @property
    def folder(self) -> Path | None:
        """The run folder that its process made."""
        new = [folder for folder in self._runs() if folder not in self.before]
        return new[0] if new and self.process else None

    @property
    def manifest(self) -> Manifest:
        return read_manifest(self.folder) if self.folder else Manifest()

    @property
    def outcome(self) -> str:
        """The exit status in words."""
        if self.status is None:
            return "not started"
        if self.status:
            return f"{WORDS.get(self.status, WORDS[1])} ({self.status})"
        known = self.manifest
        words = ["done"]
        words += ["no viewers in the window"] if known.counts.get("viewers") == 0 else []
        words += ["invented data"] if known.source.get("wistia") == "sandbox" else []
        return ", ".join(words)

    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        known = self.manifest
        viewers = known.counts.get("viewers")
        spent = known.credits.get("spent")
        play = " (play)" if known.source.get("mavera") == "sandbox" else ""
        page = self.folder / "report.html" if self.folder else None
        return (
            self.account.name, self.outcome, "-" if viewers is None else f"{viewers:,}",
            "-" if spent is None else f"{spent:,}{play}",
            summary.shown(page) if page and page.is_file() else "-",
        )  # fmt: skip


def run(
    path: Path, given: dict[str, str], *, at_once: int = 1, stages: str = "", quiet: bool = False
) -> int:
    """Run every account of a file, past those that fail, and print a table of them all.

    Parameters
    ----------
    path : Path
        See :func:`read`.
    given : dict
        Parameters of the command line, as text.
    at_once : int
        How many accounts work at a time; those that share a key take turns.
    stages : str
        See :func:`helpers.batch.plan.choose_stages`.
    quiet : bool
        Print nothing when all went well.

    Returns
    -------
    The highest exit status of an account.

    Raises
    ------
    ParameterError
        See :func:`read`. Nothing was started.
    KeyboardInterrupt
        Those that worked have been stopped; the table is printed.
    """
    plan.choose_stages(stages)
    accounts = read(path, given)
    outputs = settings.load().outputs
    make_outputs(outputs)
    today = clock.today().isoformat()  # one date for all, also across midnight
    works = [Work(known, outputs, command(known, outputs, stages, today)) for known in accounts]
    try:
        with runner.stop_on_sigterm():
            for work in _ended(works, at_once, quiet):
                report.index(outputs)
                _tell(work, quiet)
    except BaseException as error:
        _stop(works)
        if isinstance(error, KeyboardInterrupt):
            report.index(outputs)
            click.echo("\n".join(table(works)))
        raise
    worst = max(work.status for work in works)
    if worst or not quiet:
        click.echo("\n".join([*table(works), f"Index: {summary.shown(outputs / 'index.html')}"]))
    return worst


def _ended(works: list[Work], at_once: int, quiet: bool) -> Iterator[Work]:
    """Start the accounts as there is room for them; each of them when it has ended."""
    waiting, working, told = list(works), [], time.monotonic()
    while waiting or working:
        busy = {key for work in working for key in work.account.keys}
        for work in list(waiting):
            if len(working) < at_once and not busy & work.account.keys:
                work.start()
                waiting.remove(work)
                working.append(work)
                busy |= work.account.keys
        time.sleep(LOOK)
        for work in [work for work in working if work.process.poll() is not None]:
            working.remove(work)
            work.end()
            told = time.monotonic()
            yield work
        if not quiet and time.monotonic() - told >= NEWS:
            told = time.monotonic()
            click.echo(f"Still at work: {'; '.join(map(_stage, working))}.", err=True)


def _stage(work: Work) -> str:
    stages = work.manifest.stages
    now = [name for name, facts in stages.items() if facts.get("status") == "running"]
    seconds = int(time.monotonic() - work.seconds)
    return f"{' '.join([work.account.name, *now])} ({seconds // 60}:{seconds % 60:02})"


def _tell(work: Work, quiet: bool) -> None:
    """A line for an account that ended, and what there is to know about it."""
    if quiet and not work.status:
        return
    click.echo(f"{work.account.name}: {work.outcome}, {work.seconds:.0f} s", err=True)
    notices = summary.notices(work.folder) if work.folder and not work.status else []
    for line in [*work.said.splitlines(), *notices]:
        click.echo(f"  {line}", err=True)


def _stop(works: list[Work]) -> None:
    working = [work for work in works if work.process and work.status is None]
    for work in working:
        work.process.terminate()
    for work in working:
        work.stop()


def table(works: list[Work]) -> list[str]:
    """The accounts as lines of plain text, in the order of the file."""
    head = ("account", "outcome", "viewers", "credits", "report")
    rows = [head, *(work.row() for work in works)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if place in (2, 3) else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
