"""Settings of a machine: from the environment or ``.env``, never parameters."""

from __future__ import annotations

import difflib
import io
import os
import re
import shlex
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from helpers.core.errors import AccessError, ParameterError
from helpers.core.files import read_owner_text
from helpers.core.privacy import project_root

WISTIA_BASE_URL = "https://api.wistia.com"
MAVERA_BASE_URL = "https://app.mavera.io/api/v1"
ADDRESS = (
    r"^(?i:https://[a-z0-9._-]+|http://(localhost|127(\.\d{1,3}){3}|\[::1\]))"
    r"(:\d{1,5})?(/[A-Za-z0-9_.~%/-]*)?\Z"
)
PREFIX = "VIEWER_PERSONAS_"
ENV_FILE = f"{PREFIX}ENV_FILE"
"""Names another file than the project's ``.env``: tests must never find live keys there."""
WARNED = f"{PREFIX}WARNED"
"""Names that were warned of: processes that this one starts say nothing of them."""
OWN = {ENV_FILE, WARNED, f"{PREFIX}NOW", f"{PREFIX}LOCK"}
"""What the kit tells the processes it starts, and tests tell the kit."""


def _address(alias: str) -> Any:
    expected = "https://host/path without user, blanks and query; http on this machine alone"
    return Field(None, validation_alias=alias, pattern=ADDRESS, description=expected)


class Settings(BaseSettings):
    """What the environment says; a blank value counts as unset.

    A description is what an error says was expected.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        env_file_encoding="utf-8-sig",
        validate_default=True,
        regex_engine="python-re",
    )

    wistia_api_token: SecretStr | None = Field(None, validation_alias="WISTIA_API_TOKEN")
    mavera_api_key: SecretStr | None = Field(None, validation_alias="MAVERA_API_KEY")
    wistia_base_url: str | None = _address("WISTIA_BASE_URL")
    mavera_base_url: str | None = _address("MAVERA_BASE_URL")
    account: str = Field(
        "live",
        pattern=r"^(?!sandbox\Z)[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z",
        description="letters, digits, '.', '_' and '-' only, at most 64, and not 'sandbox'",
    )
    outputs: Path = Path("outputs")
    requests_per_minute: int = Field(600, ge=1)
    memory_limit: str | None = Field(
        None, pattern=r"^\d+(\.\d+)?\s?(MB|GB|TB|MiB|GiB|TiB|%)$", description="a size such as 2GB"
    )
    retention_days: int = Field(730, ge=0)
    notify: SecretStr | None = None  # an Apprise address, which holds a token
    dask: str | None = Field(
        None,
        pattern=r"^(tcp|tls|ws|wss|ucx|inproc)://\S+$",
        description="a scheduler's address, such as tcp://127.0.0.1:8786",
    )
    dask_path: str | None = None
    shards: int | None = Field(None, ge=1, le=100_000)
    sandbox: str | None = None  # address of a sandbox that a parent process already runs

    @field_validator("*", mode="before")
    @classmethod
    def _blank_is_unset(cls, value: Any) -> Any:
        return (value.strip() or None) if isinstance(value, str) else value

    @field_validator("outputs")
    @classmethod
    def _outputs_are_absolute(cls, value: Path) -> Path:
        return project_root() / os.path.expanduser(value)

    @field_validator("wistia_api_token", "mavera_api_key")
    @classmethod
    def _key_can_be_sent(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value and not re.fullmatch("[!-~]+", value.get_secret_value()):
            name = info.field_name.upper()
            raise AccessError(
                f"{name} holds a character that no key has: a blank, a typographic quote, or one "
                "that can't be seen.",
                remedy=f"Copy the key anew, set {name} in the environment or .env and run again.",
            )
        return value

    @cached_property
    def secrets(self) -> list[str]:
        """Plain secrets, for the scan that proves they are nowhere in the outputs."""
        keys = (self.wistia_api_token, self.mavera_api_key)
        address = self.notify.get_secret_value() if self.notify else ""
        # Of an address its tokens alone: host and path stand in other texts too.
        tokens = re.findall(r"[\w-]*\d[\w-]*|[\w-]{16,}", address)
        return [key.get_secret_value() for key in keys if key] + tokens


FIELDS = {
    str(field.validation_alias or PREFIX + name.upper()): field
    for name, field in Settings.model_fields.items()
}
"""Settings by the name they have in the environment."""


class _FileAlone(Settings):
    @classmethod
    def settings_customise_sources(cls, settings_cls, *, dotenv_settings, **others):
        return (dotenv_settings,)


def flag(outputs: Path) -> str:
    """`` --outputs DIR`` for a command about this outputs folder; empty where it is the default."""
    if outputs == project_root() / "outputs":
        return ""
    here = Path.cwd()
    place = outputs.relative_to(here) if outputs.is_relative_to(here) else outputs
    return f" --outputs {shlex.quote(str(place))}"


def of_file(env_file: Path) -> Settings:
    """What an environment file says by itself; raises like :func:`load`."""
    return _checked(_FileAlone, env_file)


def load(*, env_file: Path | None = None) -> Settings:
    """Read the environment and the project's ``.env``; unknown names are warned of, once.

    Raises
    ------
    ParameterError
        The file cannot be read, or a value has the wrong form; the message names the setting,
        never its value.
    AccessError
        A key holds a character that no request can carry.
    """
    default = os.environ.get(ENV_FILE) or project_root() / ".env"
    return _checked(Settings, Path(env_file or default))


def _checked(kind: type[Settings], env_file: Path) -> Settings:
    names = _names_in(env_file) if env_file.exists() else []
    _warn_of_unknown([*names, *os.environ])
    try:
        return kind(_env_file=env_file)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        name = name if name in FIELDS else PREFIX + name
        expected = FIELDS[name].description or ""
        raise ParameterError(
            "Its value has the wrong form." if expected else f"{first['msg']}.",
            where=f"Setting {name} in the environment or {env_file.name}",
            expected=expected,
            remedy="Correct it and run again.",
        ) from None


def _names_in(env_file: Path) -> list[str]:
    """Names that an environment file sets; a line that sets none is refused."""
    lines = list(parse_stream(io.StringIO(read_owner_text(env_file, "Settings file"))))
    for line in lines:
        if line.error or (line.key and line.value is None):
            text = line.original.string
            blank = text[: len(text) - len(text.lstrip())].count("\n")
            raise ParameterError(
                "This is no setting.",
                where=f"Settings file {env_file.name}, line {line.original.line + blank}",
                expected="NAME=value",
                remedy="Correct the line, or begin it with #.",
            )
    return [line.key for line in lines if line.key]


def _warn_of_unknown(names: list[str]) -> None:
    """A misspelt key means the sandbox: a report of invented data that nobody asked for."""
    warned = os.environ.get(WARNED, "").split()
    ours = {name for name in names if name.startswith(("WISTIA_", "MAVERA_", PREFIX))}
    for name in sorted(ours - {*FIELDS, *OWN, *warned}):
        near = difflib.get_close_matches(name, FIELDS, n=1)
        meant = f" Did you mean {near[0]}?" if near else ""
        print(f"Warning: {name} is no setting and does nothing.{meant}", file=sys.stderr)
        os.environ[WARNED] = f"{os.environ.get(WARNED, '')} {name}"
