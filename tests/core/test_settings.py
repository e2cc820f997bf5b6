"""Settings come from the environment or .env, and say what is wrong without showing a value."""

import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, strategies as st

from helpers.core import settings
from helpers.core.errors import AccessError, ParameterError
from helpers.core.parameters import DEFAULTS, LEAST_CELL, WORDS


@pytest.fixture
def env_file(tmp_path):
    """Writes an environment file; with nothing written there is none."""

    def write(content: str | bytes = "") -> Path:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / ".env").write_bytes(data)
        return tmp_path / ".env"

    return write


def test_nothing_set_means_no_keys_and_the_usual_defaults(tmp_path, monkeypatch, env_file):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("VIEWER_PERSONAS_OUTPUTS")
    found = settings.of_file(env_file("VIEWER_PERSONAS_OUTPUTS=~/reports"))
    assert found.outputs == tmp_path / "reports"
    found = settings.load(env_file=tmp_path / "none")
    assert found.wistia_api_token is None and found.mavera_api_key is None
    assert (found.account, found.requests_per_minute, found.retention_days) == ("live", 600, 730)
    assert found.outputs == settings.project_root() / "outputs"


@given(st.text("abc ${}#=%", min_size=1).filter(str.strip))
def test_a_quoted_value_is_what_stands_in_the_file(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "quoted.env"
    path.write_text(f"VIEWER_PERSONAS_DASK_PATH='{value}' # a remark\n")
    assert settings.of_file(path).dask_path == value.strip()


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_file_is_read_and_the_environment_wins(monkeypatch, env_file, mark):
    more = "WISTIA_BASE_URL=' https://w.example/x '\nVIEWER_PERSONAS_ACCOUNT=  \n# a remark\n\n"
    path = env_file(f"{mark}MAVERA_API_KEY=only-file\nWISTIA_API_TOKEN=from-file\n{more}")
    monkeypatch.setenv("WISTIA_API_TOKEN", "from-environment")
    assert settings.load(env_file=path).secrets == ["from-environment", "only-file"]
    found = settings.of_file(path)
    assert found.secrets == ["from-file", "only-file"] and found.account == "live"
    assert found.wistia_base_url == "https://w.example/x"


def test_of_an_address_to_notify_the_tokens_are_secrets_and_it_is_not_shown(env_file):
    address = "https://hooks.example.com/services/T012ABCDEF/abcdefghijklmnopqrstuvwx"
    found = settings.load(env_file=env_file(f"VIEWER_PERSONAS_NOTIFY={address}"))
    assert found.notify.get_secret_value() == address
    assert found.secrets == ["T012ABCDEF", "abcdefghijklmnopqrstuvwx"]
    assert "T012" not in repr(found)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("WISTIA_API_TOKEN=a".encode("utf-16"), r"\.env"),
        (b"WISTIA_API_TOKEN=na\xefve", r"\.env"),
        (b"A=1\nWISTIA_API_TOKEN\n", r"\.env, line 2"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused_by_name_and_line(env_file, content, place):
    with pytest.raises(ParameterError, match=f"Settings file {place}: "):
        settings.load(env_file=env_file(content))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VIEWER_PERSONAS_REQUESTS_PER_MINUTE", "many"),
        ("VIEWER_PERSONAS_MEMORY_LIMIT", "a lot"),
        ("VIEWER_PERSONAS_ACCOUNT", "../up"),
        ("VIEWER_PERSONAS_RETENTION_DAYS", "-1"),
        ("VIEWER_PERSONAS_DASK", "127.0.0.1"),
        ("VIEWER_PERSONAS_SHARDS", "0"),
        ("WISTIA_BASE_URL", "api.wistia.com"),
        ("WISTIA_BASE_URL", "http://api.wistia.com"),
        ("WISTIA_BASE_URL", "https://api.wistia.com@evil.example"),
        ("WISTIA_BASE_URL", "https://api.wistia.com/?to=evil.example"),
        ("MAVERA_BASE_URL", "https://a b/"),
    ],
)
def test_a_malformed_setting_is_refused_by_name_and_not_shown(monkeypatch, tmp_path, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ParameterError, match=name) as refused:
        settings.load(env_file=tmp_path / "none")
    assert "evil" not in str(refused.value) and "valid" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    ["https://api.wistia.com", "HTTPS://w.example:8443/api/v1/", "http://localhost:8000",
     "http://127.0.0.1:1/api", "http://[::1]:8000"],
)  # fmt: skip
def test_an_address_of_https_or_of_this_machine_is_fine(monkeypatch, tmp_path, address):
    monkeypatch.setenv("WISTIA_BASE_URL", address)
    assert settings.load(env_file=tmp_path / "none").wistia_base_url == address.rstrip("/")


@given(st.from_regex(settings.ADDRESS, fullmatch=True) | st.text("htps:/@?#[]\\.1270a \t\u200b"))
def test_an_address_that_is_taken_goes_where_it_says(address):
    if re.search(settings.ADDRESS, address):
        parts = urlsplit(address)
        assert parts.netloc == address.split("/")[2] and not parts.username and not parts.query
        loopback = parts.hostname == "localhost" or parts.hostname.startswith(("127.", "::1"))
        assert parts.scheme == "https" or loopback


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("WISTIA_API_TOKEN", "“abcdef”"),
        ("WISTIA_API_TOKEN", "abc\u200bdef"),
        ("MAVERA_API_KEY", "abcdéf"),
    ],
)
def test_a_key_that_no_header_can_carry_is_refused_by_name(monkeypatch, tmp_path, name, key):
    monkeypatch.setenv(name, key)
    with pytest.raises(AccessError, match=name) as refused:
        settings.load(env_file=tmp_path / "none")
    assert key not in str(refused.value)


def test_an_unknown_name_is_warned_of_once_with_the_nearest(monkeypatch, env_file, capfd):
    monkeypatch.setenv("VIEWER_PERSONAS_SHARD", "3")
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", "2026-07-01")
    path = env_file("WISTIA_API_TOKN=abc\nOTHER=1")
    settings.load(env_file=path)
    told = capfd.readouterr().err
    assert "WISTIA_API_TOKN" in told and "'WISTIA_API_TOKEN'?" in told and "abc" not in told
    assert "'VIEWER_PERSONAS_SHARDS'?" in told and len(told.splitlines()) == 2
    settings.load(env_file=path)
    assert capfd.readouterr().err == ""


def test_a_kernel_of_a_run_says_nothing_of_what_the_run_warned_of(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("VIEWER_PERSONAS_LOCK", "held")
    monkeypatch.setenv("VIEWER_PERSONAS_SHARDZ", "3")
    settings.load(env_file=tmp_path / "none")
    assert capfd.readouterr().err == ""


def test_what_was_expected_is_told_of_settings_and_parameters_there_are_with_their_limits():
    words = WORDS["settings"]
    assert words.keys() <= set(settings.FIELDS) and WORDS["parameters"].keys() <= DEFAULTS.keys()
    for field in settings.Settings.model_fields.values():
        for limit in field.metadata:
            number = getattr(limit, "ge", getattr(limit, "le", None))
            assert number is None or f"{number:,}" in words[field.alias]
    assert f"or {LEAST_CELL} or more" in WORDS["parameters"]["min_cell"]


def test_a_suggested_command_is_the_shortest_that_works_here(monkeypatch, tmp_path):
    folder = tmp_path / "kit" / "bin"
    folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/usr/bin")
    assert settings.command("runs") == f"{folder}/python -m helpers runs"
    script = folder / "viewer-personas"
    script.touch(mode=0o755)
    assert settings.command("runs") == f"{script} runs"
    monkeypatch.chdir(tmp_path / "kit")
    here = "bin/viewer-personas runs --outputs 'o p'"
    assert settings.command("runs", tmp_path / "kit" / "o p") == here
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin")
    assert settings.command("runs") == "viewer-personas runs"
