"""Bad input, each with its exit status and message, and what was there before is kept."""

from __future__ import annotations

import json
import os

import pandas as pd
import pytest

from helpers import __main__ as command
from helpers import enrich, fetch
from helpers.batch import plan
from helpers.run import Run
from helpers.sandbox.account import Account
from helpers.sandbox.server import create_app, start_in_thread
from notebooks import plain_report, write  # noqa: F401

WINDOW = {"start_date": "2026-06-01", "end_date": "2026-06-30"}
DEVICE = {"browser": "Chrome", "browser_version": "100", "platform": "Mac", "mobile": False}


def event(number: int, **more) -> dict:
    known = {
        "received_at": f"2026-06-{10 + number:02d}T10:00:00.000Z", "event_key": f"e{number}",
        "visitor_key": f"v{number}", "media_id": "0012345678", "media_name": "Video",
        "percent_viewed": 0.5, "email": None, "country": "US", "region": "", "city": "",
        "org": "", "conversion_type": "", "conversion_data": {}, "embed_url": "",
        "user_agent_details": DEVICE,
    }  # fmt: skip
    return known | more


def visitor(key: str, **more) -> dict:
    known = {
        "visitor_key": key, "created_at": "2026-06-10T09:00:00.000Z",
        "last_active_at": "2026-06-12T10:00:00.000Z", "load_count": 1, "play_count": 1,
        "visitor_identity": {"name": "", "email": None, "org": {"name": None, "title": None}},
        "user_agent_details": DEVICE,
    }  # fmt: skip
    return known | more


MEDIA = {"id": 1, "hashed_id": "0012345678", "name": "Video", "duration": 60.0, "type": "Video"}


@pytest.fixture
def wistia(monkeypatch):
    """Serve rows as a live Wistia; the environment then has its address and a token."""
    stops = []

    def serve(visitors, events) -> None:
        account = Account.of_rows(visitors, events, [MEDIA])
        url, stop = start_in_thread(create_app(account))
        stops.append(stop)
        monkeypatch.setenv("WISTIA_BASE_URL", url)
        monkeypatch.setenv("WISTIA_API_TOKEN", "any-token")

    yield serve
    for stop in stops:
        stop()


@pytest.fixture
def viewer_personas(capsys, tmp_path, monkeypatch):
    """Give ``run`` in this process, with tiny notebooks: (exit status, message)."""
    books = write(tmp_path / "notebooks")
    monkeypatch.setattr(plan, "project_root", lambda: tmp_path)

    def give(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            command.main(["run", *arguments])
        assert books.is_dir()
        out, err = capsys.readouterr()
        assert out == "" and "Traceback" not in err
        return ended.value.code, err

    return give


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("-p", "source", "live"), 3, "WISTIA_API_TOKEN is not set"),
        (("--run-date", "yesterday"), 2, "run_date is 'yesterday'. Expected a day"),
        (
            ("-p", "start_date", "2026-06-30", "-p", "end_date", "2026-06-01"),
            2,
            "end_date 2026-06-01 comes before start_date 2026-06-30",
        ),
        (("-p", "min_cells", "5"), 2, "Did you mean 'min_cell'?"),
        (("--max-credits", "1.5"), 2, "max_credits is '1.5'. Expected a whole number"),
        (("-p", "wistia_token", "sesame"), 2, "sounds like a secret"),
        (("-p", "run", "2026-07-01"), 2, "--resume RUN"),
        (("--stages", "0-9"), 2, "Expected N or N-M"),
        (("--stages", "4"), 2, "04_personas reads what 01_fetch writes"),
        (("--resume", "2026-01-01"), 2, "There is no run '2026-01-01'"),
        (("-f", "not-there.yml"), 2, "Parameter file not-there.yml: No such file"),
        (("-p", "clusters_file", "not-there.yml"), 2, "Clusters file not-there.yml is not there"),
        (("-p", "sessions_file", "not-there.csv"), 2, "Sessions file not-there.csv: No such file"),
    ],
)
def test_wrong_use_is_told_before_anything_is_written(
    viewer_personas, bare_environment, arguments, status, message
):
    found, said = viewer_personas(*arguments)
    assert (found, message in said) == (status, True), said
    assert said.count("\n") == 1 and "sesame" not in said
    assert not bare_environment.exists()


def test_an_address_without_its_key_is_wrong_use(viewer_personas, monkeypatch):
    monkeypatch.setenv("WISTIA_BASE_URL", "https://example.com")
    status, said = viewer_personas()
    assert status == 2 and "WISTIA_BASE_URL is set but WISTIA_API_TOKEN is not" in said


def test_outputs_that_cannot_be_written_are_wrong_use(viewer_personas, tmp_path):
    (tmp_path / "taken").write_text("a file")
    status, said = viewer_personas("--outputs", str(tmp_path / "taken"))
    assert status == 2 and "cannot be written" in said and "--outputs" in said
    assert (tmp_path / "taken").read_text() == "a file"


CLUSTERS = """clusters:
  - name: first
    title: First
    when: {when}
    description: A rule.
  - name: rest
    title: Rest
    description: The rest.
"""


def test_a_hostile_rule_is_refused_by_name_and_line(viewer_personas, bare_environment, tmp_path):
    file = tmp_path / "mine.yml"
    file.write_text(CLUSTERS.format(when="read_text('/etc/passwd') = ''"))
    status, said = viewer_personas("-p", "clusters_file", str(file))
    assert status == 2 and "mine.yml" in said and "first" in said and "line" in said, said
    assert not bare_environment.exists()


def test_a_persona_field_that_mavera_has_not_is_refused_before_anything_starts(
    viewer_personas, bare_environment, tmp_path
):
    text = CLUSTERS.format(when="video_count > 1") + "    persona: {typ: B2C}\n"
    (tmp_path / "mine.yml").write_text(text)
    status, said = viewer_personas("-p", "clusters_file", str(tmp_path / "mine.yml"))
    assert status == 2 and "rest" in said and "'typ'" in said
    assert not bare_environment.exists()


def test_a_null_identity_and_ids_like_numbers_stay_what_they_are(wistia):
    people = [
        visitor("5e98765432", visitor_identity=None),
        visitor("0098765432", visitor_identity={"name": " ", "email": "anonymous", "org": None}),
        {"visitor_key": "v3", "last_active_at": "2026-06-12T10:00:00.000Z"},
    ]
    events = [
        event(1, visitor_key="5e98765432", media_id="5e12345678"),
        event(2, visitor_key="0098765432", media_id="0012345678"),
        event(3, visitor_key="v3"),
    ]
    wistia(people, events)
    run = Run.open("01_fetch", **WINDOW)
    fetch.everything(run)
    run = Run.open("02_enrich", run, media_ids=["5e12345678", "0012345678"])
    enrich.features(run)
    viewers = pd.read_parquet(run.find("features.parquet")).set_index("visitor_key")
    assert viewers.loc["5e98765432", "top_video"] == "5e12345678"
    assert viewers.loc["0098765432", "top_video"] == "0012345678"
    assert not viewers["identified"].any() and viewers["name"].isna().all()


def test_an_error_from_a_stage_reaches_the_command_as_its_status(
    wistia, bare_environment, tmp_path, capsys, monkeypatch, plain_report  # noqa: F811
):  # fmt: skip
    wistia([visitor("v1")], [event(1), event(5, percent_viewed=55)])
    calls = (
        "from helpers import fetch\n"
        "run = Run.open('01_fetch', run, start_date=start_date, end_date=end_date)\n"
        "fetch.everything(run)"
    )
    write(tmp_path / "notebooks", s1=calls)
    monkeypatch.setattr(plan, "project_root", lambda: tmp_path)
    arguments = [word for name, value in WINDOW.items() for word in ("-p", name, value)]
    with pytest.raises(SystemExit) as ended:
        command.main(["run", "--stages", "1", "--run-date", "2026-07-01", *arguments])
    _, said = capsys.readouterr()
    assert ended.value.code == 7
    assert "percent_viewed is 55" in said and "--resume 2026-07-01" in said
    assert "Traceback" not in said and os.fspath(tmp_path) not in said.splitlines()[0]
    known = json.loads((bare_environment / "2026-07-01" / "run.json").read_text("utf-8"))
    assert known["status"] == "failed" and known["error"]["kind"] == "DataError"
