"""A run knows its folder, its window, its account and its services."""

import json
import stat
from datetime import date

import pytest

from helpers import run as runs
from helpers.core import settings
from helpers.core.errors import AccessError, DataError, ParameterError
from helpers.run import Run


def make(outputs, name, **facts):
    folder = outputs / name
    (folder / "data").mkdir(parents=True)
    manifest = {"status": "done", "account": "sandbox", **facts}
    (folder / "run.json").write_text(json.dumps(manifest))
    return folder


def test_without_keys_both_services_are_the_sandbox(bare_environment):
    run = Run.open("01_fetch")
    assert run.source == {"wistia": "sandbox", "mavera": "sandbox"}
    assert run.account == "sandbox"
    assert run.store.folder == bare_environment / "store" / "sandbox"


def test_a_service_is_live_when_its_key_is_set(monkeypatch):
    monkeypatch.setenv("WISTIA_API_TOKEN", "t")
    run = Run.open("01_fetch")
    assert run.source == {"wistia": "live", "mavera": "sandbox"}
    assert run.account == "live"
    assert run.wistia_address()[0] == "https://api.wistia.com"


def test_the_account_of_a_live_run_is_the_setting(monkeypatch):
    monkeypatch.setenv("WISTIA_API_TOKEN", "t")
    monkeypatch.setenv("VIEWER_PERSONAS_ACCOUNT", "acme")
    assert Run.open("01_fetch").account == "acme"


def test_source_sandbox_leaves_set_keys_alone(monkeypatch):
    monkeypatch.setenv("WISTIA_API_TOKEN", "t")
    monkeypatch.setenv("MAVERA_API_KEY", "k")
    assert Run.open("01_fetch", source="sandbox").account == "sandbox"


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


def test_outputs_are_open_to_their_owner_alone(bare_environment):
    Run.open("01_fetch")
    assert stat.S_IMODE(bare_environment.stat().st_mode) == 0o700


def test_outputs_that_cannot_be_made_are_wrong_use(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VIEWER_PERSONAS_OUTPUTS", str(tmp_path / "file" / "outputs"))
    with pytest.raises(ParameterError, match="cannot be written"):
        Run.open("01_fetch")


def test_runs_are_listed_newest_first_numerically_and_dev_is_none(bare_environment):
    for name in ("2026-06-01", "2026-06-01.2", "2026-06-01.10", "2026-05-31.3", "dev", "notes"):
        make(bare_environment, name)
    assert [folder.name for folder, _ in runs.newest_first(bare_environment)] == [
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
    run.data("clusters.csv").write_text("")
    assert run.find("clusters.csv") == bare_environment / "dev" / "data" / "clusters.csv"


def test_a_run_folder_reads_nothing_of_other_runs(bare_environment):
    (make(bare_environment, "2026-06-01") / "data" / "clusters.csv").write_text("")
    make(bare_environment, "2026-06-02")
    run = Run.open("03_cluster", "2026-06-02")
    with pytest.raises(DataError, match=r"data/clusters.csv is not there.*Run 03_cluster first"):
        run.need("clusters.csv", "03_cluster")


def test_dev_of_another_account_is_started_afresh(bare_environment, monkeypatch):
    Run.open("03_cluster").data("clusters.csv").write_text("of the sandbox")
    monkeypatch.setenv("WISTIA_API_TOKEN", "t")
    run = Run.open("03_cluster")
    assert run.find("clusters.csv") is None
    assert run.manifest()["account"] == "live"


def test_a_run_of_another_account_is_refused(bare_environment, monkeypatch):
    make(bare_environment, "2026-06-01")
    monkeypatch.setenv("WISTIA_API_TOKEN", "t")
    with pytest.raises(ParameterError, match="belongs to account 'sandbox'"):
        Run.open("03_cluster", "2026-06-01")


def test_a_run_keeps_the_window_it_was_born_with(bare_environment, monkeypatch):
    window = {"start_date": "2026-01-01", "end_date": "2026-01-31", "as_of": "2026-02-01"}
    make(bare_environment, "2026-02-01", window=window)
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", "2026-02-02T00:10:00+00:00")
    assert Run.open("01_fetch", "2026-02-01").window.end == date(2026, 1, 31)


def test_a_missing_run_folder_is_a_clear_error():
    with pytest.raises(ParameterError, match="there is no run folder '2026-06-01'"):
        Run.open("03_cluster", "2026-06-01")


def test_facts_merge_into_run_json_key_by_key(bare_environment):
    run = Run.open("01_fetch")
    run.record(counts={"visitors": 1, "sessions": 2})
    run.record(counts={"sessions": 3}, requests=4)
    manifest = run.manifest()
    assert manifest["counts"] == {"visitors": 1, "sessions": 3}
    assert manifest["requests"] == 4
    assert not list(run.folder.glob("*.tmp"))


def test_of_a_path_only_the_name_is_written_down(tmp_path):
    file = tmp_path / "mine.yml"
    run = Run.open("03_cluster", clusters_file=str(file))
    assert run.params.clusters_file == str(file)
    assert run.manifest()["parameters"]["clusters_file"] == "mine.yml"


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
    names = [runs.new_folder(bare_environment, day).name for _ in range(10)]
    assert names == ["2026-06-01", *(f"2026-06-01.{n}" for n in range(2, 11))]
    with pytest.raises(ParameterError, match="ten runs already"):
        runs.new_folder(bare_environment, day)


def test_the_ledger_is_named_after_the_address_and_the_sandbox_by_its_name(monkeypatch):
    assert Run.open("04_personas").mavera_identity() == "sandbox"
    monkeypatch.setenv("MAVERA_API_KEY", "k")
    monkeypatch.setenv("MAVERA_BASE_URL", "http://127.0.0.1:9/api/v1/")
    assert Run.open("04_personas").mavera_identity() == "http://127.0.0.1:9/api/v1"


def test_settings_of_the_test_machine_are_out_of_reach():
    assert settings.load().secrets == []
