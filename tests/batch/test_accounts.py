"""Several accounts by one command: one after another, past a failed one, nothing mixed."""

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from helpers import __main__ as command
from helpers.batch import accounts, accounts_file
from helpers.core import folders

STAND_IN = """
import json, os, signal, sys, time
from pathlib import Path
name, folder = sys.argv[1], Path(sys.argv[2]) / "2026-07-01"
status, seconds = map(float, sys.argv[3:5])
facts = {"status": "done", "account": name, "source": {"wistia": "live", "mavera": "live"},
         "counts": {"viewers": 0 if name == "west" else 1218}, "credits": {"spent": 300},
         "stages": {}, "window": {"start_date": "2026-06-01", "end_date": "2026-06-30"}}
def write(**more):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(facts | more))
def stop(*_):
    write(status="failed")
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
write(status="running", stages={"01_fetch": {"status": "running"}})
time.sleep(seconds)
if status:
    write(status="failed")
    print("What. Where. Do.", file=sys.stderr)
    print("Run x is not finished; its log is x. To go on with it: viewer-personas", file=sys.stderr)
    if status < 0:
        os.kill(os.getpid(), int(-status))
    sys.exit(int(status))
write()
(folder / "report.html").touch()
"""


@pytest.fixture
def accounts_yml(tmp_path, monkeypatch):
    """A function that writes accounts whose processes end so: name=(status, seconds)."""
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    ends = {}

    def stand_in(account, outputs, *_):
        place, end = str(outputs), map(str, ends[account.name])
        return [sys.executable, str(script), account.name, place, *end]

    def write(key: str = "", **given) -> Path:
        ends.update(given)
        for name in given:
            (tmp_path / f"{name}.env").write_text(f"WISTIA_API_TOKEN={key or name}\n")
        lines = [f"  {name}: {{env_file: {name}.env}}" for name in given]
        (tmp_path / "accounts.yml").write_text("\n".join(["accounts:", *lines]) + "\n")
        return tmp_path / "accounts.yml"

    monkeypatch.setattr(accounts, "command", stand_in)
    return write


@pytest.fixture
def give(capsys):
    """Give `run-all` in this process: (exit status, stdout, stderr)."""

    def run_all(*arguments) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            command.main(["run-all", *map(str, arguments)])
        return ended.value.code, *capsys.readouterr()

    return run_all


def test_it_goes_on_past_a_failed_account_and_ends_with_a_table_and_the_worst_status(
    accounts_yml, give, bare_environment, monkeypatch
):
    monkeypatch.chdir(bare_environment.parent)
    status, out, err = give(accounts_yml(north=(5, 0), south=(3, 0), west=(0, 0)))
    assert status == 5
    report = "outputs/west/2026-07-01/report.html"
    assert [re.split(r"  +", line) for line in out.splitlines()] == [
        ["account", "outcome", "viewers", "credits", "report"],
        ["north", "credits (5)", "1,218", "300", "-"],
        ["south", "keys or permissions (3)", "1,218", "300", "-"],
        ["west", "done, no viewers in the window", "0", "300", report],
        ["Index: outputs/index.html"],
    ]
    assert re.match(r"north …\nnorth: credits \(5\), \d+ s\n  What. Where. Do.\n  Run x", err)


@pytest.mark.parametrize(
    ("end", "status", "outcome", "said"),
    [
        (7, 7, "the data broke a rule (7)", "What. Where. Do."),
        (-9, 1, "unexpected (1)", "It was ended by signal 9, as when memory runs out."),
    ],
)
def test_quiet_prints_nothing_when_all_is_well_and_everything_else_when_not(
    accounts_yml, give, end, status, outcome, said
):
    assert give(accounts_yml(north=(0, 0), south=(0, 0)), "--quiet") == (0, "", "")
    found, out, err = give(accounts_yml(north=(0, 0), south=(end, 0)), "--quiet")
    assert found == status and "north  " in out and outcome in out
    assert said in err and "north" not in err


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_stops_the_processes_and_keeps_what_they_did(accounts_yml, give, bare_environment):
    path = accounts_yml(north=(0, 0), south=(0, 60), east=(0, 0))

    def interrupt():
        while len(list(bare_environment.glob("*/*/run.json"))) < 2:
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    status, out, err = give(path)
    assert status == 130 and "Interrupted. What was fetched and bought is kept." in err
    outcomes = dict(re.split(r"  +", line)[:2] for line in out.splitlines()[1:-1])
    assert outcomes == {
        "north": "done", "south": "interrupted (130)", "east": "not started",
    }  # fmt: skip
    assert folders.read_manifest(bare_environment / "south" / "2026-07-01").status == "failed"
    page = BeautifulSoup((bare_environment / "index.html").read_text("utf-8"), "html.parser")
    assert [h2.text for h2 in page.find_all("h2")] == [
        "Account: north", "Account: south",
    ]  # fmt: skip


def test_an_account_inherits_no_setting_of_another(accounts_yml, monkeypatch):
    for name in ("WISTIA_API_TOKEN", "MAVERA_BASE_URL", "VIEWER_PERSONAS_DASK", "mavera_api_key"):
        monkeypatch.setenv(name, "inherited")
    path = accounts_yml(north=(0, 0), south=(0, 0))
    south_env = path.parent / "south.env"
    south_env.write_text("VIEWER_PERSONAS_ACCOUNT=acme\n")
    north, south = accounts_file.read(path, {})
    kept = accounts.environment(north)
    ours = {name for name in kept if re.match("(?i)wistia_|mavera_|viewer_personas_", name)}
    assert ours == {"VIEWER_PERSONAS_ENV_FILE", "VIEWER_PERSONAS_ACCOUNT"}
    assert kept["VIEWER_PERSONAS_ACCOUNT"] == "north" and kept["PATH"] == os.environ["PATH"]
    named = accounts.environment(south)
    assert named["VIEWER_PERSONAS_ENV_FILE"] == str(south_env)
    assert "VIEWER_PERSONAS_ACCOUNT" not in named  # its file says acme


def test_options_are_handed_on(tmp_path):
    (tmp_path / "s.env").touch()
    (tmp_path / "s.yml").write_text("seed: 1\n")
    path = tmp_path / "accounts.yml"
    path.write_text("accounts:\n  s: {env_file: s.env, parameters: s.yml, max_credits: 1600}\n")
    (account,) = accounts_file.read(path, {})
    assert accounts.command(account, Path("/o/s"), {"min_cell": "20"}, "1-3")[1:] == [
        "-m", "helpers", "run", "--quiet", "--outputs", "/o/s", "-f", str(tmp_path / "s.yml"),
        "--stages", "1-3", "-p", "max_credits", "1600", "-p", "min_cell", "20",
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", [("--stages", "9"), ("-p", "sed", "1"), ()])
def test_wrong_use_starts_nothing(accounts_yml, give, bare_environment, wrong):
    path = accounts_yml(north=(0, 0))
    status, out, _ = give(path if wrong else path.with_name("none.yml"), *wrong)
    assert status == 2 and out == "" and not bare_environment.exists()
