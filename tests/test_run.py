"""A run knows its folder, its window, its account and its services."""

import subprocess
import sys
from datetime import UTC, date, datetime

import pandas as pd
import pyarrow as pa
import pytest

from helpers import cluster, enrich
from helpers.core.errors import AccessError, DataError, ParameterError
from helpers.core.folders import new_folder, newest_first, record
from helpers.core.settings import Sources
from helpers.run import Run
from helpers.store.schema import SESSIONS


def make(outputs, name, **facts):
    (outputs / name / "data").mkdir(parents=True)
    source = {"wistia": "sandbox", "mavera": "sandbox"}
    record(outputs / name, **{"status": "done", "account": "sandbox", "source": source} | facts)
    return outputs / name


KEYS = {"WISTIA_API_TOKEN": "t", "MAVERA_API_KEY": "k"}


@pytest.mark.parametrize(
    ("environment", "given", "kinds", "account"),
    [
        ({}, {}, ("sandbox", "sandbox"), "sandbox"),
        ({"WISTIA_API_TOKEN": "t"}, {}, ("live", "sandbox"), "live"),
        (KEYS | {"VIEWER_PERSONAS_ACCOUNT": "acme"}, {}, ("live", "live"), "acme"),
        (KEYS, {"source": "sandbox"}, ("sandbox", "sandbox"), "sandbox"),
        ({}, {"sessions_file": "x.csv"}, ("file", "sandbox"), "file"),
    ],
)
def test_a_service_is_live_when_its_key_is_set(
    monkeypatch, bare_environment, environment, given, kinds, account
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    run = Run.open("01_fetch", **given)
    assert (run.source, run.account) == (Sources(*kinds), account)
    assert run.store.folder == bare_environment / "store" / account
    if kinds[0] == "live":
        assert run.address("wistia")[0] == "https://api.wistia.com"


@pytest.mark.parametrize("service", ["WISTIA", "MAVERA"])
def test_an_address_without_its_key_is_refused(monkeypatch, service):
    monkeypatch.setenv(f"{service}_BASE_URL", "http://127.0.0.1:1")
    with pytest.raises(ParameterError, match=f"{service}_BASE_URL is set but"):
        Run.open("01_fetch")


def test_source_live_without_a_key_that_the_stages_need_is_refused(monkeypatch):
    with pytest.raises(AccessError, match="WISTIA_API_TOKEN is not set"):
        Run.open("01_fetch", source="live")
    monkeypatch.setenv("WISTIA_API_TOKEN", "t")
    Run.open("03_cluster", source="live")
    with pytest.raises(AccessError, match="MAVERA_API_KEY is not set"):
        Run.open("04_personas", source="live")


def test_runs_are_listed_newest_first_numerically_and_dev_is_none(bare_environment):
    for name in ("2026-06-01", "2026-06-01.2", "2026-06-01.10", "2026-05-31.3", "dev", "notes"):
        make(bare_environment, name)
    assert [folder.name for folder, _ in newest_first(bare_environment)] == [
        "2026-06-01.10", "2026-06-01.2", "2026-06-01", "2026-05-31.3",
    ]  # fmt: skip


def test_dev_reads_what_stands_there_else_the_newest_done_run_of_the_account(bare_environment):
    old = make(bare_environment, "2026-06-01")
    new = make(bare_environment, "2026-06-02")
    failed = make(bare_environment, "2026-06-03", status="failed")
    other = make(bare_environment, "2026-06-04", account="live")
    for folder in (old, new, failed, other):
        (folder / "data" / "clusters.csv").write_text("")
    run = Run.open("03_cluster")
    assert run.find("clusters.csv") == new / "data" / "clusters.csv"
    run.write_csv("clusters.csv", pd.DataFrame({"cluster": ["a"]}))
    assert run.find("clusters.csv") == bare_environment / "dev" / "data" / "clusters.csv"


@pytest.mark.parametrize(
    ("name", "account", "said"),
    [
        ("2026-06-01", "live", "belongs to account 'sandbox'"),
        ("2026-06-02", "", "There is no run folder '2026-06-02'"),
    ],
)
def test_a_run_that_is_not_there_or_of_another_account_is_refused(
    bare_environment, monkeypatch, name, account, said
):
    make(bare_environment, "2026-06-01")
    if account:
        monkeypatch.setenv("WISTIA_API_TOKEN", "t")
    with pytest.raises(ParameterError, match=said):
        Run.open("03_cluster", name)


def test_a_run_keeps_its_date_and_reads_nothing_of_other_runs(bare_environment):
    (make(bare_environment, "2026-06-01") / "data" / "clusters.csv").write_text("")
    make(bare_environment, "2026-06-02", parameters={"run_date": "2030-02-01"})
    run = Run.open("03_cluster", "2026-06-02")
    assert run.params.run_date == "2030-02-01"
    with pytest.raises(DataError, match=r"data/clusters.csv is not there.*Run 03_cluster first"):
        run.need("clusters.csv", "03_cluster")
    run.record(counts={"visitors": 1, "sessions": 2})
    run.record(counts={"sessions": 3}, requests=4)
    assert run.manifest().counts == {"visitors": 1, "sessions": 3}, "facts merge key by key"


def test_dev_of_another_account_is_started_afresh(bare_environment, monkeypatch):
    Run.open("03_cluster").write_json("clusters.csv", "of the sandbox")
    monkeypatch.setenv("WISTIA_API_TOKEN", "t")
    run = Run.open("03_cluster")
    assert run.find("clusters.csv") is None
    assert run.manifest().account == "live"


def test_of_a_path_only_the_name_is_written_down(tmp_path):
    file = tmp_path / "mine.yml"
    run = Run.open("03_cluster", clusters_file=str(file))
    assert run.params.clusters_file == str(file)
    assert run.manifest().parameters["clusters_file"] == "mine.yml"


def test_what_a_run_shows_is_the_same_on_any_date(monkeypatch):
    shown = []
    for day in ("2026-11-24", "2031-02-28"):
        monkeypatch.setenv("VIEWER_PERSONAS_NOW", f"{day}T12:00:00+00:00")
        shown.append(repr(Run.open("01_fetch", run_date="")))
    assert shown[0] == shown[1]
    assert "invented sample data" in shown[0]


def test_run_names_of_a_day_go_up_to_ten_and_nothing_is_overwritten(bare_environment):
    bare_environment.mkdir()
    day = date(2026, 6, 1)
    names = [new_folder(bare_environment, day).name for _ in range(10)]
    assert names == ["2026-06-01", *(f"2026-06-01.{n}" for n in range(2, 11))]
    with pytest.raises(ParameterError, match="has ten runs"):
        new_folder(bare_environment, day)


def test_the_ledger_is_named_after_the_address_and_the_sandbox_by_its_name(monkeypatch):
    run = Run.open("04_personas")
    assert run.source.identity("mavera", run.settings) == "sandbox"
    monkeypatch.setenv("MAVERA_API_KEY", "k")
    monkeypatch.setenv("MAVERA_BASE_URL", "http://127.0.0.1:9/api/v1/")
    run = Run.open("04_personas")
    assert run.source.identity("mavera", run.settings) == "http://127.0.0.1:9/api/v1"


def viewed(run, media="a", percent=0.5):
    """A store with one session."""
    row = {"event_key": f"e-{media}", "visitor_key": "v", "media_id": media}
    row |= {"received_at": datetime(2026, 6, 1, tzinfo=UTC), "percent_viewed": percent}
    rows = pa.Table.from_pylist([row], schema=SESSIONS)
    run.store.open("sandbox")
    read_at = f"2026-06-09T0{len(media)}:00:00+00:00"
    run.store.sessions.write(date(2026, 6, 1), rows, read_at=read_at, of=media)
    run.forget_tables()


def test_a_stage_stops_where_its_input_was_made_with_something_else():
    viewed(Run.open("01_fetch"))
    run = Run.open("02_enrich")
    enrich.features(run)
    cluster.assign(Run.open("03_cluster"))
    Run.open("01_fetch", start_date="2026-01-01")
    with pytest.raises(DataError, match=r"another window.*Run 02_enrich again"):
        cluster.assign(Run.open("03_cluster"))
    Run.open("01_fetch", start_date="")
    cluster.assign(Run.open("03_cluster"))
    viewed(run, media="b", percent=0.9)
    with pytest.raises(
        DataError, match=r"has changed since \(a fetch or an erase\)\. Run 02_enrich"
    ):
        cluster.assign(Run.open("03_cluster"))


def test_a_choice_of_videos_made_in_02_is_kept_by_later_stages():
    viewed(Run.open("01_fetch"))
    enrich.features(Run.open("02_enrich", media_ids=["other"]))
    run = Run.open("03_cluster")
    assert run.params.media_ids == ["other"] and cluster.assign(run)["viewers"].sum() == 0


def test_later_stages_use_the_rules_of_03(tmp_path):
    own = tmp_path / "own.yml"
    own.write_text(
        "clusters:\n  - {name: deep, when: avg_percent_watched >= 40}\n  - {name: rest}\n"
    )
    viewed(Run.open("01_fetch"))
    enrich.features(Run.open("02_enrich"))
    cluster.assign(Run.open("03_cluster", clusters_file=str(own)))
    assert Run.open("04_personas").rules.names == ["deep", "rest"]
    other = tmp_path / "other.yml"
    other.write_text("clusters:\n  - {name: everybody}\n")
    with pytest.raises(DataError, match="other rules than those that 03_cluster used"):
        _ = Run.open("04_personas", clusters_file=str(other)).rules
    assert Run.open("03_cluster").rules.names == ["deep", "rest"]
    assert Run.open("03_cluster", clusters_file="").rules.names[0] == "binge_watchers"


def test_a_scratch_folder_of_ones_own_leaves_dev_alone(bare_environment):
    run = Run.open("02_enrich", "dev-mine", start_date="2026-01-01")
    assert run.folder == bare_environment / "dev-mine" and run.is_dev
    assert not (bare_environment / "dev").exists()


def test_the_previous_run_is_the_newest_done_one_whose_window_ends_earlier(bare_environment):
    def window(end):
        return {"start_date": "2026-01-01", "end_date": end, "as_of": end}

    make(bare_environment, "2026-05-01", window=window("2026-04-30"))
    make(bare_environment, "2026-06-01", window=window("2026-05-31"))
    make(bare_environment, "2026-06-02", window=window("2026-06-01"), status="failed")
    make(bare_environment, "2026-07-01", window=window("2026-06-30"))
    assert Run.open("03_cluster", "2026-07-01").previous().folder.name == "2026-06-01"


@pytest.mark.parametrize("place", ["dev", "store", "2026-07-01"])
def test_nothing_is_written_through_a_link_out_of_the_outputs_folder(bare_environment, place):
    outside = bare_environment.parent / "elsewhere"
    for folder in (outside, bare_environment):
        folder.mkdir(mode=0o700)
    (bare_environment / ".viewer-personas").touch()
    (bare_environment / place).symlink_to(outside)
    with pytest.raises(ParameterError, match=f"^{place} in the outputs folder is a link"):
        Run.open("01_fetch", source="sandbox")
    assert list(outside.iterdir()) == []


def test_the_kits_own_is_found_where_another_package_has_its_name(tmp_path):
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("")
    script = (
        "import helpers\n"
        "from helpers import analysis, cluster, enrich, fetch, personas, plots, retention\n"
        "from helpers.store import rules\n"
        "print(helpers.__file__, *rules.load().names)"
    )
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    theirs, *names = done.stdout.split()
    assert theirs.startswith(str(tmp_path))  # Python found the other one first
    assert names[0] == "binge_watchers"
