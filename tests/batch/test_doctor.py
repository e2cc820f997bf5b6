"""First contact: what the doctor tells, and the contract check against shapes that changed."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.batch import contract, doctor, kernels
from helpers.core.errors import AccessError, DataError, KitError
from helpers.sandbox.server import create_app, start_in_thread

EVENTS = "/v1/stats/events.json"
EVENT = {
    "received_at": "2026-06-30T10:00:00.000Z", "event_key": "e1", "visitor_key": "v1",
    "media_id": "0012345678", "percent_viewed": 0.5, "email": None,
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_kernel(monkeypatch):
    monkeypatch.setattr(kernels, "check_kernel", lambda: "Python 3 runs cells")


@pytest.fixture
def live(monkeypatch):
    """A sandbox in the place of both live services."""
    stops = []

    def start(**options):
        url, stop = start_in_thread(create_app(viewers=150, **options))
        stops.append(stop)
        monkeypatch.setenv("WISTIA_BASE_URL", url)
        monkeypatch.setenv("MAVERA_BASE_URL", f"{url}/api/v1")
        monkeypatch.setenv("WISTIA_API_TOKEN", "any-token")
        monkeypatch.setenv("MAVERA_API_KEY", "mvra_live_any-token-of-32-characters")
        return url

    yield start
    for stop in stops:
        stop()


def failed(findings) -> dict[str, KitError]:
    return {finding.name: finding.error for finding in findings if finding.error}


def test_without_keys_the_doctor_says_sandbox_and_all_is_well(bare_environment):
    findings = list(doctor.examine())
    assert [finding.name for finding in findings] == ["kernel", "outputs", "keys"]
    assert "Wistia is the sandbox" in findings[2].text and not failed(findings)


def test_with_keys_it_tells_scopes_clock_credits_and_the_first_pull(live):
    live(credits=2000)
    text = "\n".join(str(finding) for finding in doctor.examine())
    assert "FAIL" not in text
    assert "within 1 s of the service's" in text
    assert "up to 200 visitors" in text  # 150 on two pages
    assert "requests, 1 min at 600 a minute" in text
    assert "credits used: 0, left: 2,000" in text
    assert "at most 1,575 credits" in text
    assert "any-token" not in text


def test_a_refused_token_is_an_access_error_and_the_other_service_is_still_looked_at(
    live, monkeypatch
):
    live()
    monkeypatch.setenv("WISTIA_API_TOKEN", "wrong")
    *_, last = findings = list(doctor.examine())
    error = failed(findings).pop("wistia")
    assert isinstance(error, AccessError) and "WISTIA_API_TOKEN" in str(error)
    assert last.name == "mavera" and last.error is None


def test_a_token_without_stats_is_told_by_its_scopes(live, monkeypatch):
    live(scopes={"media-only": ("media:read",)})
    monkeypatch.setenv("WISTIA_API_TOKEN", "media-only")
    assert "Read detailed stats" in str(failed(doctor.examine())["wistia"])


def test_a_clock_that_is_off_is_told_with_the_seconds(live, monkeypatch):
    live()
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", "2020-01-01T00:00:00+00:00")
    assert "behind the service's" in str(failed(doctor.examine())["clock"])


def test_without_a_network_each_line_comes_as_its_check_ends_and_the_clock_is_not_blamed(
    monkeypatch,
):
    for name in ("WISTIA", "MAVERA"):  # nobody listens there
        monkeypatch.setenv(f"{name}_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WISTIA_API_TOKEN", "any-token")
    monkeypatch.setenv("MAVERA_API_KEY", "any-key")
    begun, seconds = time.monotonic(), {}
    for finding in (findings := doctor.examine()):
        seconds[finding.name] = time.monotonic() - begun
        assert finding.error is None or "could not be reached" in finding.text
    assert [*seconds] == ["kernel", "outputs", "keys", "wistia", "mavera"]
    assert seconds["keys"] < 5 and seconds["mavera"] < 30 and not list(findings)


@given(st.integers(0, 3000))
def test_the_last_page_is_found_in_a_few_requests(last):
    asked = []
    assert doctor.last_page(lambda page: asked.append(page) or page <= last) == last
    assert len(asked) <= 2 * max(1, last).bit_length() + 1


def test_the_sandbox_keeps_the_contract_and_no_value_is_written(bare_environment, live):
    live()
    assert not failed(contract.compare())
    text = (bare_environment / "contract.json").read_text("utf-8")
    written = json.loads(text)
    assert written["schema_version"] == 1 and written["differences"] == []
    assert written["source"] == {"wistia": "live", "mavera": "live"}


class Different(BaseHTTPRequestHandler):
    answers: dict[str, object] = {}

    def do_GET(self):
        body = json.dumps(self.answers.get(self.path.split("?")[0], [])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def different(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Different)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("WISTIA_BASE_URL", url)
    monkeypatch.setenv("WISTIA_API_TOKEN", "any-token")
    monkeypatch.setenv("MAVERA_BASE_URL", url)
    monkeypatch.setenv("MAVERA_API_KEY", "any-key")
    good = {
        "/modern/token": {"scopes": ["all:read"]},
        EVENTS: [EVENT],
        "/v1/stats/visitors.json": [{"visitor_key": "v1", "visitor_identity": None}],
        "/v1/medias.json": [{"hashed_id": "0012345678", "duration": None}],
        "/usage": {"credits": {"used": 0, "included": 500, "remaining": 500}},
        "/personas": {"object": "list", "data": []},
        "/mave/threads": {"object": "list", "data": []},
    }
    monkeypatch.setattr(Different, "answers", good)
    yield good
    server.shutdown()


def test_answers_that_changed_are_listed_by_key_and_kind_without_values(
    different, bare_environment
):
    secret = "jane@example.com"
    different[EVENTS] = [
        {**EVENT, "percent_viewed": 5577, "visitor_key": 12345, "viewer mail": secret},
        {**EVENT, "received_at": "2026-07-01T10:00:00.000Z", "new_key": secret},
        {key: value for key, value in EVENT.items() if key not in ("event_key", "media_id")},
    ]
    different["/usage"] = {"credits": {"used": "many"}}
    errors = failed(contract.compare())
    assert sorted(errors) == ["mavera", "wistia"] and isinstance(errors["wistia"], DataError)
    assert "GET /v1/stats/events.json is not as the kit relies on" in str(errors["wistia"])
    text = (bare_environment / "contract.json").read_text("utf-8")
    assert secret not in text and "5577" not in text and "12345" not in text
    rows = {(row["path"], row["key"]): row for row in json.loads(text)["differences"]}
    for key, expected, count in (
        ("percent_viewed", "less than or equal to 1", 1),
        ("visitor_key", "a valid string, not int", 1),
        ("event_key", "present", 1),
        ("media_id", "present", 1),
        ("received_at", "newest first", 1),
    ):
        row = rows[EVENTS, f"[].{key}"]
        assert row["expected"].startswith(expected)
        assert (row["rows"], row["relied_on"]) == (count, True)
    assert not rows[EVENTS, "[].new_key"]["relied_on"]
    assert not rows[EVENTS, "[].(odd name)"]["relied_on"]
    assert (
        rows["/usage", "credits.used"]["expected"]
        == "a valid integer, unable to parse string as an integer"
    )


def test_keys_the_kit_does_not_know_are_no_failure(different):
    different[EVENTS] = [{**EVENT, "brand_new": 1}]
    assert not failed(contract.compare())


def test_a_stats_only_token_is_no_breach_of_contract(live, monkeypatch):
    live(scopes={"stats-only": ("stats:read",)})
    monkeypatch.setenv("WISTIA_API_TOKEN", "stats-only")
    assert not failed(contract.compare())
    text = "\n".join(str(finding) for finding in doctor.examine())
    assert "videos cannot be read" in text and "FAIL" not in text
