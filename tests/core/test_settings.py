"""Settings come from the environment or .env, and say what is wrong without showing a value."""

import pytest

from helpers.core import settings
from helpers.core.errors import ParameterError


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in ("WISTIA_API_TOKEN", "MAVERA_API_KEY", "WISTIA_BASE_URL", "MAVERA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("ACCOUNT", "OUTPUTS", "REQUESTS_PER_MINUTE", "MEMORY_LIMIT", "RETENTION_DAYS"):
        monkeypatch.delenv(f"VIEWER_PERSONAS_{name}", raising=False)


def test_nothing_set_means_no_keys_and_the_usual_defaults(tmp_path):
    found = settings.load(env_file=tmp_path / "none")
    assert found.wistia_api_token is None and found.mavera_api_key is None
    assert (found.account, found.requests_per_minute, found.retention_days) == ("live", 600, 730)
    assert found.outputs.is_absolute() and found.outputs.name == "outputs"


def test_a_blank_value_counts_as_unset(monkeypatch, tmp_path):
    monkeypatch.setenv("WISTIA_API_TOKEN", "  ")
    monkeypatch.setenv("MAVERA_API_KEY", "")
    found = settings.load(env_file=tmp_path / "none")
    assert found.wistia_api_token is None and found.mavera_api_key is None


def test_env_file_is_read_and_the_environment_wins(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("WISTIA_API_TOKEN=from-file\nMAVERA_API_KEY=only-file\n")
    monkeypatch.setenv("WISTIA_API_TOKEN", "from-environment")
    found = settings.load(env_file=tmp_path / ".env")
    assert found.secrets == ["from-environment", "only-file"]


def test_a_secret_is_not_in_the_settings_text(monkeypatch, tmp_path):
    monkeypatch.setenv("WISTIA_API_TOKEN", "sesame-123")
    assert "sesame-123" not in repr(settings.load(env_file=tmp_path / "none"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VIEWER_PERSONAS_REQUESTS_PER_MINUTE", "many"),
        ("VIEWER_PERSONAS_MEMORY_LIMIT", "a lot"),
        ("VIEWER_PERSONAS_ACCOUNT", "../up"),
        ("VIEWER_PERSONAS_ACCOUNT", "sandbox"),
        ("VIEWER_PERSONAS_RETENTION_DAYS", "-1"),
        ("VIEWER_PERSONAS_DASK", "127.0.0.1"),
        ("VIEWER_PERSONAS_SHARDS", "0"),
    ],
)
def test_a_malformed_setting_is_refused_by_name(monkeypatch, tmp_path, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ParameterError, match=name):
        settings.load(env_file=tmp_path / "none")
