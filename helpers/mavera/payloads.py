"""The one gateway to Mavera: every payload is built here, from an allow-list of fields.

Aggregates leave, people do not. A field that no model below names cannot be sent. Texts come from
the clusters file, from the owner's video titles, from two-letter countries and from Mavera itself;
nothing that a viewer can type is among them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from helpers.core.errors import DataError, ParameterError
from helpers.core.privacy import EMAIL

NAME_LENGTH = 100  # characters of a persona's name, at least 2
MODEL = "mavera-1"
REPLY_SCHEMA = {
    "type": "object",
    "properties": {"watch_on": {"type": "string"}, "talk_to_sales": {"type": "string"}},
    "required": ["watch_on", "talk_to_sales"],
    "additionalProperties": False,
}

REPLY_FORMAT = {
    "type": "json_schema", "name": "viewer_reply", "strict": True, "schema": REPLY_SCHEMA,
}  # fmt: skip


def clean(text: str, length: int) -> str:
    """One line of plain text: no control or invisible characters, no e-mail, ``length`` at most."""
    plain = "".join(sign if sign.isprintable() else " " for sign in str(text))
    plain = " ".join(EMAIL.sub("(e-mail)", plain).split())
    return plain if len(plain) <= length else plain[: length - 1].rstrip() + "…"


def _text(length: int) -> Any:
    return Annotated[str, AfterValidator(lambda value: clean(value, length))]


Title, Short, Long = _text(120), _text(300), _text(2000)
Phrases = Annotated[list[Short], Field(max_length=20)]
Criterion = Literal["price", "timeToValue", "risk", "proof", "support"]
Weight = Annotated[int, Field(ge=1, le=5, strict=True)]
Share = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]


class Payload(BaseModel):
    """Base of all that is sent: frozen, and closed to fields it does not name."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def body(self) -> dict[str, Any]:
        """JSON content, without what is not known."""
        return self.model_dump(exclude_none=True)


class PersonaFields(Payload):
    """What a cluster of the clusters file may say under ``persona:``."""

    pipeline_type: Literal["north_star", "intermediate", "advanced"] = "north_star"
    type: Literal["B2B", "B2C"] = "B2B"
    role_segment: Phrases | None = None
    buying_stage: Short | None = None
    decision_role: Short | None = None
    primary_objectives: Phrases | None = None
    mcda_weights: dict[Criterion, Weight] | None = None
    goals: Phrases | None = None
    pains: Phrases | None = None
    triggers: Phrases | None = None
    channels: Phrases | None = None
    proof_types: Phrases | None = None
    alternatives: Phrases | None = None
    win_factors: Phrases | None = None
    objections: Phrases | None = None


class Persona(PersonaFields):
    """Body of POST /personas, and of PATCH /personas/{id}."""

    name: Annotated[str, Field(min_length=2, max_length=NAME_LENGTH)]
    description: Long


class Spread(Payload):
    """A measure at three points of the cluster's viewers."""

    p10: Amount
    p50: Amount
    p90: Amount


class TopVideo(Payload):
    title: Title
    viewers: Count
    avg_percent_watched: Percent | None = None


class Part(Payload):
    """A group of the cluster's viewers, such as a country, with at least min_cell of them."""

    name: Annotated[str, Field(pattern=r"^([A-Z]{2}|mobile|week(days|ends) [0-9: to]{9,18})$")]
    viewers: Count
    share: Share


class ClusterNumbers(Payload):
    """One cluster; a small one has its title, rule and description and no measurements."""

    cluster: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: Title
    rule: Short | None = None
    description: Long
    viewers: Count | None = None
    share: Share | None = None
    avg_videos: Amount | None = None
    avg_percent_watched: Percent | None = None
    avg_visits: Amount | None = None
    identified_viewers: Count | None = None
    identified_share: Share | None = None
    videos_per_viewer: Spread | None = None
    percent_watched: Spread | None = None
    visits_per_viewer: Spread | None = None
    most_active: Part | None = None
    mobile: Part | None = None
    countries: Annotated[list[Part], Field(max_length=3)] | None = None
    top_videos: Annotated[list[TopVideo], Field(max_length=5)] | None = None


class PersonaLine(Payload):
    cluster: str
    name: Title
    description: _text(600)


class Numbers(Payload):
    """The data block of the question to Mave."""

    total_viewers: Count | None = None
    window_days: Count
    clusters: list[ClusterNumbers]
    personas: list[PersonaLine]


class Chat(Payload):
    """Body of POST /mave/chat."""

    message: Annotated[str, Field(min_length=1, max_length=60_000)]
    thread_id: str | None = None


class Response(Payload):
    """Body of POST /responses: one question to one persona."""

    model: Literal["mavera-1"] = MODEL
    input: Long
    persona_id: str
    text: dict[str, Any] = Field({"format": REPLY_FORMAT})


def persona_fields(cluster: Any) -> PersonaFields:
    """What the clusters file says of a cluster's persona, checked.

    Raises
    ------
    ParameterError
        A field is unknown or has the wrong form; the message names cluster, line and field.
    """
    try:
        return PersonaFields(**cluster.persona)
    except (ValidationError, TypeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {}
        where = ".".join(str(part) for part in first.get("loc", ()) if part != "[key]")
        raise ParameterError(
            f"Clusters file, cluster {cluster.name} (line {cluster.line}): persona: field "
            f"{clean(where, 60)!r}: {first.get('msg', 'expected names with values')}. "
            f"It may have: {', '.join(PersonaFields.model_fields)}."
        ) from None


def persona(cluster: Any, *, name: str, description: str) -> Persona:
    """The payload that makes a cluster's persona; fields of the file and the measured text."""
    fields = persona_fields(cluster)
    if fields.pipeline_type == "north_star":  # Mavera generates the rest there
        fields = PersonaFields(pipeline_type=fields.pipeline_type, type=fields.type)
    return Persona(**fields.body(), name=name, description=description)


def _checked(build: Callable[[], Any]) -> Any:
    try:
        return build()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"Gateway to Mavera: {where}: {first['msg']}. Only aggregates within their range "
            "may be sent; run 03_cluster again."
        ) from None


def clusters(rows: list[dict[str, Any]]) -> list[ClusterNumbers]:
    """Numbers of clusters, checked; DataError says which has no place in them."""
    return _checked(lambda: [ClusterNumbers(**row) for row in rows])


def numbers(**content: Any) -> Numbers:
    """The data block of the question, checked in the same way."""
    return _checked(lambda: Numbers(**content))


def rule_text(when: str | None) -> str | None:
    """A rule as it may be sent: one that names a person's key, name or e-mail may not."""
    if when is None:
        return "every viewer that no rule above names"
    return None if re.search(r"\b(visitor_key|name|email)\b", when) else when


def data_block(content: Numbers) -> str:
    """The numbers as the fenced JSON block of the message, a line for each cluster and persona."""
    body = content.body()
    lines = {key: json.dumps(value, ensure_ascii=False) for key, value in body.items()}
    for key in ("clusters", "personas"):
        rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in body[key])
        lines[key] = f"[\n  {rows}\n ]"
    return "```json\n{\n " + ",\n ".join(f'"{k}": {v}' for k, v in lines.items()) + "\n}\n```"


def question_of_analyst(text: str) -> str:
    """A follow-up question as typed by the analyst, refused when it names a person.

    Raises
    ------
    ParameterError
        It is empty, over 2,000 characters, or holds an e-mail address.
    """
    if not 1 <= len(text.strip()) <= 2000:
        raise ParameterError("Follow-up question: expected 1 to 2,000 characters. Shorten it.")
    if re.search(r"\S@\S", text):
        raise ParameterError(
            "Follow-up question: it holds an e-mail address, and nothing about one person may be "
            "sent to Mavera. Ask about clusters instead."
        )
    return "\n".join(clean(line, 2000) for line in text.strip().split("\n"))
