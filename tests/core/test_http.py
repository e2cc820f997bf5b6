"""Requests that fail in every way the services are known to fail, and in some of malice."""

import contextlib
import gzip
import json
import shutil
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc

import hostile
import pytest
from hostile import answer, silence
from pydantic import SecretStr

from helpers.core import http
from helpers.core.errors import AccessError, CreditError, ServiceError, UnknownOutcome

TOKEN = "a-very-secret-token"
PATH = "/v1/medias.json"
OK = answer("[1]")
THROTTLED = answer("", status=429)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(http.Client, "FIRST_WAIT", 0.01)


def client(url: str, **options) -> http.Client:
    return http.Client("Wistia", url, SecretStr(TOKEN), permission='"Read"', **options)


@contextlib.contextmanager
def talk(*behaviours):
    """A client of a server that does so, and the requests that came."""
    with hostile.serve(*behaviours) as (url, asked), contextlib.closing(client(url)) as made:
        yield made, asked


@pytest.mark.parametrize(
    ("fault", "is_throttled"),
    [
        (answer("slow down", "Retry-After: 0.02", status=429), True),
        (answer('{"error": "boom"}', status=500), False),
        (answer("", status=503), True),
        (answer("<html>welcome</html>"), False),
        (answer('{"error": "odd"}'), False),
        (answer("[" * 200_000), False),
        (answer("[1]", "Content-Encoding: gzip"), False),
        (answer("[1, 2, 3", "Content-Length: 18"), False),
        (silence(), False),
        (silence(0.8), False),
    ],
)
def test_a_get_that_fails_once_is_sent_again(fault, is_throttled, monkeypatch):
    monkeypatch.setattr(http.Client, "READ_TIMEOUT", 0.5)
    with talk(fault, OK) as (wistia, asked):
        assert wistia.get(PATH) == [1]
    assert len(asked) == wistia.counts["requests"] == 2
    assert (wistia.counts["retries"], wistia.counts["throttled"]) == (1, is_throttled)


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
def test_a_refusal_is_final_and_says_what_to_do(status, code, error, then):
    body = json.dumps({"error": f"because\u202e {TOKEN}", "code": code})
    refusal = answer(body.encode(), "x-request-id: req-77\u00ad", status=status)
    with talk(refusal) as (wistia, asked), pytest.raises(error) as caught:
        wistia.get(PATH, where="page 3")
    told = str(caught.value)
    assert f'Wistia: {status} on GET /v1/medias.json (page 3), which says "because …"' in told
    assert "x-request-id req-77)" in told and then in told and TOKEN not in told
    assert caught.value.status_code == status and len(asked) == 1


def test_an_error_body_of_mavera_shows_message_and_param_and_not_more():
    body = {"error": {"message": "no" + "x" * 5000, "type": "t", "code": "c", "param": "name"}}
    assert http.read_error({"error": {"message": "no", "param": "name"}})[1] == "no (param: name)"
    refusal = answer(json.dumps(body), status=400)
    with talk(refusal) as (mavera, _), pytest.raises(ServiceError, match="no") as caught:
        mavera.post("/personas", {})
    assert 250 < str(caught.value).count("x") <= 301


def test_a_wait_longer_than_the_deadline_is_not_waited_for():
    wait = answer("", "Retry-After: 1e12", status=429)
    with talk(wait) as (wistia, asked), pytest.raises(ServiceError, match="too long") as caught:
        wistia.get(PATH)
    assert "throttled for too long" in str(caught.value)
    assert caught.value.retry_after == 86400 and len(asked) == 1


def test_a_service_that_is_not_there_is_told_after_bounded_retries_and_got_nothing():
    wistia = client("http://127.0.0.1:9")
    with pytest.raises(ServiceError, match="on GET /v1/medias.json: it could not be reached"):
        wistia.get(PATH)
    assert wistia.counts["requests"] == http.Client.ATTEMPTS
    with pytest.raises(ServiceError) as caught:
        wistia.post("/personas", {})
    assert not isinstance(caught.value, UnknownOutcome)


def test_bare_throttling_waits_then_doubles_and_its_limit_is_its_own(monkeypatch):
    monkeypatch.setattr(http.Client, "FIRST_WAIT", 0.1)
    monkeypatch.setattr(http.Client, "DEADLINE", 0.01)
    begun = time.monotonic()
    with talk(*3 * [THROTTLED], OK) as (wistia, _):
        assert wistia.get(PATH) == [1]
    assert 0.7 <= time.monotonic() - begun < 1.5, "0.1 + 0.2 + 0.4, and some jitter"
    assert wistia.counts["throttled"] == 3


def test_throttling_of_one_thread_holds_all_of_them_back():
    wait = answer("", "Retry-After: 0.3", status=429)
    with talk(wait, OK) as (wistia, _):
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
    [
        answer("", status=500),
        answer("", status=503),
        answer("not json"),
        answer("[" * 200_000),
        answer('{"id": 1', "Content-Length: 13"),
        silence(),
        silence(0.5),
        # words of the library's own for a request that never left
        lambda line: line.sendall(b"NewConnectionError MaxRetryError(NewConnectionError)\r\n\r\n"),
    ],
)
def test_a_post_whose_outcome_is_unknown_is_never_repeated(fault):
    with talk(fault) as (mavera, asked), pytest.raises(UnknownOutcome):
        mavera.post("/personas", {"name": "x"}, read_timeout=0.3)
    assert len(asked) == 1


def test_a_throttled_post_is_sent_again():
    made = answer('{"id": "p"}', status="201 Created")
    with talk(THROTTLED, made) as (mavera, asked):
        assert mavera.post("/personas", {"name": "x"}) == {"id": "p"}
    assert [request.endswith(b'{"name": "x"}') for request in asked] == [True, True]


def test_the_limit_holds_for_all_threads_together_and_lets_a_burst_through(monkeypatch):
    monkeypatch.setattr(http, "WINDOW", 500)
    wistia, times = client("http://127.0.0.1:9", per_minute=20), []

    def ask():
        for _ in range(5):
            wistia._wait_for_turn()
            times.append(time.monotonic())

    run_in_threads(ask, 10)
    times.sort()
    assert times[19] - times[0] < 0.4
    assert all(later - earlier >= 0.49 for earlier, later in zip(times, times[20:], strict=False))


def run_in_threads(ask, count: int, meanwhile=lambda: None) -> None:
    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    meanwhile()
    for thread in threads:
        thread.join(10)


def test_the_token_travels_as_a_bearer_even_beside_a_netrc(tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with talk(OK) as (wistia, asked):
        wistia.get(PATH)
    assert f"authorization: bearer {TOKEN}\r\n" in asked[0].decode().lower()


def test_closing_ends_the_waiting_of_all_threads():
    ends = []
    with hostile.serve(answer("", "Retry-After: 60", status=429)) as (url, _):
        wistia = client(url, per_minute=1)

        def ask():
            with pytest.raises(ServiceError):
                wistia.get(PATH)
            ends.append(1)

        def close():
            while wistia.counts["throttled"] == 0:
                time.sleep(0.01)
            wistia.close()

        run_in_threads(ask, 5, close)
    assert len(ends) == 5


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DRIPS = {
    "headers": hostile.drip(HEAD + b"x-header: ", b"x"),
    "a body of a length": hostile.drip(HEAD + b"Content-Length: 1000\r\n\r\n[]"),
    "the size of a chunk": hostile.drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
}


@pytest.mark.parametrize("name", DRIPS)
def test_an_answer_that_drips_is_cut_off_in_time(monkeypatch, name):
    monkeypatch.setattr(http.Client, "READ_TIMEOUT", 0.3)
    begun = time.monotonic()
    with talk(DRIPS[name]) as (wistia, asked):
        with pytest.raises(ServiceError) as caught:
            wistia.get(PATH, attempts=2)
        with pytest.raises(UnknownOutcome):
            wistia.post("/personas", {}, read_timeout=0.3)
    assert time.monotonic() - begun < 5
    assert caught.value.exit_status == 4 and len(asked) == 3


BLANKS = gzip.compress(b" " * 2**26)  # 64 MB in 64 KB
FLOODS = {
    "plain": hostile.flood(HEAD + b"\r\n", b" " * 2**20, 100),
    "packed": answer(BLANKS * 4 + gzip.compress(b"[]"), "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_an_answer_without_bounds_is_not_read_to_its_end(name):
    with talk(FLOODS[name]) as (wistia, asked):
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
def test_no_redirect_is_followed_and_both_addresses_are_named(status):
    with hostile.serve(OK) as (other, followed):
        target = other.replace("http://", "http://user:secret@") + PATH
        redirect = answer(b"", f"Location: {target}?key=1", status=status)
        with hostile.serve(redirect) as (url, asked), contextlib.closing(client(url)) as wistia:
            with pytest.raises(ServiceError) as caught:
                wistia.get(PATH)
            with pytest.raises(ServiceError):
                wistia.post(PATH, {"name": "x"})
    told = str(caught.value)
    assert url in told and other + PATH in told and "WISTIA_BASE_URL" in told
    assert "secret" not in told and "key=1" not in told
    assert caught.value.exit_status == 4 and len(asked) == 2 and followed == []


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes the certificate")
def test_a_server_that_signed_its_own_certificate_is_refused_at_once(tmp_path):
    key, pem = tmp_path / "key", tmp_path / "own.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made = [*command.split(), str(key), "-out", str(pem), *names]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    with hostile.serve(OK, context=context) as (url, asked):
        wistia = client(url.replace("http://127.0.0.1", "https://localhost"))
        with pytest.raises(ServiceError, match="certificate") as caught:
            wistia.post("/personas", {})
    assert not isinstance(caught.value, UnknownOutcome) and asked == []
    assert wistia.counts["requests"] == 1


@pytest.mark.parametrize("proxy", ["socks5h://127.0.0.1:9", "gopher://127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_told_at_once(monkeypatch, proxy):
    monkeypatch.setitem(sys.modules, "socks", None)
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    wistia = client("https://wistia.example")
    with pytest.raises(ServiceError, match="proxy"):
        wistia.get(PATH)
    assert wistia.counts["requests"] == 1
