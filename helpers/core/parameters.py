"""Parameters of a run: their kinds, their checks, and the window they name."""

from __future__ import annotations

import contextlib
import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from helpers.core import clock, privacy
from helpers.core.errors import ParameterError

WINDOW_DAYS = 730  # Wistia keeps sessions for two years
LEAST_CELL = 5  # counts are rounded to multiples of five: a smaller group could not be hidden
SECRET_LIKE = re.compile(r"token|secret|passw|api_?key|credential|bearer|(^|_)key$", re.I)
RUN_NAME = re.compile(r"(dev(-[a-z0-9-]{1,40})?|\d{4}-\d{2}-\d{2}(\.([2-9]|10))?)\Z")
MEDIA_ADDRESS = re.compile(r"(?:/medias/|/iframe/|wvideo=|wistia_async_)([A-Za-z0-9]+)")
DOMAIN = re.compile(r"[\w-]+(\.[\w-]+)+")
YES_NO = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def parse_day(text: str) -> date:
    """A UTC day from ISO 8601 text; ValueError where it is none."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise ValueError
    return date.fromisoformat(text)


def bare_domain(text: str) -> str:
    """A domain as it is compared: lower case, without the @ that may stand before it."""
    return text.strip().lstrip("@").lower()


def suggest(name: str, names: Iterable[str]) -> str:
    """``Did you mean 'x'?``, or nothing when no name is near."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else ""


# ---- values as they are typed: each gives the value, or a ValueError that says what was expected


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    if privacy.EMAIL.search(value):
        raise ValueError("text without an e-mail address, for parameters are written down")
    return value.strip()


def _day(value: Any) -> str:
    text = _text(value)
    try:
        return text and parse_day(text).isoformat()
    except ValueError:
        raise ValueError("a day in ISO 8601, such as 2026-06-30, or nothing") from None


def _run_name(value: Any) -> str:
    text = _text(value)
    if text and not RUN_NAME.match(text):
        raise ValueError("a run folder's name, such as 2026-06-30, 2026-06-30.2 or dev, or nothing")
    return text


def _zone(value: Any) -> str:
    try:
        return ZoneInfo(_text(value)).key
    except (KeyError, ValueError, OSError):  # the key may be unknown, malformed or a folder
        raise ValueError("an IANA name, such as UTC or Europe/Berlin") from None


def _flag(value: Any) -> bool:
    flag = YES_NO.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(flag, bool):
        raise ValueError("true or false")
    return flag


def _number(least: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(
            r"\s*\d{1,3}([, _]?\d{3})*\s*|\s*\d{1,15}\s*", value
        ):
            value = int(re.sub(r"\D", "", value))
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"a whole number of {least} or more")
        return value

    return check


def _cell(value: Any) -> int:
    number = _number(1)(value)
    if 1 < number < LEAST_CELL:
        raise ValueError(f"1, which hides nothing, or {LEAST_CELL} or more")
    return number


def _texts(value: Any) -> list[str]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        # As text throughout: an id such as 5e12345678 or 0012345678 is no number.
        with contextlib.suppress(ValueError):
            value = json.loads(value, parse_int=str, parse_float=str, parse_constant=str)
    elif isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(
            "a list of text; in a file use -f, and with papermill -y, where ids stay text"
        )
    return [item.strip() for item in value if item.strip()]


def _media_ids(value: Any) -> list[str]:
    texts = _texts(value)
    found = [(MEDIA_ADDRESS.search(text) or re.match(r"(\w+)\Z", text)) for text in texts]
    if not all(found):
        raise ValueError("ids of videos, such as a1b2c3d4e5, or their addresses at Wistia")
    return [match[1] for match in found]


def _domains(value: Any) -> list[str]:
    domains = [bare_domain(text) for text in _texts(value)]
    if not all(DOMAIN.fullmatch(domain) for domain in domains):
        raise ValueError("domains, such as acme.com")
    return domains


def _cluster_names(value: Any) -> list[str]:
    return [_text(text) for text in _texts(value)]


Text = Annotated[str, BeforeValidator(_text)]
Day = Annotated[str, BeforeValidator(_day)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Count = Annotated[int, BeforeValidator(_number(0))]


class Parameters(BaseModel):
    """What a run is asked to do; values may come typed or as text.

    Which parameters were given is in ``model_fields_set``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: Annotated[str, BeforeValidator(_run_name)] = ""
    run_date: Day = ""
    start_date: Day = ""
    end_date: Day = ""
    source: Literal["auto", "live", "sandbox"] = "auto"
    sessions_file: Text = ""
    max_credits: Count = 0
    persona_clusters: Annotated[list[str], BeforeValidator(_cluster_names)] = []
    clusters_file: Text = ""
    media_ids: Annotated[list[str], BeforeValidator(_media_ids)] = []
    exclude_domains: Annotated[list[str], BeforeValidator(_domains)] = []
    time_zone: Annotated[str, BeforeValidator(_zone)] = "UTC"
    min_cell: Annotated[int, BeforeValidator(_cell)] = 10
    show_identities: Flag = False
    ask_personas: Flag = False
    retention_videos: Count = 10
    ask_edits: Flag = False
    seed: Count = 0
    full_sweep: Flag = False

    @classmethod
    def check(cls, values: Mapping[str, Any], *, where: str = "The run") -> Parameters:
        """Check names, kinds and forms.

        Parameters
        ----------
        values : mapping
            Name to value.
        where : str
            What is being given the parameters, for the message.

        Raises
        ------
        ParameterError
            Unknown name, a name that sounds like a secret, wrong kind or malformed value.
        """
        for name in values:
            if name not in cls.model_fields:
                _refuse_name(name, where)
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            name = first["loc"][0]
            value = privacy.without_emails(str(values[name]))[:100]
            expected = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            raise ParameterError(
                f"Parameter {name} is {value!r}.",
                where=where,
                expected=expected,
                remedy="Correct it and run again.",
            ) from None


def _refuse_name(name: str, where: str) -> None:
    if SECRET_LIKE.search(name):
        raise ParameterError(
            f"A parameter named {name!r} sounds like a secret, and parameters are written into the "
            "notebooks.",
            where=where,
            remedy="Put secrets into the environment or .env.",
        )
    raise ParameterError(
        f"{where} has no parameter {name!r}.",
        expected=f"one of {', '.join(DEFAULTS)}",
        remedy=suggest(name, DEFAULTS),
    )


DEFAULTS: dict[str, Any] = {name: field.default for name, field in Parameters.model_fields.items()}


INHERITED = {
    "run_date": "01_fetch",
    "start_date": "01_fetch",
    "end_date": "01_fetch",
    "source": "01_fetch",
    "sessions_file": "01_fetch",
    "media_ids": "02_enrich",
    "exclude_domains": "02_enrich",
    "time_zone": "02_enrich",
    "min_cell": "02_enrich",
    "clusters_file": "03_cluster",
}
"""Parameters that decide what a file holds, and the stage that sets them: a later stage to which
they were not given takes what is recorded."""


def recordable(params: Parameters) -> dict[str, Any]:
    """Parameters as they are written down: of a path, the name alone."""
    values = params.model_dump()
    paths = ("clusters_file", "sessions_file")
    return values | {name: Path(values[name]).name for name in paths if values[name]}


def inherit(asked: Parameters, recorded: dict[str, Any], stage: str) -> Parameters:
    """Parameters as asked; what was not, and decides what files hold, as it is recorded."""
    values = {name: value for name, value in recorded.items() if name in DEFAULTS}
    for name in asked.model_fields_set:
        value = getattr(asked, name)
        if value != DEFAULTS[name] or INHERITED.get(name, stage) == stage:
            values[name] = value
    return Parameters.check({**values, "run": asked.run}, where=stage)


@dataclass(frozen=True)
class Window:
    """First and last UTC day that counts, inclusive, and the day the window is counted from."""

    start: date
    end: date
    as_of: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1

    def as_dict(self) -> dict[str, str]:
        return {
            "start_date": self.start.isoformat(),
            "end_date": self.end.isoformat(),
            "as_of": self.as_of.isoformat(),
        }

    @classmethod
    def from_dict(cls, dates: Mapping[str, str]) -> Window:
        return cls(*(date.fromisoformat(dates[k]) for k in ("start_date", "end_date", "as_of")))

    @classmethod
    def of(cls, params: Parameters, *, sandbox: bool = False) -> Window:
        """The window that the parameters name.

        Empty end: the day before run_date, which the sandbox's fixed calendar puts on its last
        day. Empty start: 729 days before the end. Given dates are never clamped.

        Raises
        ------
        ParameterError
            The end comes before the start.
        """
        run_date = parse_day(params.run_date) if params.run_date else clock.today()
        as_of = clock.SANDBOX_LAST_DAY + timedelta(days=1) if sandbox else run_date
        end = parse_day(params.end_date) if params.end_date else as_of - timedelta(days=1)
        start = (
            parse_day(params.start_date)
            if params.start_date
            else end - timedelta(days=WINDOW_DAYS - 1)
        )
        if end < start:
            raise ParameterError(
                f"Window: end_date {end} comes before start_date {start}.",
                expected="an end_date on or after the start_date",
            )
        return cls(start, end, as_of)
