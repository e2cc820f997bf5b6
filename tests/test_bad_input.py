"""Bad input, each with its exit status and message, and what was there before is kept."""

import os
from datetime import UTC, datetime

import pandas as pd
import pytest
from commands import manifest
from fetching import Served, event, media, visitor

from helpers import __main__ as command, enrich, fetch
from helpers.batch import plan
from helpers.run import Run
from notebooks import plain_report, write  # noqa: F401

WINDOW = {"start_date": "2026-06-01", "end_date": "2026-06-30"}
NOON = datetime(2026, 6, 12, 10, tzinfo=UTC)


def session(number: int, **more) -> dict:
    return event(number, datetime(2026, 6, 10 + number, 10, tzinfo=UTC), **more)


@pytest.fixture
def wistia(monkeypatch):
    """Serve rows as a live Wistia; the environment then has its address and a token."""
    stops = []

    def serve(visitors, events) -> None:
        served = Served(visitors, events, [media("0012345678")]).start()
        stops.append(served.stop)
        monkeypatch.setenv("WISTIA_BASE_URL", served.url)
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
        (("-p", "wistia_token", "sesame"), 2, "sounds like a secret"),
        (("-p", "run", "2026-07-01"), 2, "--resume RUN"),
        (("-f", "not-there.yml"), 2, "Parameter file not-there.yml: No such file"),
        (("-p", "clusters_file", "not-there.yml"), 2, "Clusters file not-there.yml is not there"),
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


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("when: read_text('/etc/passwd') = ''", ["mine.yml", "first", "line 2"]),
        ("persona: {typ: B2C}", ["mine.yml", "first", "line 2", "typ: unknown key"]),
    ],
)
def test_a_wrong_clusters_file_is_refused_before_anything_starts(
    viewer_personas, bare_environment, tmp_path, rule, said
):
    when = "" if "when" in rule else "when: video_count > 1, "
    text = f"clusters:\n  - {{name: first, {when}{rule}}}\n  - {{name: rest}}\n"
    (tmp_path / "mine.yml").write_text(text)
    status, told = viewer_personas("-p", "clusters_file", str(tmp_path / "mine.yml"))
    assert status == 2 and all(words in told for words in said), told
    assert not bare_environment.exists()


def test_a_null_identity_and_ids_like_numbers_stay_what_they_are(wistia):
    people = [
        visitor("5e98765432", NOON) | {"visitor_identity": None},
        visitor("0098765432", NOON, email="anonymous"),
        {"visitor_key": "v3", "last_active_at": "2026-06-12T10:00:00.000Z"},
    ]
    events = [
        session(1, visitor_key="5e98765432", media_id="5e12345678"),
        session(2, visitor_key="0098765432", media_id="0012345678"),
        session(3, visitor_key="v3"),
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
    wistia([visitor("v1", NOON)], [session(1), session(5, percent_viewed=55)])
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
    known = manifest(bare_environment / "2026-07-01")
    assert known["status"] == "failed" and known["error"]["kind"] == "DataError"
