"""First contact: what the doctor tells, and the contract check against shapes that changed."""

import json
import time

import pytest
from hypothesis import given, strategies as st

from helpers.batch import contract, doctor, kernels
from helpers.core.errors import AccessError, DataError, KitError
from helpers.core.http import Client
from helpers.sandbox.server import create_app, start_in_thread

EVENTS = "/v1/stats/events.json"


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


@pytest.mark.parametrize(
    ("token", "said"), [("wrong", "WISTIA_API_TOKEN"), ("media-only", "Read detailed stats")]
)
def test_a_token_that_is_refused_hides_nothing_of_the_other_service(live, monkeypatch, token, said):
    live(scopes={"media-only": ("media:read",)})
    monkeypatch.setenv("WISTIA_API_TOKEN", token)
    *_, last = findings = list(doctor.examine())
    error = failed(findings).pop("wistia")
    assert isinstance(error, AccessError) and said in str(error)
    assert last.name == "mavera" and last.error is None


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
    monkeypatch.setattr(doctor, "PATIENCE", 1)
    begun, seconds = time.monotonic(), {}
    for finding in (findings := doctor.examine()):
        seconds[finding.name] = time.monotonic() - begun
        assert finding.error is None or "could not be reached" in finding.text
    assert [*seconds] == ["kernel", "outputs", "keys", "wistia", "mavera"]
    assert seconds["keys"] < 1 and seconds["mavera"] < 10 and not list(findings)


@given(st.integers(0, 3000))
def test_the_last_page_is_found_in_a_few_requests(last):
    asked = []
    assert doctor.last_page(lambda page: asked.append(page) or page <= last) == last
    assert len(asked) <= 2 * max(1, last).bit_length() + 1


def test_the_sandbox_keeps_the_contract_and_no_value_is_written(bare_environment, live):
    live()
    assert not failed(contract.compare())
    written = json.loads((bare_environment / "contract.json").read_text("utf-8"))
    assert written["schema_version"] == 1 and written["differences"] == []
    assert written["source"] == {"wistia": "live", "mavera": "live"}


def test_answers_that_changed_are_listed_by_key_and_kind_without_values(
    live, bare_environment, monkeypatch
):
    live()
    secret, get = "jane@example.com", Client.get

    def changed(service, path, *words, **options):
        answer = get(service, path, *words, **options)
        if path == EVENTS:
            answer[0] |= {"percent_viewed": 98765, "visitor_key": 12345, "viewer mail": secret}
            del answer[1]["event_key"]
        return {"credits": {"used": "many"}} if path == "/usage" else answer

    monkeypatch.setattr(Client, "get", changed)
    errors = failed(contract.compare())
    assert sorted(errors) == ["mavera", "wistia"] and isinstance(errors["wistia"], DataError)
    assert "GET /v1/stats/events.json is not as the kit relies on" in str(errors["wistia"])
    text = (bare_environment / "contract.json").read_text("utf-8")
    assert secret not in text and "98765" not in text and "12345" not in text
    rows = [(row["key"], row["rows"], row["relied_on"]) for row in json.loads(text)["differences"]]
    assert rows == [
        ("[].(odd name)", 1, False),
        ("[].event_key", 1, True),
        ("[].percent_viewed", 1, True),
        ("[].visitor_key", 1, True),
        ("credits.used", 1, True),
    ]


def test_a_stats_only_token_is_no_breach_of_contract(live, monkeypatch):
    live(scopes={"stats-only": ("stats:read",)})
    monkeypatch.setenv("WISTIA_API_TOKEN", "stats-only")
    assert not failed(contract.compare())
    findings = list(doctor.examine())
    assert "videos cannot be read" in "\n".join(map(str, findings)) and not failed(findings)
