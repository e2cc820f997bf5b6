"""Parameters of a run: kinds, defaults, allowed values (min_cell: 1, or 5 and more), the window."""

import difflib
import json
import re
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from helpers.core import clock, privacy
from helpers.core.errors import ParameterError

WINDOW_DAYS = 730  # Wistia keeps sessions for two years
YEARS = range(1970, 2200)  # for which every library can tell the day before and after
MOST = 2**32 - 1  # the largest seed that scikit-learn takes
LEAST_CELL = 5  # counts are rounded to multiples of five: a smaller group could not be hidden
SECRET_LIKE = re.compile(r"token|secret|passw|api_?key|credential|bearer|(^|_)key$", re.I)
RUN_NAME = re.compile(r"(dev(-[a-z0-9-]{1,40})?|\d{4}-\d{2}-\d{2}(\.([2-9]|10))?)\Z")
MEDIA_ADDRESS = re.compile(r"(?:/medias/|/iframe/|wvideo=|wistia_async_)([A-Za-z0-9]+)")
DOMAIN = re.compile(r"[\w-]+(\.[\w-]+)+")
ZONES = zoneinfo.available_timezones() - {"localtime"}  # which no database knows


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


# ---- values as they are typed: a ValueError is told as the description of its parameter


def such_that(is_right: Callable[[Any], Any]) -> AfterValidator:
    """Values for which this holds; others are a ValueError."""

    def check(value: Any) -> Any:
        if not is_right(value):
            raise ValueError
        return value

    return AfterValidator(check)


def first_problem(error: ValidationError, fields: Mapping[str, FieldInfo]) -> tuple[str, str]:
    """Name of the first value that is wrong, and what was expected of it."""
    first = error.errors()[0]
    name = first["loc"][0]
    return name, fields[name].description or first["msg"].removeprefix("Input should be ")


def _number(value: Any) -> Any:
    """A number as people write it: 1,575."""
    if isinstance(value, bool):
        raise ValueError(f"expected {COUNT}")
    return re.sub(r"(?<=\d)[, _](?=\d{3}(?!\d))", "", value) if isinstance(value, str) else value


def _list(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("["):
        # As text throughout: an id such as 5e12345678 or 0012345678 is no number.
        value = json.loads(value, parse_int=str, parse_float=str, parse_constant=str)
    elif isinstance(value, str):
        value = value.split(",")
    is_list = isinstance(value, list)
    return [item for item in value if item != "" and not str(item).isspace()] if is_list else value


def _id_of(address: str) -> str:
    found = MEDIA_ADDRESS.search(address)
    return found[1] if found else address


Text = Annotated[str, such_that(lambda text: not privacy.EMAIL.search(text))]
Day = Annotated[str, such_that(lambda text: not text or parse_day(text).year in YEARS)]
RunName = Annotated[str, such_that(lambda text: not text or RUN_NAME.match(text))]
Zone = Annotated[str, such_that(ZONES.__contains__)]
Count = Annotated[int, BeforeValidator(_number), Field(ge=0, le=MOST)]
Cell = Annotated[Count, such_that(lambda number: number == 1 or number >= LEAST_CELL)]
MediaId = Annotated[str, AfterValidator(_id_of), such_that(re.compile(r"\w+").fullmatch)]
Domain = Annotated[str, AfterValidator(bare_domain), such_that(DOMAIN.fullmatch)]
List = BeforeValidator(_list)

CHOOSES = ("media_ids", "exclude_domains")
"""Parameters that choose which sessions count: variables of ``store/sql/sessions.sql``."""

DAY = "a day in ISO 8601, such as 2026-06-30, or nothing"
PATH = "a path without an e-mail address, for parameters are written down"
COUNT = "a whole number of 0 or more"
CELL = f"a whole number: 1, which hides nothing, or {LEAST_CELL} or more"
LIST = "a list of text: {}; with papermill -y, or -f, where ids stay text"
MEDIAS = LIST.format("ids of videos, such as a1b2c3d4e5, or their addresses at Wistia")
NAMES = LIST.format("names of clusters, without an e-mail address")
DOMAINS = LIST.format("domains, such as acme.com")
RUN = "a run folder's name, such as 2026-06-30, 2026-06-30.2 or dev, or nothing"


class Parameters(BaseModel):
    """What a run is asked to do; values may come typed or as text.

    Which parameters were given is in ``model_fields_set``; a description is what an error says was
    expected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    run: RunName = Field("", description=RUN)
    run_date: Day = Field("", description=DAY)
    start_date: Day = Field("", description=DAY)
    end_date: Day = Field("", description=DAY)
    source: Literal["auto", "live", "sandbox"] = "auto"
    sessions_file: Text = Field("", description=PATH)
    max_credits: Count = Field(0, description=COUNT)
    persona_clusters: Annotated[list[Text], List] = Field([], description=NAMES)
    clusters_file: Text = Field("", description=PATH)
    media_ids: Annotated[list[MediaId], List] = Field([], description=MEDIAS)
    exclude_domains: Annotated[list[Domain], List] = Field([], description=DOMAINS)
    time_zone: Zone = Field("UTC", description="an IANA name, such as UTC or Europe/Berlin")
    min_cell: Cell = Field(10, description=CELL)
    show_identities: bool = Field(False, description="true or false")
    ask_personas: bool = Field(False, description="true or false")
    retention_videos: Count = Field(10, description=COUNT)
    ask_edits: bool = Field(False, description="true or false")
    seed: Count = Field(0, description=COUNT)
    full_sweep: bool = Field(False, description="true or false")

    @property
    def choice(self) -> dict[str, list[str]]:
        """The parameters that choose which sessions count, by name; lists in order."""
        return {name: sorted(getattr(self, name)) for name in CHOOSES}

    @classmethod
    def check(cls, values: Mapping[str, Any], *, where: str = "The run") -> "Parameters":
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
            name, wanted = first_problem(error, cls.model_fields)
            value = privacy.without_emails(str(values[name]))[:100]
            what = f"Parameter {name} is {value!r}."
            raise ParameterError(what, where=where, expected=wanted) from None


def _refuse_name(name: str, where: str) -> None:
    if SECRET_LIKE.search(name):
        what = f"Parameter {name!r} sounds like a secret, and notebooks show parameters."
        raise ParameterError(what, where=where, remedy="Put it into the environment or .env.")
    names = f"one of {', '.join(DEFAULTS)}"
    what = f"{where} has no parameter {name!r}."
    raise ParameterError(what, expected=names, remedy=suggest(name, DEFAULTS))


DEFAULTS: dict[str, Any] = {name: field.default for name, field in Parameters.model_fields.items()}


_DECIDED = {
    "01_fetch": ("run_date", "start_date", "end_date", "source", "sessions_file"),
    "02_enrich": (*CHOOSES, "time_zone", "min_cell"),
    "03_cluster": ("clusters_file",),
}
INHERITED = {name: stage for stage, names in _DECIDED.items() for name in names}
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


class Window(BaseModel, frozen=True, populate_by_name=True):
    """First and last UTC day that counts, inclusive, and the day the window is counted from.

    In run.json the days have the names of the parameters.
    """

    start: date = Field(alias="start_date")
    end: date = Field(alias="end_date")
    as_of: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1

    @classmethod
    def of(cls, params: Parameters, *, sandbox: bool = False) -> "Window":
        """The window that the parameters name.

        Empty end: the day before run_date, which the sandbox's fixed calendar puts on its last
        day. Empty start: 729 days before the end. Given dates are never clamped.

        Raises
        ------
        ParameterError
            The end comes before the start.
        """
        run_date = parse_day(params.run_date or f"{clock.today()}")
        as_of = clock.SANDBOX_LAST_DAY + timedelta(days=1) if sandbox else run_date
        end = parse_day(params.end_date or f"{as_of - timedelta(days=1)}")
        start = parse_day(params.start_date or f"{end - timedelta(days=WINDOW_DAYS - 1)}")
        if end < start:
            raise ParameterError(f"Window: end_date {end} comes before start_date {start}.")
        return cls(start=start, end=end, as_of=as_of)
