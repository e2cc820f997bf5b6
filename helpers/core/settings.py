"""Settings of a machine: from the environment or ``.env``, never parameters."""

from __future__ import annotations

import os
import re
import shlex
from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from helpers.core.errors import ParameterError

WISTIA_BASE_URL = "https://api.wistia.com"
MAVERA_BASE_URL = "https://app.mavera.io/api/v1"
ENV_FILE = "VIEWER_PERSONAS_ENV_FILE"
"""Names another file than the project's ``.env``: tests must never find live keys there."""


def project_root() -> Path:
    """Folder that holds ``notebooks/``: the installed project's, else the working directory."""
    home = Path(__file__).resolve().parents[2]
    return home if (home / "notebooks").is_dir() else Path.cwd()


def flag(outputs: Path) -> str:
    """`` --outputs DIR`` for a command that is to look where this run wrote; empty by default."""
    if outputs == project_root() / "outputs":
        return ""
    here = Path.cwd()
    place = outputs.relative_to(here) if outputs.is_relative_to(here) else outputs
    return f" --outputs {shlex.quote(str(place))}"


class Settings(BaseSettings):
    """What the environment says; a blank value counts as unset."""

    model_config = SettingsConfigDict(
        env_prefix="VIEWER_PERSONAS_", env_ignore_empty=True, extra="ignore", frozen=True
    )

    wistia_api_token: SecretStr | None = Field(None, validation_alias="WISTIA_API_TOKEN")
    mavera_api_key: SecretStr | None = Field(None, validation_alias="MAVERA_API_KEY")
    wistia_base_url: str | None = Field(None, validation_alias="WISTIA_BASE_URL")
    mavera_base_url: str | None = Field(None, validation_alias="MAVERA_BASE_URL")
    account: str = "live"
    outputs: Path = Path("outputs")
    requests_per_minute: int = Field(600, ge=1)
    memory_limit: str | None = Field(None, pattern=r"^\d+(\.\d+)?\s?(MB|GB|TB|MiB|GiB|TiB|%)$")
    retention_days: int = Field(730, ge=0)
    dask: str | None = Field(None, pattern=r"^(tcp|tls|ws|wss|ucx|inproc)://\S+$")
    dask_path: str | None = None
    shards: int | None = Field(None, ge=1, le=100_000)
    notify: SecretStr | None = None
    sandbox: str | None = None  # address of a sandbox that a parent process already runs

    @field_validator("account")
    @classmethod
    def _account_is_a_folder_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value) or value == "sandbox":
            raise ValueError(
                "letters, digits, '.', '_' and '-' only, at most 64, and not 'sandbox'"
            )
        return value

    @field_validator("wistia_api_token", "mavera_api_key", "wistia_base_url", "mavera_base_url")
    @classmethod
    def _strip(cls, value):
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not plain or not plain.strip():
            return None
        return SecretStr(plain.strip()) if isinstance(value, SecretStr) else plain.strip()

    @cached_property
    def secrets(self) -> list[str]:
        """Plain secrets, for the scan that proves they are nowhere in the outputs."""
        keys = (self.wistia_api_token, self.mavera_api_key, self.notify)
        return [key.get_secret_value() for key in keys if key]


class _FileAlone(Settings):
    @classmethod
    def settings_customise_sources(cls, settings_cls, *, dotenv_settings, **others):
        return (dotenv_settings,)


def of_file(env_file: Path) -> Settings:
    """What an environment file says by itself; ValueError or OSError where it cannot be read."""
    return _FileAlone(_env_file=env_file)


def load(*, env_file: Path | None = None) -> Settings:
    """Read the environment and the project's ``.env``.

    Raises
    ------
    ParameterError
        A value has the wrong form; the message names the setting, never its value.
    """
    try:
        found = Settings(_env_file=env_file or os.environ.get(ENV_FILE) or project_root() / ".env")
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        name = name if name.startswith(("WISTIA", "MAVERA")) else f"VIEWER_PERSONAS_{name}"
        raise ParameterError(
            f"Setting {name} in the environment or .env: {first['msg']}. Correct it and run again."
        ) from None
    outputs = found.outputs if found.outputs.is_absolute() else project_root() / found.outputs
    return found.model_copy(update={"outputs": outputs})
