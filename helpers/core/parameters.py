"""Parameters of a run: kinds, defaults, allowed values (min_cell: 1, or 5 and more), the window."""

import difflib
import json
import re
import zoneinfo
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Predicate
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from helpers.core import clock, privacy
from helpers.core.errors import ParameterError
from helpers.core.files import read_package_yaml

WORDS = read_package_yaml("core/words.yml")
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


# ---- values as they are typed: what is wrong with one is told by the words of its parameter


def first_problem(error: ValidationError, kind: str) -> tuple[str, str]:
    """Name of the first value that is wrong, of parameters or settings, and what was expected."""
    first = error.errors()[0]
    name, words = first["loc"][0], WORDS[kind]
    return name, words.get(name) or first["msg"].removeprefix("Input should be ")


def _number(value: Any) -> Any:
    """A number as people write it: 1,575."""
    if isinstance(value, bool):
        raise ValueError("true and false are no numbers")
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


Text = Annotated[str, Predicate(lambda text: not privacy.EMAIL.search(text))]
Day = Annotated[str, Predicate(lambda text: not text or parse_day(text).year in YEARS)]
Count = Annotated[int, BeforeValidator(_number), Field(ge=0, le=MOST)]
MediaId = Annotated[str, AfterValidator(_id_of), Predicate(re.compile(r"\w+").fullmatch)]
Domain = Annotated[str, AfterValidator(bare_domain), Predicate(DOMAIN.fullmatch)]
List = BeforeValidator(_list)

CHOOSES = ("media_ids", "exclude_domains")
"""Parameters that choose which sessions count: variables of ``store/sql/sessions.sql``."""


class Parameters(BaseModel, frozen=True, extra="forbid", str_strip_whitespace=True):
    """What a run is asked to do; values may come typed or as text.

    Which parameters were given is in ``model_fields_set``; what an error says was expected stands
    in ``words.yml``.
    """

    run: Annotated[str, Predicate(lambda name: not name or RUN_NAME.match(name))] = ""
    run_date: Day = ""
    start_date: Day = ""
    end_date: Day = ""
    source: Literal["auto", "live", "sandbox"] = "auto"
    sessions_file: Text = ""
    max_credits: Count = 0
    persona_clusters: Annotated[list[Text], List] = []
    clusters_file: Text = ""
    media_ids: Annotated[list[MediaId], List] = []
    exclude_domains: Annotated[list[Domain], List] = []
    time_zone: Annotated[str, Predicate(ZONES.__contains__)] = "UTC"
    min_cell: Annotated[Count, Predicate(lambda least: least == 1 or least >= LEAST_CELL)] = 10
    show_identities: bool = False
    ask_personas: bool = False
    retention_videos: Count = 10
    ask_edits: bool = False
    seed: Count = 0
    full_sweep: bool = False

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
            name, wanted = first_problem(error, "parameters")
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


INHERITED = {
    **dict.fromkeys(("run_date", "start_date", "end_date", "source", "sessions_file"), "01_fetch"),
    **dict.fromkeys((*CHOOSES, "time_zone", "min_cell"), "02_enrich"),
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
