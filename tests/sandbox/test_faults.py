"""The faults that other tests rely on do what their names say."""

import time

import pytest
import requests

from helpers.sandbox.faults import READ_KINDS, WISTIA_401, Faults

DRAFT = {"pipeline_type": "north_star", "type": "B2B", "name": "Ada", "description": "Reads."}


@pytest.fixture
def strike(serve):
    """A sandbox whose requests go wrong, how to read of it, and how to buy of it."""

    def start(**options):
        sandbox = serve(viewers=20, faults=Faults(**options))
        read = lambda: sandbox.get("/v1/stats/events.json")  # noqa: E731
        return sandbox.app, read, lambda: sandbox.call("POST", "/personas", DRAFT)

    return start


@pytest.mark.parametrize("kind", ["429", "500", "502", "503", "504", "401", "403", "402"])
def test_an_error_status_is_answered_once_and_then_the_truth(strike, kind):
    _, read, _ = strike(script={1: kind})
    assert [read().status_code, read().status_code] == [int(kind), 200]


@pytest.mark.parametrize("code", WISTIA_401)
def test_a_401_tells_its_code_in_the_form_of_the_service(strike, code):
    _, read, buy = strike(script={1: f"401_{code}", 2: "401"})
    assert read().json()["code"] == code
    assert buy().json()["error"]["code"] == "revoked_api_key"


def test_a_throttled_answer_may_say_how_long_to_wait(strike):
    _, read, _ = strike(script={1: "429_retry_after", 2: "429"}, retry_after=7)
    assert read().headers["Retry-After"] == "7"
    assert "Retry-After" not in read().headers


def test_bodies_may_be_broken_or_late(strike):
    kinds = ["not_json", "html_200", "truncated", "reset", "empty", "stall"]
    _, read, _ = strike(script=dict(enumerate(kinds, 1)), stall_seconds=0.3)
    for _ in range(2):
        answer = read()
        assert answer.status_code == 200
        with pytest.raises(requests.exceptions.JSONDecodeError):
            answer.json()
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        read()
    with pytest.raises(requests.ConnectionError):
        read()
    assert read().content == b""
    answer = read()
    assert answer.elapsed.total_seconds() >= 0.3 and len(answer.json()) == 10


@pytest.mark.parametrize(
    ("kind", "made"),
    [("drop_after", 1), ("drop_while", 1), ("drop_before", 0), ("500_after", 1), ("500_before", 0)],
)
def test_a_request_goes_wrong_after_or_before_the_work(strike, kind, made):
    app, _, buy = strike(script={1: kind})
    if kind.startswith("500"):
        assert buy().status_code == 500
    else:
        with pytest.raises(requests.ConnectionError):
            buy()
    for _ in range(100):  # the work may still be going on
        if len(app.mavera.personas) == made:
            break
        time.sleep(0.05)
    assert len(app.mavera.personas) == made and app.mavera.used == 300 * made


def test_only_the_requests_that_count_are_struck(strike):
    app, read, buy = strike(script={2: "402"}, only=lambda method, path: method == "POST")
    assert read().status_code == 200
    assert [buy().status_code for _ in range(3)] == [201, 402, 201]
    assert app.faults.struck == [(2, "POST", "/api/v1/personas", "402")]


def test_a_seed_strikes_the_same_requests_again_and_a_limit_ends_it():
    def drawn(seed: int) -> list:
        faults = Faults(seed=seed, rate=0.15)
        return [faults.draw("GET", "/") for _ in range(400)]

    assert drawn(1) == drawn(1) != drawn(2)
    struck = [kind for kind in drawn(1) if kind]
    assert 30 < len(struck) < 90 and set(struck) <= set(READ_KINDS)
    limited = Faults(rate=1, limit=2)
    assert [bool(limited.draw("GET", "/")) for _ in range(4)] == [True, True, False, False]
