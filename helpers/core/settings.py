"""Settings of a machine, from the environment or ``.env``, and which services they make live."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from annotated_types import Predicate
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from helpers.core.errors import AccessError, ParameterError
from helpers.core.owner import read_settings_file
from helpers.core.parameters import WORDS, Parameters, first_problem, suggest
from helpers.core.privacy import clean_text, project_root

ADDRESS = (
    r"^(?i:https://[a-z0-9._-]+|http://(localhost|127(\.\d{1,3}){3}|\[::1\]))"
    r"(:\d{1,5})?(/[A-Za-z0-9_.~%/-]*)?\Z"
)
PREFIX = "VIEWER_PERSONAS_"
PREFIXES = ("WISTIA_", "MAVERA_", PREFIX)
ENV_FILE = f"{PREFIX}ENV_FILE"
"""Names another file than the project's ``.env``: tests must never find live keys there."""
OWN = {ENV_FILE, f"{PREFIX}NOW", f"{PREFIX}LOCK"}
"""What the kit tells the processes it starts, and tests tell the kit."""


Key = Annotated[SecretStr, Predicate(lambda k: re.fullmatch("[!-~]+", k.get_secret_value()))]
Address = Annotated[
    str,
    # A port over 65535 is a ValueError.
    Predicate(lambda text: re.search(ADDRESS, text) and urlsplit(text).port != 0),
    AfterValidator(lambda text: text.rstrip("/")),
]


def _folder(path: Path) -> Path:
    """The path from the project's folder, or from the home folder behind ``~``."""
    whole = project_root() / os.path.expanduser(path)
    if any(len(name.encode()) > 255 for name in whole.parts):
        raise ValueError
    return whole


def _alias(name: str) -> str:
    """A setting's name in the environment: of a service as it is, else with the kit's prefix."""
    upper = name.upper()
    return upper if upper.startswith(PREFIXES) else PREFIX + upper


class Settings(BaseModel, frozen=True, populate_by_name=True, validate_default=True):
    """What the environment says; a blank value counts as unset.

    What an error says was expected stands in ``words.yml``.
    """

    model_config = ConfigDict(alias_generator=_alias, regex_engine="python-re")

    wistia_api_token: Key | None = None
    mavera_api_key: Key | None = None
    wistia_base_url: Address = "https://api.wistia.com"
    mavera_base_url: Address = "https://app.mavera.io/api/v1"
    account: str = Field("live", pattern=r"^(?!sandbox\Z)[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
    outputs: Annotated[Path, AfterValidator(_folder)] = Path("outputs")
    requests_per_minute: int = Field(600, ge=1, le=100_000)
    memory_limit: str | None = Field(None, pattern=r"^(?=.*[1-9])\d{1,5}(\.\d+)?\s?[MGT]i?B\Z")
    retention_days: int = Field(730, ge=0, le=36_500)
    notify: SecretStr | None = None  # an Apprise address, which holds a token
    dask: str | None = Field(None, pattern=r"^(tcp|tls|ws|wss|ucx|inproc)://\S+$")
    dask_path: str | None = None
    shards: int | None = Field(None, ge=1, le=100_000)
    sandbox: Address | None = None  # of a sandbox that a parent process already runs

    @cached_property
    def secrets(self) -> list[str]:
        """Plain secrets, for the scan that proves they are nowhere in the outputs."""
        keys = [getattr(self, name.lower()) for name in KEYS.values()]
        address = self.notify.get_secret_value() if self.notify else ""
        # Of an address its tokens alone: host and path stand in other texts too.
        tokens = re.findall(r"[\w-]*\d[\w-]*|[\w-]{16,}", address)
        return [key.get_secret_value() for key in keys if key] + tokens


FIELDS = [field.alias for field in Settings.model_fields.values()]
"""Settings, by the names that they have in the environment."""


def command(words: str, outputs: Path | None = None) -> str:
    """A command of the kit as it can be typed here, such as ``.venv/bin/viewer-personas runs``.

    Parameters
    ----------
    words : str
        What follows the program's name.
    outputs : Path, optional
        The outputs folder it is about; it is named where it is not the default.

    Returns
    -------
    str: by its name alone only where the search path leads to this very installation.
    """
    script = shutil.which("viewer-personas", path=str(Path(sys.executable).parent))
    if script is None:
        program = f"{shlex.quote(shown(Path(sys.executable)))} -m helpers"
    elif shutil.which("viewer-personas") == script:
        program = "viewer-personas"
    else:
        program = shlex.quote(shown(Path(script)))
    if outputs and outputs != project_root() / "outputs":
        words += f" --outputs {shlex.quote(shown(outputs))}"
    return f"{program} {words}"


def shown(path: Path) -> str:
    """A path as short as it can be said to whoever works in the current folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def load(*, env_file: Path | None = None) -> Settings:
    """Read the environment and the project's ``.env``; unknown names are warned of.

    Raises
    ------
    ParameterError
        The file cannot be read, or a value has the wrong form; the message names the setting,
        never its value.
    AccessError
        A key holds a character that no request can carry.
    """
    named = env_file or os.environ.get(ENV_FILE) or project_root() / ".env"
    return of_file(Path(named), os.environ)


def of_file(env_file: Path, environment: Mapping[str, str] = {}) -> Settings:
    """What an environment file says, below an environment; raises like :func:`load`."""
    ours = {
        name.upper(): value.strip()
        for name, value in {**read_settings_file(env_file), **environment}.items()
        if name.upper().startswith(PREFIXES)
    }
    for name in sorted(ours.keys() - {*FIELDS, *OWN}):
        _warn_of_unknown(name)
    try:
        return Settings.model_validate({name: value for name, value in ours.items() if value})
    except ValidationError as error:
        name, expected = first_problem(error, "settings")
        kind = AccessError if name in KEYS.values() else ParameterError
        where = f"Setting {name} in the environment or {env_file.name}"
        raise kind("its value cannot be used.", where=where, expected=expected) from None


@cache
def _warn_of_unknown(name: str) -> None:
    """A misspelt key means the sandbox: a report of invented data that nobody asked for."""
    if os.environ.get(f"{PREFIX}LOCK") != "held":  # else the run that started this kernel told it
        told = f"{clean_text(name)} is no setting and does nothing. {suggest(name, FIELDS)}"
        print(f"Warning: {told}", file=sys.stderr)


KEYS = {"wistia": "WISTIA_API_TOKEN", "mavera": "MAVERA_API_KEY"}
"""The setting of each service's key."""

ASKS = {"wistia": ("01", "02", "03", "06"), "mavera": ("04", "05")}
"""Numbers of the stages that cannot do without a service."""


@dataclass(frozen=True)
class Sources:
    """Where each service's answers come from: live, sandbox, and for Wistia also file.

    The names stand for video host and agent, whichever service is that.
    """

    wistia: str
    mavera: str

    @classmethod
    def of(cls, settings: Settings, params: Parameters, stages: tuple[str, ...]) -> "Sources":
        """Which service is live and which is the sandbox.

        Raises
        ------
        ParameterError
            A base URL is set without its key.
        AccessError
            ``source`` is live and a key that the stages need is missing.
        """
        kinds = {}
        for service, name in KEYS.items():
            is_asked = any(stage[:2] in ASKS[service] for stage in stages)
            set_it = f"Set {name} in the environment or .env"
            kinds[service] = "sandbox"
            if service == "wistia" and params.sessions_file:
                kinds[service] = "file"
            elif params.source != "sandbox" and getattr(settings, name.lower()):
                kinds[service] = "live"
            elif params.source != "sandbox" and f"{service}_base_url" in settings.model_fields_set:
                what = f"{service.upper()}_BASE_URL is set but {name} is not."
                raise ParameterError(what, remedy=f"{set_it}, or unset the address.")
            elif params.source == "live" and is_asked:
                what = f"source is live, but {name} is not set."
                raise AccessError(what, remedy=f"{set_it}, or choose source auto or sandbox.")
        return cls(**kinds)

    def describe(self) -> list[str]:
        """A line for each service."""
        words = WORDS["sources"]
        return [f"Source   {words[service][kind]}" for service, kind in asdict(self).items()]

    def account(self, settings: Settings) -> str:
        """The account of a run: the setting, or what stands for Wistia."""
        named = self.wistia == "file" and "account" in settings.model_fields_set
        return settings.account if named or self.wistia == "live" else self.wistia

    def identity(self, service: str, settings: Settings) -> str:
        """The service's address, or ``sandbox``, whose port changes, or ``file``: what a store is
        bound to, and a ledger named after.
        """
        kind = getattr(self, service)
        return getattr(settings, f"{service}_base_url") if kind == "live" else kind
