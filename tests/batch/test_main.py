"""The command line: one message on stderr, the exit status of its kind, no traceback."""

import io
import os
import re
import shlex
import subprocess
import sys

import pytest
from filelock import FileLock

from helpers import __main__ as command
from helpers.batch import erase, runner
from helpers.core import folders
from helpers.core.errors import BY_NAME, KitError
from helpers.core.folders import STAGES
from helpers.mavera import ledger
from helpers.store.store import Store


@pytest.fixture
def viewer_personas(capsys):
    """Give a command in this process: (exit status, stdout, stderr)."""

    def give(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            command.main(list(arguments))
        return ended.value.code, *capsys.readouterr()

    return give


KEPT = "What was fetched is kept."
STATUS = {
    "KitError": 1, "ParameterError": 2, "AccessError": 3, "ServiceError": 4, "UnknownOutcome": 4,
    "CreditError": 5, "LockError": 6, "DataError": 7,
}  # fmt: skip


@pytest.mark.parametrize(("name", "status"), STATUS.items())
def test_each_kind_of_error_has_its_exit_status_and_one_message(
    viewer_personas, monkeypatch, name, status
):
    def fail(*_, **__):
        raise BY_NAME[name]("What. Where. Expected. Do.", remedy="")

    monkeypatch.setattr(runner, "run", fail)
    assert viewer_personas("run") == (status, "", "What. Where. Expected. Do.\n")
    assert set(STATUS) == set(BY_NAME)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ZeroDivisionError("by zero\nmore"), 1, "Unexpected: ZeroDivisionError: by zero\n"),
        (KeyboardInterrupt(), 130, "Interrupted. What was fetched and bought is kept.\n"),
        (
            OSError(28, "No space left"),
            4,
            f"The disk is full. {KEPT} Free some space and run again.\n",
        ),
    ],
)
def test_what_nobody_foresaw_is_one_line_and_how_to_go_on(
    viewer_personas, monkeypatch, error, status, said
):
    def fail(*_, **__):
        raise error

    error.add_note("To go on with it: …")
    monkeypatch.setattr(runner, "run", fail)
    told = f"{said}To go on with it: …\n"
    code, out, err = viewer_personas("run")
    assert (code, out, err.lstrip("\n")) == (status, "", told)  # click ends the line of ^C


def test_flags_win_over_p_and_p_over_the_file(viewer_personas, monkeypatch, tmp_path):
    seen = {}

    def note(given, **options):
        seen.update(given=given, **options)
        raise KitError("enough")

    monkeypatch.setattr(runner, "run", note)
    file = tmp_path / "p.yml"
    file.write_text("max_credits: 1\nrun_date: 2026-01-01\nseed: 7\nmin_cell: 5\n")
    viewer_personas(
        "run", "-f", str(file), "-p", "max_credits", "2", "-p", "seed", "8", "--max-credits", "3",
        "-p", "media_ids", "5e12345678", "--stages", "1-2", "--outputs", str(tmp_path / "o"),
    )  # fmt: skip
    assert seen["given"] == {
        "max_credits": "3", "run_date": "2026-01-01", "seed": "8", "min_cell": "5",
        "media_ids": "5e12345678",
    }  # fmt: skip
    assert seen["stages"] == "1-2" and seen["resume"] == "" and seen["quiet"] is False
    assert os.environ["VIEWER_PERSONAS_OUTPUTS"] == str(tmp_path / "o")


@pytest.mark.parametrize(
    "arguments",
    [("run", "--nonsense"), ("run", "-p", "seed"), ("no-such",), ("settle", "x", "y"),
     ("render", "2026-01-01"), ("settle", "persona-9999", "made")],
)  # fmt: skip
def test_wrong_use_of_the_command_line_is_2(viewer_personas, arguments):
    status, out, err = viewer_personas(*arguments)
    assert status == 2 and out == "" and err


def test_help_names_every_command_of_the_design_and_the_exit_statuses(viewer_personas):
    status, out, _ = viewer_personas("--help")
    assert status == 0
    for name in ("run", "run-all", "sandbox", "doctor", "runs", "render", "erase", "settle"):
        assert re.search(rf"^  {name} ", out, re.M), name
    assert "7 the data broke a rule" in out
    _, out, _ = viewer_personas("run", "--help")
    options = "--outputs --run-date -p -f --stages --resume --max-credits --quiet"
    assert all(option in out for option in options.split())
    _, out, _ = viewer_personas("sandbox", "--help")
    options = "--port --viewers --seed --data --latency --state"
    assert all(re.search(rf"^  {option} ", out, re.M) for option in options.split())


def test_both_names_of_the_command_are_one_and_what_is_suggested_works(bare_environment):
    script = os.path.join(os.path.dirname(sys.executable), "viewer-personas")
    environment = os.environ | {"PATH": "/usr/bin:/bin"}  # as where nothing is activated
    for name in ([script], [sys.executable, "-m", "helpers"]):
        done = subprocess.run([*name, "runs"], capture_output=True, text=True, env=environment)
        assert (done.returncode, done.stderr) == (0, "")
        (command,) = re.findall("^No runs yet. `(.+)` makes one.$", done.stdout)
        tried = [*shlex.split(command), "--help"]
        done = subprocess.run(tried, capture_output=True, text=True, env=environment)
        assert done.returncode == 0 and "--max-credits" in done.stdout


def test_runs_lists_runs_newest_first_and_what_sets_each_apart(viewer_personas, bare_environment):
    given = {"run": "2026-07-01", "run_date": "2026-07-01", "min_cell": 3, "media_ids": ["a", "b"],
             "seed": 0}  # fmt: skip
    facts = {"account": "live", "source": {"wistia": "live", "mavera": "sandbox"}, "status": "done"}
    facts["window"] = {"start_date": "2026-01-01", "end_date": "2026-06-30"}
    facts |= {"counts": {"viewers": 1218}, "credits": {"spent": 1562}, "parameters": given}
    for name in ("2026-07-01", "2026-07-01.2", "2026-07-01.10", "2026-06-30", "dev"):
        folders.record(bare_environment / name, **facts)
    status, out, _ = viewer_personas("runs")
    head, *lines = out.splitlines()
    names = [line.split()[0] for line in lines]
    assert status == 0 and head.split()[:3] == ["run", "state", "account"]
    assert names == ["2026-07-01.10", "2026-07-01.2", "2026-07-01", "2026-06-30"]
    assert re.split("  +", lines[0])[1:] == [
        "done", "not named", "live", "sandbox", "1,218", "1,562 (play)",
        "2026-01-01 to 2026-06-30", "min_cell=3 media_ids=a,b",
    ]  # fmt: skip


def test_runs_tells_parts_and_a_run_that_was_killed(viewer_personas, bare_environment):
    for name, status, stages in (
        ("2026-07-01", "done", STAGES[:3]), ("2026-07-02", "done", STAGES[2:3]),
        ("2026-07-03", "done", STAGES), ("2026-07-04", "running", STAGES),
        ("2026-07-05", "failed", STAGES), ("2026-07-06", "failed", STAGES),
    ):  # fmt: skip
        facts = {"account": "live", "status": status, "stages": {name: {} for name in stages}}
        folders.record(bare_environment / name, **facts)

    folders.record(bare_environment / "2026-07-06", error={"kind": "KeyboardInterrupt"})

    def states():
        lines = viewer_personas("runs")[1].splitlines()
        return [re.split(r"\s{2,}", line)[1] for line in lines[1:]]

    expected = ["interrupted", "failed", "stopped", "done", "done, stage 3", "done, stages 1-3"]
    assert states() == expected
    lock = bare_environment / "store" / "live" / "run.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):  # as another process holds it
        assert states() == ["interrupted", "failed", "running", *expected[3:]]
    assert states() == expected


def test_erase_prints_what_stays(viewer_personas, monkeypatch):
    monkeypatch.setattr(erase, "erase", lambda who: [f"{who} is gone.", "Wistia's copy stays."])
    assert viewer_personas("erase", "a@example.com", "--yes") == (
        0, "a@example.com is gone.\nWistia's copy stays.\n", "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [("n\n", 0, "Nothing was deleted."), ("", 2, "In a script, give --yes.")],
)
def test_erase_that_is_not_answered_yes_deletes_nothing(
    viewer_personas, monkeypatch, answer, status, said
):
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    found, out, err = viewer_personas("erase", "a@example.com")
    assert (found, said in out + err) == (status, True)
    assert "Nothing was deleted" in out + err and "Interrupted" not in err


def test_settle_closes_a_pending_purchase(viewer_personas, bare_environment):
    store = Store(bare_environment / "store" / "live")
    store.folder.mkdir(parents=True)
    book = ledger.Ledger(ledger.path_for(store.folder, "https://app.mavera.io/api/v1"))
    entry = book.open("persona", "Bouncers", price=300)
    status, out, _ = viewer_personas("settle", entry.entry, "made")
    assert status == 0 and out == f"Ledger entry {entry.entry} is settled; credits: 300.\n"


def test_doctor_ends_with_the_status_of_what_it_found(viewer_personas, monkeypatch):
    monkeypatch.setenv("WISTIA_BASE_URL", "https://example.com")
    status, out, err = viewer_personas("doctor")
    assert status == 2 and "FAIL keys" in out and "WISTIA_API_TOKEN is not" in err
