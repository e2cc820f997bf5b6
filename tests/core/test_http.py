"""Requests that fail in every way the services are known to fail, and in some of malice."""

from __future__ import annotations

import gzip
import json
import shutil
import ssl
import subprocess
import threading
import time
import tracemalloc

import hostile
import pytest
from fake_wistia import FakeWistia
from pydantic import SecretStr

from helpers.core import http
from helpers.core.errors import AccessError, CreditError, ServiceError, UnknownOutcome

TOKEN = "a-very-secret-token"
PATH = "/v1/medias.json"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(http.Client, "FIRST_WAIT", 0.01)


@pytest.fixture
def fake():
    with FakeWistia() as server:
        yield server


def client(server, **options) -> http.Client:
    address = server if isinstance(server, str) else server.url
    return http.Client("Wistia", address, SecretStr(TOKEN), permission='"Read"', **options)


def answers(*first):
    """The first answers of a server; None is a good one."""
    left = list(first)
    return lambda path, query, number: left.pop(0) if left else None


@pytest.mark.parametrize(
    "fault",
    [
        (429, {"Retry-After": "0.02"}, "slow down"),
        (500, {}, '{"error": "boom"}'),
        (503, {}, ""),
        (200, {}, "<html>welcome</html>"),
        (200, {}, '{"error": "odd"}'),
        (200, {}, "[" * 200_000),
        (200, {"Content-Encoding": "gzip"}, "[1]"),
        (0, {}, "[1, 2, 3, 4, 5, 6]"),
        (0, {}, None),
        (1.5, {}, None),
    ],
)
def test_a_get_that_fails_once_is_sent_again(fake, fault, monkeypatch):
    monkeypatch.setattr(http.Client, "READ_TIMEOUT", 1.0)
    fake.medias = [1]
    fake.before = answers(fault)
    with client(fake) as wistia:
        assert wistia.get(PATH) == [1]
    assert wistia.counts["requests"] == 2
    assert wistia.counts["retries"] == 1
    assert wistia.counts["throttled"] == (fault[0] in (429, 503))


TO_SET = 'token refused. Expected a token with "Read". Set WISTIA_API_TOKEN in .env'


@pytest.mark.parametrize(
    ("status", "code", "error", "then"),
    [
        (401, "unauthorized_credentials", AccessError, TO_SET),
        (401, "account_inactive", AccessError, 'not active. Expected a token with "Read". Renew'),
        (401, "unauthorized_scope", AccessError, "lacks a permission"),
        (403, "something_new", AccessError, TO_SET),
        (402, "", CreditError, "billing"),
        (404, "", ServiceError, "Check WISTIA_BASE_URL, if set"),
        (422, "", ServiceError, "correct what it names"),
    ],
)
def test_a_refusal_is_final_and_says_what_to_do(fake, status, code, error, then):
    headers = {"x-request-id": "req-77\u00ad"}
    body = json.dumps({"error": f"because\u202e {TOKEN}", "code": code})
    fake.before = lambda *_: (status, headers, body)
    with client(fake) as wistia, pytest.raises(error) as caught:
        wistia.get(PATH, where="page 3")
    assert wistia.counts["requests"] == 1
    told = str(caught.value)
    assert f'Wistia: {status} on GET /v1/medias.json (page 3), which says "because …"' in told
    assert "x-request-id req-77)" in told and then in told
    assert TOKEN not in told
    assert caught.value.status_code == status


def test_an_error_body_of_mavera_shows_message_and_param_and_not_more(fake):
    body = {"error": {"message": "no" + "x" * 5000, "type": "t", "code": "c", "param": "name"}}
    assert http.read_error({"error": {"message": "no", "param": "name"}})[1] == "no (param: name)"
    fake.before = answers((400, {}, json.dumps(body)))
    with client(fake) as wistia, pytest.raises(ServiceError, match="no") as caught:
        wistia.post("/personas", {})
    assert 250 < str(caught.value).count("x") <= 301


def test_a_wait_longer_than_the_deadline_is_not_waited_for(fake):
    fake.before = lambda *_: (429, {"Retry-After": "1e12"}, "")
    with client(fake) as wistia, pytest.raises(ServiceError) as caught:
        wistia.get(PATH)
    assert "throttled for too long" in str(caught.value)
    assert caught.value.retry_after == 86400
    assert wistia.counts["requests"] == 1


def test_a_service_that_is_not_there_is_told_after_bounded_retries_and_got_nothing():
    with FakeWistia() as fake:
        wistia = client(fake)
    with pytest.raises(ServiceError, match="on GET /v1/medias.json: it could not be reached"):
        wistia.get(PATH)
    assert wistia.counts["requests"] == http.Client.ATTEMPTS
    with pytest.raises(ServiceError) as caught:
        wistia.post("/personas", {})
    assert not isinstance(caught.value, UnknownOutcome)


def test_bare_throttling_waits_then_doubles_and_its_limit_is_its_own(fake, monkeypatch):
    monkeypatch.setattr(http.Client, "FIRST_WAIT", 0.1)
    monkeypatch.setattr(http.Client, "DEADLINE", 0.01)
    fake.before = answers(*3 * [(429, {}, "")])
    begun = time.monotonic()
    with client(fake) as wistia:
        assert wistia.get(PATH) == []
    assert 0.7 <= time.monotonic() - begun < 1.5, "0.1 + 0.2 + 0.4, and some jitter"
    assert wistia.counts["throttled"] == 3


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
    ("text", "seconds"),
    [("7", 7), ("0.5", 0.5), ("soon", 0), (None, 0), ("nan", 0), ("-inf", 0), ("inf", 86400),
     ("1e12", 86400), ("Wed, 21 Oct 2026 07:28:30 GMT", 0)],
)  # fmt: skip
def test_retry_after_is_read_and_capped(text, seconds):
    assert http.read_wait(text) == seconds


@pytest.mark.parametrize(
    "fault",
    [(500, {}, ""), (503, {}, ""), (200, {}, "not json"), (200, {}, "[" * 200_000),
     (0, {}, '{"id": 12345}'), (0, {}, None), (0.5, {}, None)],
)  # fmt: skip
def test_a_post_whose_outcome_is_unknown_is_never_repeated(fake, fault):
    fake.before = lambda *_: fault
    with client(fake) as mavera, pytest.raises(UnknownOutcome):
        mavera.post("/personas", {"name": "x"}, read_timeout=0.3)
    assert len(fake.log) == 1


def test_what_a_server_says_does_not_make_a_post_one_that_never_left():
    said = b"NewConnectionError MaxRetryError(NewConnectionError) Tunnel\r\n\r\n"
    drop = hostile.serve(lambda line: line.sendall(said))
    with drop as (url, asked), client(url) as mavera, pytest.raises(UnknownOutcome):
        mavera.post("/personas", {})
    assert len(asked) == 1


def test_a_throttled_post_is_sent_again(fake):
    fake.before = answers((429, {}, ""), (201, {}, '{"id": "p"}'))
    with client(fake) as mavera:
        assert mavera.post("/personas", {}) == {"id": "p"}
    assert len(fake.log) == 2


def test_the_limit_holds_for_all_threads_together_and_lets_a_burst_through(fake, monkeypatch):
    monkeypatch.setattr(http, "WINDOW", 500)
    times = []
    with client(fake, per_minute=20) as wistia:

        def ask():
            for _ in range(5):
                wistia._wait_for_turn()
                times.append(time.monotonic())

        threads = [threading.Thread(target=ask) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    times.sort()
    assert times[19] - times[0] < 0.4
    assert all(later - earlier >= 0.49 for earlier, later in zip(times, times[20:], strict=False))


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


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DRIPS = {
    "headers": hostile.drip(HEAD + b"x-header: ", b"x"),
    "a body of a length": hostile.drip(HEAD + b"Content-Length: 1000\r\n\r\n[]"),
    "the size of a chunk": hostile.drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
}


@pytest.mark.parametrize("name", DRIPS)
def test_an_answer_that_drips_is_cut_off_in_time(monkeypatch, name):
    monkeypatch.setattr(http.Client, "READ_TIMEOUT", 0.5)
    begun = time.monotonic()
    with hostile.serve(DRIPS[name]) as (url, asked), client(url) as wistia:
        with pytest.raises(ServiceError) as caught:
            wistia.get(PATH, attempts=2)
        with pytest.raises(UnknownOutcome):
            wistia.post("/personas", {}, read_timeout=0.5)
    assert time.monotonic() - begun < 5
    assert caught.value.exit_status == 4 and len(asked) == 3


BLANKS = gzip.compress(b" " * 2**26)  # 64 MB in 64 KB
FLOODS = {
    "plain": hostile.flood(HEAD + b"\r\n", b" " * 2**20, 100),
    "packed": hostile.answer(BLANKS * 4 + gzip.compress(b"[]"), "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_an_answer_without_bounds_is_not_read_to_its_end(name):
    with hostile.serve(FLOODS[name]) as (url, asked), client(url) as wistia:
        tracemalloc.start()
        with pytest.raises(ServiceError, match="too large"):
            wistia.get(PATH)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        with pytest.raises(UnknownOutcome):
            wistia.post("/personas", {})
    assert len(asked) == 2, "it would be as large again"
    assert peak < 160 * 2**20


@pytest.mark.parametrize("status", ["302 Found", "307 Again"])
def test_no_redirect_is_followed_and_both_addresses_are_named(fake, status):
    target = fake.url.replace("http://", "http://user:secret@") + PATH
    redirect = hostile.answer(b"", f"Location: {target}?key=1", status=status)
    with hostile.serve(redirect) as (url, asked), client(url) as wistia:
        with pytest.raises(ServiceError) as caught:
            wistia.get(PATH)
        with pytest.raises(ServiceError):
            wistia.post(PATH, {"name": "x"})
    told = str(caught.value)
    assert url in told and fake.url + PATH in told and "WISTIA_BASE_URL" in told
    assert "secret" not in told and "key=1" not in told
    assert caught.value.exit_status == 4 and len(asked) == 2 and fake.log == []


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes the certificate")
def test_a_server_that_signed_its_own_certificate_is_refused_at_once(tmp_path):
    pem = tmp_path / "own.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made = [*command.split(), str(tmp_path / "key"), "-out", str(pem), *names]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, tmp_path / "key")
    with hostile.serve(hostile.answer(b"[]"), context) as (url, asked):
        wistia = client(url.replace("http://127.0.0.1", "https://localhost"))
        with pytest.raises(ServiceError, match="certificate") as caught:
            wistia.post("/personas", {})
    assert not isinstance(caught.value, UnknownOutcome) and asked == []
    assert wistia.counts["requests"] == 1


@pytest.mark.parametrize("proxy", ["socks5h://127.0.0.1:9", "gopher://127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_told_at_once(monkeypatch, proxy):
    monkeypatch.setitem(__import__("sys").modules, "socks", None)
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    wistia = client("https://wistia.example")
    with pytest.raises(ServiceError, match="proxy"):
        wistia.get(PATH)
    assert wistia.counts["requests"] == 1
