"""The faults that other tests rely on do what their names say."""

import time

import pytest
import requests

from helpers.sandbox.faults import READ_KINDS, Faults
from helpers.sandbox.server import create_app, start_in_thread

KEY = {"Authorization": "Bearer anything"}
DRAFT = {"pipeline_type": "north_star", "type": "B2B", "name": "Ada", "description": "Reads."}


@pytest.fixture
def strike():
    """Start a sandbox with faults: its address and app."""
    stops = []

    def start(**options):
        app = create_app(viewers=20, faults=Faults(**options))
        url, stop = start_in_thread(app)
        stops.append(stop)
        return url, app

    yield start
    for stop in stops:
        stop()


def read(url: str) -> requests.Response:
    return requests.get(url + "/v1/stats/events.json", headers=KEY, timeout=30)


def buy(url: str) -> requests.Response:
    return requests.post(url + "/api/v1/personas", json=DRAFT, headers=KEY, timeout=30)


@pytest.mark.parametrize("kind", ["429", "500", "502", "503", "504", "401", "403", "402"])
def test_an_error_status_is_answered_once_and_then_the_truth(strike, kind):
    url, _ = strike(script={1: kind})
    assert [read(url).status_code, read(url).status_code] == [int(kind), 200]


def test_a_throttled_answer_may_say_how_long_to_wait(strike):
    url, _ = strike(script={1: "429_retry_after", 2: "429"}, retry_after=7)
    assert read(url).headers["Retry-After"] == "7"
    assert "Retry-After" not in read(url).headers


def test_bodies_may_be_broken(strike):
    url, _ = strike(script={1: "not_json", 2: "html_200", 3: "truncated", 4: "reset", 5: "empty"})
    for _ in range(2):
        answer = read(url)
        assert answer.status_code == 200
        with pytest.raises(requests.exceptions.JSONDecodeError):
            answer.json()
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        read(url)
    with pytest.raises(requests.ConnectionError):
        read(url)
    assert read(url).content == b""
    assert len(read(url).json()) == 10


def test_a_stall_answers_in_the_end(strike):
    url, _ = strike(script={1: "stall"}, stall_seconds=0.3)
    answer = read(url)
    assert answer.elapsed.total_seconds() >= 0.3 and len(answer.json()) == 10


@pytest.mark.parametrize(
    ("kind", "made"), [("drop_after", 1), ("drop_while", 1), ("drop_before", 0)]
)
def test_a_connection_drops_after_or_before_the_work(strike, kind, made):
    url, app = strike(script={1: kind})
    with pytest.raises(requests.ConnectionError):
        buy(url)
    for _ in range(100):  # the work may still be going on
        if len(app.mavera.personas) == made:
            break
        time.sleep(0.05)
    assert len(app.mavera.personas) == made and app.mavera.used == 300 * made


@pytest.mark.parametrize(("kind", "made"), [("500_after", 1), ("500_before", 0)])
def test_a_500_comes_after_or_before_the_work(strike, kind, made):
    url, app = strike(script={1: kind})
    assert buy(url).status_code == 500
    assert len(app.mavera.personas) == made


def test_only_the_requests_that_count_are_struck(strike):
    url, app = strike(script={2: "402"}, only=lambda method, path: method == "POST")
    assert read(url).status_code == 200
    assert [buy(url).status_code for _ in range(3)] == [201, 402, 201]
    assert app.faults.struck == [(2, "POST", "/api/v1/personas", "402")]


def test_a_seed_strikes_the_same_requests_again():
    def drawn(seed: int) -> list:
        faults = Faults(seed=seed, rate=0.15)
        return [faults.draw("GET", "/") for _ in range(400)]

    assert drawn(1) == drawn(1) != drawn(2)
    struck = [kind for kind in drawn(1) if kind]
    assert 30 < len(struck) < 90 and set(struck) <= set(READ_KINDS)


def test_strikes_may_be_limited():
    faults = Faults(rate=1, limit=2)
    assert [bool(faults.draw("GET", "/")) for _ in range(4)] == [True, True, False, False]
