"""Requests that fail in every way the services are known to fail."""

from __future__ import annotations

import contextlib
import json
import threading
import time

import pytest
from fake_wistia import FakeWistia
from pydantic import SecretStr

from helpers.core import http
from helpers.core.errors import (
    AccessError,
    CreditError,
    ParameterError,
    ServiceError,
    UnknownOutcome,
)

TOKEN = "a-very-secret-token"
PATH = "/v1/medias.json"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(http.Client, "FIRST_WAIT", 0.01)


@pytest.fixture
def fake():
    with FakeWistia() as server:
        yield server


def client(fake, **options) -> http.Client:
    return http.Client("Wistia", fake.url, SecretStr(TOKEN), permission='"Read"', **options)


def answers(*first):
    """The first answers of a server; None is a good one."""
    left = list(first)
    return lambda path, query, number: left.pop(0) if left else None


@pytest.mark.parametrize(
    "fault",
    [
        (429, {}, ""),
        (429, {"Retry-After": "0.02"}, "slow down"),
        (500, {}, '{"error": "boom"}'),
        (502, {}, "<html>bad gateway</html>"),
        (503, {}, ""),
        (504, {}, ""),
        (200, {}, "<html>welcome</html>"),
        (200, {}, "[1, 2"),
        (200, {}, '{"error": "odd"}'),
        (0, {}, "[1, 2, 3, 4, 5, 6]"),
        (0, {}, None),
    ],
)
def test_a_get_that_fails_once_is_sent_again(fake, fault):
    fake.medias = [1]
    fake.before = answers(fault)
    with client(fake) as wistia:
        assert wistia.get(PATH) == [1]
    assert wistia.counts["requests"] == 2
    assert wistia.counts["retries"] == 1
    assert wistia.counts["throttled"] == (fault[0] in (429, 503))


def test_a_stall_is_cut_off_and_sent_again(fake, monkeypatch):
    monkeypatch.setattr(http.Client, "READ_TIMEOUT", 1.0)
    fake.before = answers((1.5, {}, None))
    with client(fake) as wistia:
        assert wistia.get(PATH) == []
    assert wistia.counts["retries"] == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, AccessError), (403, AccessError), (402, CreditError), (404, ServiceError),
     (400, ServiceError), (422, ServiceError)],
)  # fmt: skip
def test_a_refusal_is_final_and_says_what_to_do(fake, status, error):
    fake.before = lambda *_: (status, {}, f'{{"error": "because {TOKEN}"}}')
    with client(fake) as wistia, pytest.raises(error) as caught:
        wistia.get(PATH, where="page 3")
    assert wistia.counts["requests"] == 1
    assert f"Wistia: {status} on GET /v1/medias.json (page 3)" in str(caught.value)
    assert "because" in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert caught.value.status_code == status
    if error is AccessError:
        assert 'It needs "Read". Set WISTIA_API_TOKEN in .env' in str(caught.value)


@pytest.mark.parametrize(
    ("status", "then"),
    [(400, "Correct what it names"), (422, "Correct what it names"),
     (404, "Check WISTIA_BASE_URL, if set"), (409, "run again to go on")],
)  # fmt: skip
def test_a_refusal_advises_to_run_again_where_that_may_help(fake, status, then):
    fake.before = lambda *_: (status, {}, "")
    with client(fake) as wistia, pytest.raises(ServiceError) as caught:
        wistia.get(PATH)
    assert then in str(caught.value)
    assert ("run again" in str(caught.value)) == (status not in (400, 422))


def test_an_error_body_of_mavera_shows_message_and_param(fake):
    body = {"error": {"message": "bad field", "type": "t", "code": "c", "param": "name"}}
    fake.before = lambda *_: (400, {}, json.dumps(body))
    with client(fake) as wistia, pytest.raises(ServiceError, match=r"bad field \(param: name\)"):
        wistia.post("/personas", {})


def test_a_long_error_body_is_cut_at_300_characters(fake):
    fake.before = lambda *_: (400, {}, json.dumps({"error": "x" * 5000}))
    with client(fake) as wistia, pytest.raises(ServiceError) as caught:
        wistia.get(PATH)
    assert str(caught.value).count("x") <= 301


def test_retries_are_bounded(fake):
    fake.before = lambda *_: (500, {}, "")
    with client(fake) as wistia, pytest.raises(ServiceError, match="500 on GET"):
        wistia.get(PATH)
    assert wistia.counts["requests"] == http.Client.ATTEMPTS


def test_throttling_ends_with_a_clear_error(fake, monkeypatch):
    monkeypatch.setattr(http.Client, "THROTTLED_DEADLINE", 0.1)
    fake.before = lambda *_: (429, {}, "")
    with client(fake) as wistia, pytest.raises(ServiceError, match="throttled for too long"):
        wistia.get(PATH)


def test_a_wait_longer_than_the_deadline_is_not_waited_for(fake):
    fake.before = lambda *_: (429, {"Retry-After": "86400"}, "")
    with client(fake) as wistia, pytest.raises(ServiceError) as caught:
        wistia.get(PATH)
    assert caught.value.retry_after == 86400
    assert wistia.counts["requests"] == 1


def test_a_service_that_is_not_there_is_told():
    with FakeWistia() as fake:
        wistia = client(fake)
    with pytest.raises(ServiceError, match="could not be reached on GET"):
        wistia.get(PATH)


def test_bare_throttling_waits_a_second_then_doubles_until_an_answer():
    gate, now = http._Gate(), time.monotonic()
    waits = []
    for _ in range(3):
        gate.shut(time.monotonic(), None, 1.0)
        waits.append(round(gate._opens - time.monotonic()))
        time.sleep(0.001)
    assert waits == [1, 2, 4]
    gate.shut(now, None, 1.0)  # was under way before the door shut: the same wave
    assert round(gate._opens - time.monotonic()) == 4
    gate.passed(time.monotonic())
    gate._opens = 0.0
    time.sleep(0.001)
    gate.shut(time.monotonic(), None, 1.0)
    assert round(gate._opens - time.monotonic()) == 1


def test_throttling_of_one_thread_holds_all_of_them_back(fake):
    fake.before = answers((429, {"Retry-After": "0.3"}, ""))
    with client(fake) as wistia:
        first = threading.Thread(target=wistia.get, args=(PATH,))
        first.start()
        while wistia.counts["throttled"] == 0:
            time.sleep(0.005)
        begun = time.monotonic()
        wistia.get(PATH)
        assert time.monotonic() - begun > 0.15
        first.join()


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7.0), ("0.5", 0.5), ("soon", None), (None, None)]
)
def test_retry_after_is_read(text, seconds):
    assert http._seconds(text) == seconds


def test_retry_after_may_be_a_date(monkeypatch):
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", "2026-10-21T07:28:00Z")
    assert http._seconds("Wed, 21 Oct 2026 07:28:30 GMT") == 30.0


@pytest.mark.parametrize(
    "fault",
    [(500, {}, ""), (503, {}, ""), (200, {}, "not json"), (0, {}, '{"id": 12345}'), (0, {}, None)],
)
def test_a_post_whose_outcome_is_unknown_is_never_repeated(fake, fault):
    fake.before = lambda *_: fault
    with client(fake) as mavera, pytest.raises(UnknownOutcome):
        mavera.post("/personas", {"name": "x"})
    assert len(fake.log) == 1


def test_a_post_that_times_out_is_never_repeated(fake):
    fake.before = lambda *_: (0.3, {}, None)
    with client(fake) as mavera, pytest.raises(UnknownOutcome):
        mavera.post("/personas", {}, read_timeout=0.1)
    assert len(fake.log) == 1


def test_a_throttled_post_is_sent_again(fake):
    fake.before = answers((429, {}, ""), (201, {}, '{"id": "p"}'))
    with client(fake) as mavera:
        assert mavera.post("/personas", {}) == {"id": "p"}
    assert len(fake.log) == 2


def test_a_post_that_never_left_has_a_known_outcome():
    with FakeWistia() as fake:
        mavera = client(fake)
    with pytest.raises(ServiceError) as caught:
        mavera.post("/personas", {})
    assert not isinstance(caught.value, UnknownOutcome)


def test_the_limit_allows_a_burst_and_then_no_more_than_the_window_holds():
    limit = http._Limit(20, window=0.5)
    times = []
    for _ in range(50):
        limit.wait(threading.Event())
        times.append(time.monotonic())
    assert times[19] - times[0] < 0.4
    assert all(later - earlier >= 0.49 for earlier, later in zip(times, times[20:], strict=False))


def test_the_limit_holds_for_all_threads_together(fake):
    def ask(wistia):
        with contextlib.suppress(ServiceError):  # those that still wait when it is closed
            wistia.get(PATH)

    with client(fake, per_minute=30) as wistia:
        for _ in range(40):
            threading.Thread(target=ask, args=(wistia,)).start()
        while len(fake.log) < 30:
            time.sleep(0.01)
        time.sleep(0.3)
        assert len(fake.log) == 30


@pytest.mark.parametrize("address", ["", "api.wistia.com", "ftp://x", "https://"])
def test_a_base_address_that_is_none_is_refused(address):
    with pytest.raises(ParameterError, match="WISTIA_BASE_URL"):
        http.Client("Wistia", address, SecretStr("t"))


def test_the_token_travels_as_a_bearer_even_beside_a_netrc(fake, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    seen = []
    answer = fake._answer
    fake._answer = lambda handler: (seen.append(handler.headers["Authorization"]), answer(handler))
    with client(fake) as wistia:
        wistia.get(PATH)
    assert seen == [f"Bearer {TOKEN}"]


def test_closing_ends_the_waiting_of_all_threads(fake):
    fake.before = lambda *_: (429, {"Retry-After": "60"}, "")
    wistia, ends = client(fake, per_minute=1), []

    def ask():
        with pytest.raises(ServiceError):
            wistia.get(PATH)
        ends.append(1)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    while wistia.counts["throttled"] == 0:
        time.sleep(0.01)
    wistia.close()
    for thread in threads:
        thread.join(10)
    assert len(ends) == 5
