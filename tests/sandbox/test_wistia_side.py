"""The sandbox's Wistia over HTTP, and the sandbox as a process."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from helpers.sandbox.account import Account

EVENTS, VISITORS, MEDIAS = "/v1/stats/events.json", "/v1/stats/visitors.json", "/v1/medias.json"


def event(key: str, at: str, visitor: str = "v1", media: str = "m1", **more) -> dict:
    row = {"event_key": key, "received_at": at, "visitor_key": visitor, "media_id": media}
    return row | {"percent_viewed": 0.5} | more


def visitor(key: str, at: str, **identity) -> dict:
    return {"visitor_key": key, "last_active_at": at, "created_at": at, "load_count": 1,
            "play_count": 1, "visitor_identity": identity or None}  # fmt: skip


def test_both_bases_have_the_same_rows_and_call_a_folder_differently(serve):
    sandbox = serve()
    old, new = sandbox.get(MEDIAS).json()[0], sandbox.get("/modern/medias").json()[0]
    assert set(old["project"]) == {"id", "name", "hashed_id"} and "folder" not in old
    assert new["folder"] == old["project"] and "project" not in new
    for path in ("stats/events", "stats/visitors", "stats/medias/k3v9x0qa1d/engagement"):
        assert sandbox.get(f"/v1/{path}.json").content == sandbox.get(f"/modern/{path}").content


def test_pages_have_ten_rows_unless_more_are_asked_for_at_most_a_hundred_and_an_end(serve):
    sandbox = serve()
    assert len(sandbox.get(EVENTS).json()) == 10
    assert len(sandbox.get(VISITORS, per_page=200).json()) == 100
    second = sandbox.get(EVENTS, per_page=5, page=2).json()
    assert second == sandbox.get(EVENTS, per_page=10).json()[5:]
    for path in (EVENTS, VISITORS, MEDIAS):
        answer = sandbox.get(path, page=1000, per_page=100)
        assert answer.status_code == 200 and answer.text == "[]"
    for path, name in ((EVENTS, "received_at"), (VISITORS, "last_active_at")):
        times = [row[name] for row in sandbox.get(path, per_page=100).json()]
        assert times == sorted(times, reverse=True)


def test_dates_are_inclusive_utc_days(serve):
    rows = [
        event("a", "2026-03-01T23:59:59.000Z"), event("b", "2026-03-02T00:00:00.000Z"),
        event("c", "2026-03-02T23:59:59.999Z"), event("d", "2026-03-03T00:00:00.000Z"),
    ]  # fmt: skip
    sandbox = serve(Account.of_rows([], rows, []))

    def keys(**days):
        return [row["event_key"] for row in sandbox.get(EVENTS, **days).json()]

    assert keys(start_date="2026-03-02", end_date="2026-03-02") == ["c", "b"]
    assert keys(end_date="2026-03-01") == ["a"]
    assert keys(start_date="2026-03-02") == ["d", "c", "b"]
    assert keys(start_date="2026-03-03", end_date="2026-03-01") == []
    assert sandbox.get(EVENTS, start_date="March").status_code == 422


def test_events_are_filtered_by_media_and_visitor_and_visitors_by_what_is_known_of_them(serve):
    at = "2026-03-01T00:00:00.000Z"
    events = [
        event("a", "2026-03-01T00:00:03.000Z", "v1", "0012345678"),
        event("b", "2026-03-01T00:00:02.000Z", "v2", "5e12345678"),
        event("c", "2026-03-01T00:00:01.000Z", "v2", "0012345678"),
    ]
    people = [
        visitor("null", at),
        visitor("mail", at, name="", email="Ada@example.com"),
        visitor("name", at, name="Adam", email=None),
        visitor("form", at, name="Bea", email="bea@example.com") | {"identifying_event_key": "e"},
    ]
    sandbox = serve(Account.of_rows(people, events, []))

    def keys(path, name, **query):
        return [row[name] for row in sandbox.get(path, **query).json()]

    assert keys(EVENTS, "event_key", media_id="0012345678") == ["a", "c"]
    assert keys(EVENTS, "event_key", visitor_key="v2") == ["b", "c"]
    assert len(keys(VISITORS, "visitor_key", media_id="5e12345678")) == 4
    assert keys(VISITORS, "visitor_key", filter="has_email") == ["mail", "form"]
    assert keys(VISITORS, "visitor_key", filter="has_name") == ["name", "form"]
    assert keys(VISITORS, "visitor_key", filter="identified_by_email_gate") == ["form"]
    assert keys(VISITORS, "visitor_key", search="ada") == ["mail", "name"]


def test_a_missing_or_wrong_token_is_401_and_any_other_passes(serve):
    sandbox = serve(viewers=5, scopes={"narrow": ["stats:read"]})
    refusal = {"code": "unauthorized_credentials", "error": "Invalid credentials."}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic YXBpOng="}):
        answer = requests.get(sandbox.url + EVENTS, headers=headers, timeout=30)
        assert (answer.status_code, answer.json()) == (401, refusal)
    assert sandbox.get(EVENTS, token="another").status_code == 200
    scopes = sandbox.get("/modern/token").json()["scopes"]
    assert scopes == ["stats:read", "media:read", "all:read"]
    assert sandbox.get(EVENTS, token="narrow").status_code == 200
    answer = sandbox.get(MEDIAS, token="narrow")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized_scope")


def test_over_the_limit_of_a_minute_all_tokens_are_throttled(serve):
    sandbox = serve(viewers=3, per_minute=4)
    for number in range(4):
        assert sandbox.get(MEDIAS, token=f"t{number}").status_code == 200
    answer = sandbox.get(EVENTS, token="fresh")
    assert answer.status_code == 429
    assert 55 <= int(answer.headers["Retry-After"]) <= 60
    assert sandbox.call("GET", "/usage").status_code == 200  # another service, another limit


def test_what_is_not_there_is_a_404_without_a_body(serve):
    sandbox = serve()
    for path in ("/v1/stats/medias/none.json", "/v1/stats/medias/x2a7g5i0vt.json", "/v2/x", "/"):
        answer = sandbox.get(path)
        assert (answer.status_code, answer.content) == (404, b"")
    assert requests.post(sandbox.url + MEDIAS, timeout=30).status_code == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1", 200), ("localhost:99", 200), ("evil.example", 403), ("127.0.0.1.evil", 403),
     ("localhost.evil:80", 403), ("", 403)],
)  # fmt: skip
def test_only_this_machine_s_own_names_are_answered(serve, host, status):
    headers = {"Authorization": "Bearer anything", "Host": host}
    answer = requests.get(serve(viewers=3).url + MEDIAS, headers=headers, timeout=30)
    assert answer.status_code == status
    assert re.fullmatch(r"sandbox-\d+", answer.headers["x-request-id"])


def test_media_figures_are_those_of_the_events(serve):
    medias = [{"hashed_id": "m1", "id": 7, "name": "Tour", "duration": 10.0},
              {"hashed_id": "m2", "name": "Picture", "duration": None}]  # fmt: skip
    rows = [event("a", "2026-03-01T00:00:00.000Z", percent_viewed=1.0),
            event("b", "2026-03-01T00:00:00.000Z", percent_viewed=0.2)]  # fmt: skip
    sandbox = serve(Account.of_rows([], rows, medias))
    stats = sandbox.get("/v1/stats/medias/m1.json").json()
    assert (stats["play_count"], stats["engagement"]) == (2, 0.6)
    assert stats["hours_watched"] == pytest.approx(12 / 3600)
    curve = sandbox.get("/v1/stats/medias/m1/engagement.json").json()
    assert curve["engagement_data"] == [2, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    assert set(curve) == {"engagement", "engagement_data", "rewatch_data"}
    assert sandbox.get("/v1/stats/medias/m2/engagement.json").json()["engagement_data"] == []


def test_a_folder_of_rows_is_served_in_api_order_with_all_digits(tmp_path, serve):
    digits = "0.014458406819517978"
    (tmp_path / "events.json").write_text(
        f'[{{"event_key":"old","received_at":"2024-12-04T00:00:00.000Z","percent_viewed":{digits}}},'
        '{"event_key":"new","received_at":"2025-05-12T00:00:00.000Z","percent_viewed":55}]'
    )
    (tmp_path / "visitors.json").write_text('[{"visitor_key":"0012","visitor_identity":null}]')
    sandbox = serve(data=tmp_path)
    answer = sandbox.get(EVENTS)
    assert [row["event_key"] for row in answer.json()] == ["new", "old"]
    assert digits in answer.text and '"percent_viewed":55}' in answer.text
    people = sandbox.get(VISITORS).json()
    assert people == [{"visitor_key": "0012", "visitor_identity": None}]
    assert sandbox.get(MEDIAS).json() == []


def test_rows_may_move_while_they_are_read_and_answers_may_be_slow(serve):
    def play(number, path, account):
        if number == 2:
            account.play("v2")
        if number == 4:
            account.play("brand-new", "0012345678", percent_viewed=0.25)

    rows = [visitor("v1", "2026-03-02T00:00:00.000Z"), visitor("v2", "2026-03-01T00:00:00.000Z")]
    events = [event("a", "2026-03-02T00:00:00.000Z"), event("b", "2026-03-01T00:00:00.000Z", "v2")]
    account = Account.of_rows(rows, events, [])
    sandbox = serve(account, on_request=play, log=(log := []), latency=0.05)

    def first():
        return sandbox.get(VISITORS, per_page=1).json()[0]

    assert first()["visitor_key"] == "v1"
    moved = first()
    assert (moved["visitor_key"], moved["play_count"]) == ("v2", 2)
    answer = sandbox.get(EVENTS)
    newest = answer.json()[0]
    assert newest["event_key"] == moved["last_event_key"]
    assert newest["received_at"] == moved["last_active_at"] == "2026-03-02T00:01:00.000Z"
    row = sandbox.get(EVENTS, visitor_key="brand-new").json()[0]
    assert (row["media_id"], row["percent_viewed"]) == ("0012345678", 0.25)
    assert answer.elapsed.total_seconds() >= 0.05
    assert log[-1] == {"method": "GET", "path": EVENTS, "body": "",
                       "query": "visitor_key=brand-new", "token": "Bearer anything"}  # fmt: skip


# -- the process ---------------------------------------------------------------------------------


def start(*options: str) -> tuple[subprocess.Popen, str]:
    command = [sys.executable, "-m", "helpers.sandbox", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line.startswith("sandbox listening on http://127.0.0.1:"), process.stderr.read()
    return process, line.split()[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_silence(number):
    process, _ = start("--viewers", "20")
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_it_ends_with_its_parent():
    code = (
        "import subprocess, sys, os, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'helpers.sandbox', '--port', '0',"
        " '--viewers', '3', '--parent', str(os.getpid())], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    for _ in range(200):
        if not _runs(child):
            break
        time.sleep(0.05)
    assert not _runs(child)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat")
        return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_state_survives_a_restart_and_a_kill(tmp_path):
    state, token = tmp_path / "sub" / "state.json", {"Authorization": "Bearer anything"}
    draft = {"pipeline_type": "north_star", "type": "B2B", "name": "Ada", "description": "Reads."}
    process, url = start("--viewers", "3", "--state", str(state))
    made = requests.post(url + "/api/v1/personas", json=draft, headers=token, timeout=30).json()
    process.kill()
    process.communicate()
    process, url = start("--viewers", "3", "--state", str(state))
    kept = requests.get(f"{url}/api/v1/personas/{made['id']}", headers=token, timeout=30).json()
    used = requests.get(url + "/api/v1/usage", headers=token, timeout=30).json()
    process.terminate()
    process.communicate()
    assert kept == {name: made[name] for name in made if name != "credits_charged"}
    assert used["credits"]["used"] == 300


def test_wrong_use_is_one_clear_line(tmp_path):
    def run(*options):
        command = [sys.executable, "-m", "helpers.sandbox", *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    empty = run("--data", str(tmp_path))
    assert (empty.returncode, empty.stdout) == (2, "")
    assert "events.json" in empty.stderr and "Traceback" not in empty.stderr
    (tmp_path / "state.json").write_text("{}")
    broken = run("--viewers", "1", "--state", str(tmp_path / "state.json"))
    assert broken.returncode == 7 and "schema_version" in broken.stderr
    assert run("--latency", "nan").returncode == 2
    process, url = start("--viewers", "1")
    taken = run("--viewers", "1", "--port", url.rsplit(":", 1)[1])
    process.terminate()
    process.communicate()
    assert taken.returncode == 2 and "--port" in taken.stderr
