"""Wistia's rows, for the parser and `doctor --contract`; what is stored: `store/columns.yml` too.

A field is named as its stored column; its alias says where Wistia keeps the value. Types are
strict. All other keys are dropped on intake.

References
----------
Wistia Stats API: List Events, List Visitors, Show Media, Show Media Engagement. Data API: List
Medias.
"""

from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Any

import pyarrow as pa
from pydantic import AliasChoices, AliasPath, BaseModel, Field, ValidationError
from pydantic.functional_validators import AfterValidator, BeforeValidator

from helpers.core import clock
from helpers.core.errors import DataError
from helpers.core.fields import Unsure
from helpers.core.privacy import clean_text, page_of, without_emails
from helpers.store.facts import FORMAT_CHANGED

ROUNDING = 1e-9
"""So near 0 or 1, percent_viewed is 0 or 1: float noise, such as 1.0000000000000002."""


def read_time(value: Any) -> Any:
    """A time in UTC of ISO 8601 text; anything else unchanged, and refused as no time."""
    try:
        return clock.read_time(value)
    except (TypeError, ValueError, OverflowError):
        return value


def _embed(part: str) -> Any:
    """A part of the page's address: host and path (`page`), or one of its utm values."""
    value = _maybe(Annotated[str, AfterValidator(lambda url: page_of(url)[part])])
    return Annotated[value, Field(alias="embed_url")]


def _path(*names: str) -> Any:
    return Field(None, validation_alias=AliasPath(*names))


FOLDER = AliasChoices(AliasPath("folder", "name"), AliasPath("project", "name"))
Key = Annotated[str, Field(pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]  # a number may have lost zeros
Share = Annotated[
    float,
    Field(ge=-ROUNDING, le=1 + ROUNDING, allow_inf_nan=False),
    AfterValidator(lambda x: 0.0 if x <= ROUNDING else 1.0 if x >= 1 - ROUNDING else x),
]
Moment = Annotated[datetime, BeforeValidator(read_time)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Split = BeforeValidator(lambda v: v.replace(",", " ").split() if isinstance(v, str) else v)
Scopes = Annotated[list[str], Split]


def _maybe(kind: Any) -> Any:
    """A value that a row can do without: None where it is missing or wrong."""
    return Annotated[kind | None, Unsure]


def _unless_blank(text: str) -> str | None:
    """Text as it came, without what can't be seen: JSON may carry half a surrogate or a NUL."""
    plain = clean_text(text)
    return plain if plain.strip() else None


@lru_cache(4096)
def _label(text: str) -> str | None:
    """Text that reports show: a title may name the address to write to, and none is kept."""
    return without_emails(_unless_blank(text))


Text = _maybe(Annotated[str, AfterValidator(_unless_blank)])
Label = _maybe(Annotated[str, AfterValidator(_label)])
Address = _maybe(Annotated[str, AfterValidator(lambda text: clean_text(text).strip() or None)])


class Row(BaseModel, strict=True):
    """What all rows share: no type is converted, unknown keys are ignored."""


class Session(Row):
    """An event: one viewing session that played."""

    event_key: Key
    visitor_key: Key
    media_id: Key
    received_at: Moment
    percent_viewed: Share
    media_name: Label = None
    email: Address = None
    country: Label = None
    region: Label = None
    city: Label = None
    org: Label = None
    page: _embed("page") = None
    utm_source: _embed("utm_source") = None
    utm_medium: _embed("utm_medium") = None
    utm_campaign: _embed("utm_campaign") = None
    conversion_type: Label = None
    mobile: _maybe(bool) = _path("user_agent_details", "mobile")


class Visitor(Row):
    """A person, or a cookie of one, who ever played."""

    visitor_key: Key
    last_active_at: _maybe(Moment) = None
    name: Text = _path("visitor_identity", "name")
    email: Address = _path("visitor_identity", "email")
    org_name: Text = _path("visitor_identity", "org", "name")
    org_title: Text = _path("visitor_identity", "org", "title")


class Media(Row):
    """A video, or an image, which has no duration [seconds]."""

    media_id: Key = Field(alias="hashed_id")
    name: Label = None
    duration: _maybe(Number) = None
    folder: Label = Field(None, validation_alias=FOLDER)


class MediaStats(Row):
    """Figures of a video for life."""

    play_count: _maybe(Count) = None
    play_rate: _maybe(Number) = None
    hours_watched: _maybe(Number) = None


class Engagement(Row):
    """How often each cell of a video was played, and played again; at most 1,000 cells."""

    engagement_data: list[Count]
    rewatch_data: _maybe(list[Count]) = None


class Token(Row):
    """What a token may do."""

    scopes: _maybe(Scopes) = Field(None, validation_alias=AliasChoices("scopes", "scope"))


class RowProblem(DataError):
    """A row whose key `name` is needed and is not usable; `day` is None where its time is not."""

    def __init__(self, raw: Any, name: str):
        raw = raw if isinstance(raw, dict) else {}
        event = f" (event {raw['event_key']!r:.80})" if raw.get("event_key") else ""
        what = f"{name} is {raw.get(name)!r:.80}{event}"
        super().__init__(what, where="Wistia", remedy=FORMAT_CHANGED)
        moment = read_time(raw.get("received_at"))
        self.day: date | None = moment.date() if isinstance(moment, datetime) else None
        self.name = name


def parse_row(model: type[Row], raw: Any) -> Row:
    """A row by its description; where the row can do without a value, a wrong one is None.

    Raises
    ------
    RowProblem
        An id, the time or percent_viewed is missing or wrong, or the row is no object.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        place = error.errors(include_url=False)[0]["loc"]
        raise RowProblem(raw, place[0] if place else "the row") from None


def to_table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """The rows as a table with the columns of the schema."""
    # By column: a dictionary for each row would take three times the time and memory.
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
    return pa.table(columns, schema=schema)
