"""What is sent to Mavera: every payload is built here, from an allow-list of fields.

Aggregates leave, people do not. A field that neither a model below names nor PersonaFields of the
clusters file cannot be sent. Texts come from the clusters file, from the owner's video titles, from
two-letter countries and from Mavera itself; nothing that a viewer can type is among them.
"""

import re
from typing import Annotated, Any, Literal, TypeVar

import pandas as pd
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from helpers.core.errors import DataError, ParameterError
from helpers.core.privacy import clean_line
from helpers.core.tables import clock
from helpers.store.rules import Cluster, ClusterRules, PersonaFields, Short

NAME_LENGTH = 100  # characters of a persona's name, at least 2


def _text(length: int) -> Any:
    return Annotated[str, AfterValidator(lambda value: clean_line(value, length))]


Title, Long = _text(120), _text(2000)
Share = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]
Quartiles = dict[Literal["25th_percentile", "50th_percentile", "75th_percentile"], Count]
ClusterName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Payload(BaseModel, extra="forbid", frozen=True, hide_input_in_errors=True):
    """Base of all that is sent: frozen, and closed to fields it does not name."""

    def body(self) -> dict[str, Any]:
        """JSON content, without what is missing."""
        return self.model_dump(exclude_none=True)

    def signed(self, mark: str) -> "Payload":
        """With a mark that makes it recognisable, where there is a place for one."""
        return self


FORMAT = {"type": "json_schema", "name": "viewer_reply", "strict": True}
P = TypeVar("P", bound=Payload)


class Persona(PersonaFields, Payload):
    """Body of POST /personas, and of PATCH /personas/{id}."""

    name: Annotated[str, Field(min_length=2, max_length=NAME_LENGTH)]
    description: Long


class Part(Payload):
    """A group of a cluster's viewers, such as a country: published counts."""

    name: Annotated[str, Field(pattern=r"^([A-Z]{2}|mobile)$")]
    viewers: Count
    share: Share


class TopVideo(Payload):
    """A video that many of a cluster watched: published counts, whole percents."""

    title: Title
    viewers: Count
    avg_percent_watched: Percent | None = None


class ClusterNumbers(Payload):
    """One cluster; a small one has its title, rule and description and no measurements."""

    cluster: ClusterName
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
    avg_minutes_watched: Amount | None = None
    hours_watched: Count | None = None
    videos_per_viewer: Quartiles | None = None
    percent_watched: Quartiles | None = None
    visits_per_viewer: Quartiles | None = None
    mobile: Part | None = None
    countries: Annotated[list[Part], Field(max_length=3)] | None = None
    top_videos: Annotated[list[TopVideo], Field(max_length=5)] | None = None


class News(Payload):
    """Who is new in a cluster since the last run: published counts."""

    cluster: ClusterName
    new_viewers: Count | None = None
    new_people: Count | None = None


class PersonaLine(Payload):
    """A persona that the question names."""

    cluster: ClusterName
    name: Title
    description: _text(600)


class Numbers(Payload):
    """The data block of the question to Mave."""

    total_viewers: Count | None = None
    window_days: Count
    clusters: list[ClusterNumbers]
    news: list[News] | None = None
    personas: list[PersonaLine]


class Drop(Payload):
    """Where a video loses its viewers; shares of those who were there at its start."""

    at: Annotated[str, Field(pattern=r"^\d+:\d\d(:\d\d)?$")]
    lost_share: Share
    left_share: Share


class VideoDrops(Payload):
    """The drops of one video."""

    title: Title
    minutes: Amount
    drops: Annotated[list[Drop], Field(max_length=20)]


class Drops(Payload):
    """The data block of the question about edits."""

    videos: list[VideoDrops]


class Chat(Payload):
    """Body of POST /mave/chat."""

    message: Annotated[str, Field(min_length=1, max_length=60_000)]
    thread_id: str | None = None

    def signed(self, mark: str) -> "Chat":
        """With the mark that its thread is found by."""
        told = f"{self.message}\n\nReference of this question, not to be repeated: {mark}\n"
        return self.model_copy(update={"message": told})


class Reply(Payload):
    """What a persona is asked to answer."""

    watch_on: _text(1500)
    talk_to_sales: _text(1500)


class Response(Payload):
    """Body of POST /responses: one question to one persona."""

    model: Literal["mavera-1"] = "mavera-1"
    input: Long
    persona_id: str
    text: dict[str, Any] = {"format": FORMAT | {"schema": Reply.model_json_schema()}}


def first_of(error: ValidationError) -> str:
    """The first field that is wrong, and how."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "[key]")
    return f"{clean_line(place, 60)!r}: {first['msg']}"


def build_persona(cluster: Cluster, *, name: str, description: str) -> Persona:
    """The payload that makes a cluster's persona; fields of the file and the measured text."""
    is_generated = cluster.persona.pipeline_type == "north_star"  # there Mavera writes the rest
    sent = {"pipeline_type", "type"} if is_generated else None
    fields = cluster.persona.model_dump(include=sent, exclude_none=True)
    return Persona(**fields, name=name, description=description)


def build_clusters(
    rules: ClusterRules, clusters: pd.DataFrame, parts: pd.DataFrame, videos: pd.DataFrame
) -> list[ClusterNumbers]:
    """The numbers of each cluster that has viewers, in the order of the rules.

    Parameters
    ----------
    clusters, parts, videos : DataFrame
        See :class:`helpers.findings.profiles.Profiles`.

    Raises
    ------
    DataError
        A number is out of its range, or a text has no place among what may be sent.
    """
    kinds = {kind: group.drop(columns="kind") for kind, group in parts.groupby("kind")}
    kinds["video"], found = videos, []
    for rule in rules.clusters:
        if rule.name not in clusters.index:
            continue
        numbers = clusters.loc[rule.name].dropna().to_dict()
        of = {kind: group[group["cluster"] == rule.name] for kind, group in kinds.items()}
        of = {kind: rows.drop(columns="cluster").to_dict("records") for kind, rows in of.items()}
        numbers |= {"countries": of.get("country") or None, "top_videos": of["video"] or None}
        numbers["mobile"] = of["mobile"][0] if of.get("mobile") else None
        about = {"cluster": rule.name, "title": rule.title, "description": rule.description}
        found.append(checked(ClusterNumbers, rule=rule_text(rule.when), **about, **numbers))
    return found


def build_news(news: pd.DataFrame) -> list[News]:
    """Who is new by cluster: cluster, viewers and people, published counts or missing."""
    named = news.rename(columns={"viewers": "new_viewers", "people": "new_people"})
    named = named.reindex(columns=list(News.model_fields)).astype(object)
    return [checked(News, **row) for row in named.where(named.notna(), None).to_dict("records")]


def build_drops(drops: pd.DataFrame) -> Drops:
    """Drops by video: title, minutes, second, lost and left [shares]; see analysis.ask_edits."""
    names = {"lost": "lost_share", "left": "left_share"}
    drops = drops.round(dict.fromkeys(names, 2)).rename(columns=names)
    drops["at"] = drops["second"].map(clock)
    videos = []
    for (_, title, minutes), rows in drops.groupby(["media_id", "title", "minutes"], sort=False):
        places = rows[list(Drop.model_fields)].to_dict("records")
        videos.append({"title": title, "minutes": round(minutes, 1), "drops": places})
    return checked(Drops, videos=videos)


def checked(model: type[P], **content: Any) -> P:
    """A payload; a number out of its range, or a text that has no place in it, is a DataError."""
    try:
        return model(**content)
    except ValidationError as error:
        where, remedy = "What would be sent to Mavera", "Run 03_cluster again."
        raise DataError(f"{first_of(error)}.", where=where, remedy=remedy) from None


def rule_text(when: str | None) -> str | None:
    """A rule as it may be sent: one that names a person's key, name or e-mail may not."""
    if when is None:
        return "every viewer that no rule above names"
    return None if re.search(r"\b(visitor_key|name|email)\b", when) else when


def check_question(text: str) -> str:
    """A follow-up question as typed by the analyst, refused when it names a person.

    Raises
    ------
    ParameterError
        It is empty, over 2,000 characters, or holds an e-mail address.
    """
    if not 1 <= len(text.strip()) <= 2000 or re.search(r"\S@\S", text):
        told = "The follow-up question is empty or too long, or it names a person by e-mail."
        raise ParameterError(told, expected="1 to 2,000 characters, about clusters")
    return "\n".join(clean_line(line, 2000) for line in text.strip().split("\n"))
