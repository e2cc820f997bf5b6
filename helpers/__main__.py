"""The command line: ``viewer-personas …`` and ``python -m helpers …`` are the same."""

import gc
import logging
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import click

from helpers.core import privacy
from helpers.core.errors import KitError, ParameterError, explain

INTERRUPTED = 130


def _choose(context: click.Context, option: click.Parameter, value: str | None) -> None:
    """The outputs folder: a flag wins over the setting, and is relative to the command's place."""
    if value is not None:
        os.environ["VIEWER_PERSONAS_OUTPUTS"] = str(Path(os.path.expanduser(value)).absolute())


OUTPUTS = click.option(
    "--outputs", metavar="DIR", callback=_choose, expose_value=False, help="Folder of all runs."
)
RUN_DATE = click.option("--run-date", metavar="D", help="The run's date (default: today, UTC).")
PARAMETERS = click.option(
    "-p", "parameters", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter."
)
STAGES = click.option("--stages", default="", metavar="N or N-M", help="Only these stages.")
QUIET = click.option("--quiet", is_flag=True, help="Print nothing when all is well.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="viewer-personas", message="%(version)s")
def cli() -> None:
    """From the viewing history of a Wistia account to clusters, personas and outreach.

    \b
    Exit status: 0 done, 1 unexpected, 2 wrong use, 3 keys or permissions, 4 a service
    failed, 5 credits, 6 another run is in progress, 7 the data broke a rule.
    """


@cli.command()
@OUTPUTS
@RUN_DATE
@PARAMETERS
@click.option("-f", "file", metavar="FILE.yml", help="Parameters as YAML; -p wins over it.")
@STAGES
@click.option("--resume", default="", metavar="RUN", help="Go on with a run that failed.")
@click.option("--max-credits", metavar="N", help="The most credits to spend at Mavera.")
@QUIET
def run(run_date, parameters, file, stages, resume, max_credits, quiet) -> None:
    """Run the notebooks into a dated folder, then write the report."""
    from helpers.batch import runner, summary
    from helpers.core.owner import read_parameter_file

    flags = {"run_date": run_date, "max_credits": max_credits}
    given = read_parameter_file(Path(file)) if file else {}
    given |= dict(parameters) | {k: v for k, v in flags.items() if v is not None}
    work = runner.run(given, stages=stages, resume=resume, quiet=quiet)
    if not quiet:
        folder = work.run.folder
        if not work.stages:
            _say(f"Run {folder.name} was done already: nothing was run or bought again.")
        _say(*summary.tell("summary", folder))


@cli.command("run-all")
@click.argument("file", metavar="ACCOUNTS.yml")
@OUTPUTS
@RUN_DATE
@PARAMETERS
@STAGES
@QUIET
@click.pass_context
def run_all(context, file, run_date, parameters, stages, quiet) -> None:
    """Run the accounts of a file, each with its own keys and outputs folder."""
    from helpers.batch import accounts

    given = dict(parameters) | ({} if run_date is None else {"run_date": run_date})
    context.exit(accounts.run(Path(file), given, stages=stages, quiet=quiet))


@cli.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)
@click.pass_context
def sandbox(context: click.Context) -> None:
    """Serve both services on 127.0.0.1 until stopped."""
    from helpers import sandbox as server

    context.exit(server.main(context.args))


@cli.command()
@OUTPUTS
@click.option("--contract", is_flag=True, help="Compare live answers with the shapes relied on.")
def doctor(contract) -> None:
    """Check this machine, the keys and the services, by free calls only."""
    from helpers.batch import contract as shapes, doctor as checks

    errors = []
    for finding in shapes.compare() if contract else checks.examine():
        _say(str(finding))
        errors += filter(None, [finding.error])
    if errors:
        raise errors[0]


@cli.command()
@OUTPUTS
def runs() -> None:
    """List the runs, newest first."""
    from helpers.batch import listing
    from helpers.core import settings

    _say(*listing.list_runs(settings.load().outputs))


@cli.command()
@click.argument("run")
@OUTPUTS
@click.option("--pdf", is_flag=True, help="Also as PDF, by chromium.")
def render(run, pdf) -> None:
    """Make a run's HTML anew."""
    from helpers.batch import runner

    _say(runner.render(run, pdf=pdf))


@cli.command()
@click.argument("person", metavar="EMAIL_OR_KEY")
@OUTPUTS
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--forget-request", is_flag=True, help="Take a mistaken request back.")
def erase(person, yes, forget_request) -> None:
    """Delete a person from the store and from all runs."""
    from helpers.batch import erase as deletion

    if forget_request:
        _say(*deletion.forget_request(person))
        return
    try:
        sure = yes or click.confirm(f"Delete {person} from the store and all runs?", err=True)
    except click.Abort:  # nobody is there to answer, or Ctrl-C
        told = "Nothing was deleted: the question was not answered."
        raise ParameterError(told, remedy="In a script, give --yes.") from None
    _say(*deletion.erase(person) if sure else ["Nothing was deleted."])


@cli.command()
@click.argument("entry")
@click.argument("outcome", type=click.Choice(["made", "not-made"]))
@OUTPUTS
def settle(entry, outcome) -> None:
    """Tell the ledger what became of a purchase, after a look at Mavera's own pages."""
    from helpers import mavera
    from helpers.core import settings
    from helpers.store.store import Store

    folder = settings.load().outputs
    with ExitStack() as locks:
        for account in sorted(folder.glob("store/*/")):
            locks.enter_context(Store(account).lock())
        settled = mavera.settle_by_hand(folder, entry, outcome == "made")
    _say(f"Ledger entry {settled.entry} is {settled.state}; credits: {settled.credits}.")


def main(arguments: list[str] | None = None) -> None:
    """Entry point: one message on stderr and the exit status of its kind; no traceback."""
    os.umask(0o077)  # whatever is made is open to its owner alone
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite end is like Ctrl-C
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # of kernels that an error ended
    try:
        status = cli.main(arguments, prog_name="viewer-personas", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        interrupt = error.__cause__ or error  # click raises its own from it
        status = _tell("Interrupted. What was fetched and bought is kept.", interrupt, INTERRUPTED)
    except Exception as error:
        is_ours = isinstance(error, KitError)
        told = error if is_ours else explain(type(error).__name__, str(error), "Unexpected")
        status = _tell(str(told), error, told.exit_status)
    gc.freeze()  # the memory goes with the process: to sort it first takes half a second
    sys.exit(status)


def _tell(message: str, error: BaseException, status: int) -> int:
    _say(message, *getattr(error, "__notes__", ()), err=True)
    return status


def _say(*lines: str, err: bool = False) -> None:
    """Print what may hold text of others: nothing in it moves the cursor or hides."""
    click.echo(privacy.clean_text("\n".join(lines)), err=err)


if __name__ == "__main__":
    main()
