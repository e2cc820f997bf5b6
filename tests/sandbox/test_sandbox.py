"""The sandbox over HTTP: Wistia's side, and the process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from helpers.sandbox.account import Account
from helpers.sandbox.server import create_app, start_in_thread

CAPTURES = Path(__file__).parents[3] / "shared" / "captures"
TOKEN = {"Authorization": "Bearer anything"}

EVENT_KEYS = {
    "received_at", "event_key", "ip", "country", "region", "city", "lat", "lon", "org", "email",
    "percent_viewed", "embed_url", "conversion_type", "conversion_data", "iframe_heatmap_url",
    "visitor_key", "user_agent_details", "media_id", "media_name", "media_url", "thumbnail",
}  # fmt: skip
VISITOR_KEYS = {
    "visitor_key", "created_at", "last_active_at", "last_event_key", "load_count", "play_count",
    "identifying_event_key", "visitor_identity", "user_agent_details",
}  # fmt: skip


def event(key: str, at: str, visitor: str = "v1", media: str = "m1", **more) -> dict:
    row = {"event_key": key, "received_at": at, "visitor_key": visitor, "media_id": media}
    return row | {"percent_viewed": 0.5} | more


def visitor(key: str, at: str, **identity) -> dict:
    return {"visitor_key": key, "last_active_at": at, "created_at": at, "load_count": 1,
            "play_count": 1, "visitor_identity": identity or None}  # fmt: skip


@pytest.fixture(scope="module")
def url():
    url, stop = start_in_thread(create_app(per_minute=100_000))
    yield url
    stop()


@pytest.fixture
def serve():
    """Start sandboxes of one test, stopped after it."""
    stops = []

    def start(account=None, **options):
        app = create_app(account, **options)
        url, stop = start_in_thread(app)
        stops.append(stop)
        return url, app

    yield start
    for stop in stops:
        stop()


def get(url: str, path: str, token: str = "anything", **query):
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(url + path, params=query, headers=headers, timeout=30)


def test_rows_have_the_keys_of_the_api(url):
    assert set(get(url, "/v1/stats/events.json").json()[0]) == EVENT_KEYS
    assert set(get(url, "/v1/stats/visitors.json").json()[0]) == VISITOR_KEYS
    old, new = get(url, "/v1/medias.json").json()[0], get(url, "/modern/medias").json()[0]
    assert set(old["project"]) == {"id", "name", "hashed_id"} and "folder" not in old
    assert new["folder"] == old["project"] and "project" not in new
    stats = get(url, "/v1/stats/medias/k3v9x0qa1d.json").json()
    assert set(stats) == {
        "load_count", "play_count", "play_rate", "hours_watched", "engagement", "visitors",
    }  # fmt: skip


def test_a_page_has_ten_rows_unless_more_are_asked_for_and_never_over_a_hundred(url):
    assert len(get(url, "/v1/stats/events.json").json()) == 10
    assert len(get(url, "/v1/stats/events.json", per_page=7).json()) == 7
    assert len(get(url, "/v1/stats/visitors.json", per_page=200).json()) == 100
    second = get(url, "/v1/stats/events.json", per_page=5, page=2).json()
    assert second == get(url, "/v1/stats/events.json", per_page=10).json()[5:]


def test_past_the_end_is_an_empty_array(url):
    for path in ("/v1/stats/events.json", "/v1/stats/visitors.json", "/v1/medias.json"):
        answer = get(url, path, page=1000, per_page=100)
        assert answer.status_code == 200 and answer.text == "[]"


def test_both_bases_serve_the_same_rows(url):
    for path in ("stats/events", "stats/visitors", "stats/medias/k3v9x0qa1d/engagement"):
        assert get(url, f"/v1/{path}.json").content == get(url, f"/modern/{path}").content


def test_newest_rows_come_first(url):
    times = [row["received_at"] for row in get(url, "/v1/stats/events.json", per_page=100).json()]
    assert times == sorted(times, reverse=True)
    rows = get(url, "/v1/stats/visitors.json", per_page=100).json()
    times = [row["last_active_at"] for row in rows]
    assert times == sorted(times, reverse=True)


def test_dates_are_inclusive_utc_days(serve):
    rows = [
        event("a", "2026-03-01T23:59:59.000Z"), event("b", "2026-03-02T00:00:00.000Z"),
        event("c", "2026-03-02T23:59:59.999Z"), event("d", "2026-03-03T00:00:00.000Z"),
    ]  # fmt: skip
    url, _ = serve(Account.of_rows([], rows, []))

    def keys(**days):
        return [row["event_key"] for row in get(url, "/v1/stats/events.json", **days).json()]

    assert keys(start_date="2026-03-02", end_date="2026-03-02") == ["c", "b"]
    assert keys(end_date="2026-03-01") == ["a"]
    assert keys(start_date="2026-03-02") == ["d", "c", "b"]
    assert keys(start_date="2026-03-03", end_date="2026-03-01") == []
    assert get(url, "/v1/stats/events.json", start_date="March").status_code == 422


def test_events_are_filtered_by_media_and_visitor_and_visitors_are_not(serve):
    rows = [
        event("a", "2026-03-01T00:00:03.000Z", "v1", "0012345678"),
        event("b", "2026-03-01T00:00:02.000Z", "v2", "5e12345678"),
        event("c", "2026-03-01T00:00:01.000Z", "v2", "0012345678"),
    ]
    url, _ = serve(Account.of_rows([visitor("v1", "2026-03-01T00:00:03.000Z")], rows, []))
    path = "/v1/stats/events.json"
    assert [row["event_key"] for row in get(url, path, media_id="0012345678").json()] == ["a", "c"]
    assert [row["event_key"] for row in get(url, path, visitor_key="v2").json()] == ["b", "c"]
    assert len(get(url, "/v1/stats/visitors.json", media_id="5e12345678").json()) == 1


def test_visitors_are_filtered_and_searched(serve):
    at = "2026-03-01T00:00:00.000Z"
    rows = [
        visitor("null", at),
        visitor("mail", at, name="", email="Ada@example.com"),
        visitor("name", at, name="Adam", email=None),
        visitor("form", at, name="Bea", email="bea@example.com") | {"identifying_event_key": "e"},
    ]
    url, _ = serve(Account.of_rows(rows, [], []))

    def keys(**query):
        return [row["visitor_key"] for row in get(url, "/v1/stats/visitors.json", **query).json()]

    assert keys() == ["null", "mail", "name", "form"]
    assert keys(filter="has_email") == ["mail", "form"]
    assert keys(filter="has_name") == ["name", "form"]
    assert keys(filter="identified_by_email_gate") == ["form"]
    assert keys(search="ada") == ["mail", "name"]


def test_a_missing_or_wrong_token_is_401_and_any_other_passes(url):
    path = "/v1/stats/events.json"
    refusal = {"code": "unauthorized_credentials", "error": "Invalid credentials."}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic YXBpOng="}):
        answer = requests.get(url + path, headers=headers, timeout=30)
        assert (answer.status_code, answer.json()) == (401, refusal)
    assert get(url, path, token="another").status_code == 200
    assert get(url, "/modern/token").json()["scopes"] == ["stats:read", "media:read", "all:read"]


def test_a_token_with_fewer_scopes_is_told_so(serve):
    url, _ = serve(viewers=5, scopes={"narrow": ["stats:read"]})
    assert get(url, "/modern/token", token="narrow").json()["scopes"] == ["stats:read"]
    assert get(url, "/v1/stats/events.json", token="narrow").status_code == 200
    answer = get(url, "/v1/medias.json", token="narrow")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized_scope")


def test_over_the_limit_of_a_minute_all_tokens_are_throttled(serve):
    url, _ = serve(viewers=3, per_minute=4)
    for number in range(4):
        assert get(url, "/v1/medias.json", token=f"t{number}").status_code == 200
    answer = get(url, "/v1/stats/events.json", token="fresh")
    assert answer.status_code == 429
    assert 55 <= int(answer.headers["Retry-After"]) <= 60
    assert get(url, "/api/v1/usage").status_code == 200  # another service, another limit


def test_what_is_not_there_is_a_404_without_a_body(url):
    for path in ("/v1/stats/medias/none.json", "/v1/stats/medias/x2a7g5i0vt.json", "/v2/x", "/"):
        answer = get(url, path)
        assert (answer.status_code, answer.content) == (404, b"")
    assert requests.post(url + "/v1/medias.json", headers=TOKEN, timeout=30).status_code == 404


def test_media_figures_are_those_of_the_events(serve):
    medias = [{"hashed_id": "m1", "id": 7, "name": "Tour", "duration": 10.0},
              {"hashed_id": "m2", "name": "Picture", "duration": None}]  # fmt: skip
    rows = [event("a", "2026-03-01T00:00:00.000Z", percent_viewed=1.0),
            event("b", "2026-03-01T00:00:00.000Z", percent_viewed=0.2)]  # fmt: skip
    url, _ = serve(Account.of_rows([], rows, medias))
    stats = get(url, "/v1/stats/medias/m1.json").json()
    assert (stats["play_count"], stats["engagement"]) == (2, 0.6)
    assert stats["hours_watched"] == pytest.approx(12 / 3600)
    curve = get(url, "/v1/stats/medias/m1/engagement.json").json()
    assert curve["engagement_data"] == [2, 2, 2, 1, 1, 1, 1, 1, 1, 1]
    assert set(curve) == {"engagement", "engagement_data", "rewatch_data"}
    assert get(url, "/v1/stats/medias/m2/engagement.json").json()["engagement_data"] == []


def test_a_long_video_has_at_most_a_thousand_cells(url):
    curve = get(url, "/v1/stats/medias/y6q3d0l9vh/engagement.json").json()
    assert len(curve["engagement_data"]) == len(curve["rewatch_data"]) == 1000


def test_a_folder_of_rows_is_served_in_api_order_with_all_digits(tmp_path, serve):
    digits = "0.014458406819517978"
    (tmp_path / "events.json").write_text(
        f'[{{"event_key":"old","received_at":"2024-12-04T00:00:00.000Z","percent_viewed":{digits}}},'
        '{"event_key":"new","received_at":"2025-05-12T00:00:00.000Z","percent_viewed":55}]'
    )
    (tmp_path / "visitors.json").write_text('[{"visitor_key":"0012","visitor_identity":null}]')
    url, _ = serve(data=tmp_path)
    answer = get(url, "/v1/stats/events.json")
    assert [row["event_key"] for row in answer.json()] == ["new", "old"]
    assert digits in answer.text and '"percent_viewed":55}' in answer.text
    assert get(url, "/v1/stats/visitors.json").json() == [
        {"visitor_key": "0012", "visitor_identity": None}
    ]
    assert get(url, "/v1/medias.json").json() == []


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="captured rows are not here")
def test_captured_rows_come_back_as_they_are(serve):
    url, _ = serve(data=CAPTURES)
    for name, path, key in (
        ("events", "/v1/stats/events.json", "received_at"),
        ("visitors", "/v1/stats/visitors.json", "last_active_at"),
        ("medias", "/v1/medias.json", None),
    ):
        rows, page = [], 1
        while more := get(url, path, per_page=100, page=page).json():
            rows, page = rows + more, page + 1
        captured = json.loads((CAPTURES / f"{name}.json").read_text())
        if key:
            captured.sort(key=lambda row: row[key], reverse=True)
        assert rows == captured


def test_rows_may_move_while_they_are_read(serve):
    def play(number, path, account):
        if number == 2:
            account.play("v2")

    rows = [visitor("v1", "2026-03-02T00:00:00.000Z"), visitor("v2", "2026-03-01T00:00:00.000Z")]
    events = [event("a", "2026-03-02T00:00:00.000Z"), event("b", "2026-03-01T00:00:00.000Z", "v2")]
    url, _ = serve(Account.of_rows(rows, events, []), on_request=play)

    def first():
        return get(url, "/v1/stats/visitors.json", per_page=1).json()[0]

    assert first()["visitor_key"] == "v1"
    moved = first()
    assert (moved["visitor_key"], moved["play_count"]) == ("v2", 2)
    newest = get(url, "/v1/stats/events.json").json()[0]
    assert newest["event_key"] == moved["last_event_key"]
    assert newest["received_at"] == moved["last_active_at"] == "2026-03-02T00:01:00.000Z"


def test_a_new_visitor_may_play_something(serve):
    url, app = serve(viewers=30, log=(log := []))
    before = len(app.account.visitors)
    app.account.play("brand-new", "0012345678", percent_viewed=0.25)
    assert len(app.account.visitors) == before + 1
    row = get(url, "/v1/stats/events.json", visitor_key="brand-new").json()[0]
    assert (row["media_id"], row["percent_viewed"]) == ("0012345678", 0.25)
    assert log == [{"method": "GET", "path": "/v1/stats/events.json", "body": "",
                    "query": "visitor_key=brand-new", "token": "Bearer anything"}]  # fmt: skip


def test_latency_is_added_to_each_answer(serve):
    url, _ = serve(viewers=3, latency=0.2)
    assert get(url, "/v1/medias.json").elapsed.total_seconds() >= 0.2


# -- the process ---------------------------------------------------------------------------------


def start(*options: str, **more) -> tuple[subprocess.Popen, str]:
    command = [sys.executable, "-m", "helpers.sandbox", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               **more)  # fmt: skip
    line = process.stdout.readline()
    assert line.startswith("sandbox listening on http://127.0.0.1:"), process.stderr.read()
    return process, line.split()[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_silence(number):
    process, url = start("--viewers", "20")
    assert len(get(url, "/v1/stats/visitors.json", per_page=100).json()) == 20
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
    state = tmp_path / "sub" / "state.json"
    draft = {"pipeline_type": "north_star", "type": "B2B", "name": "Ada", "description": "Reads."}
    process, url = start("--viewers", "3", "--state", str(state))
    made = requests.post(url + "/api/v1/personas", json=draft, headers=TOKEN, timeout=30).json()
    process.kill()
    process.communicate()
    process, url = start("--viewers", "3", "--state", str(state))
    kept = get(url, f"/api/v1/personas/{made['id']}").json()
    used = get(url, "/api/v1/usage").json()["credits"]["used"]
    process.terminate()
    process.communicate()
    assert kept == {name: made[name] for name in made if name != "credits_charged"}
    assert used == 300


def test_wrong_use_is_one_clear_line(tmp_path):
    def run(*options):
        command = [sys.executable, "-m", "helpers.sandbox", *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    assert run("--data", str(tmp_path / "none")).returncode == 2
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
