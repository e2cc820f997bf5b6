"""How live answers differ from what the kit relies on: by key and kind, never by value."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import Any, Generic, TypeVar

from pydantic import AliasPath, ConfigDict, Field, TypeAdapter, ValidationError

from helpers.wistia import client
from helpers.wistia.rows import Key, Media, Number, Row, Session, Token, Visitor

NEWEST_FIRST = {client.EVENTS_PATH: "received_at", client.VISITORS_PATH: "last_active_at"}
DISPENSABLE = {client.TOKEN_PATH, client.MEDIAS_PATH}
"""The kit goes on where these are refused."""
PLAIN = re.compile(r"[A-Za-z_]\w{0,39}")


class Usage(Row):
    """Credits at Mavera."""

    UNREAD = "object limits rate_limit threshold credits_to_add included"
    used: Number = Field(validation_alias=AliasPath("credits", "used"))
    remaining: Number | None = Field(None, validation_alias=AliasPath("credits", "remaining"))
    recharges: bool | None = Field(None, validation_alias=AliasPath("auto_recharge", "enabled"))


class Persona(Row):
    """A persona of Mavera's list."""

    UNREAD = (
        "object category description is_custom pipeline_type type created_at details "
        "credits_charged"
    )
    id: Key
    name: Key


class Thread(Row):
    """A thread of Mave's list."""

    UNREAD = "object title created_at updated_at workspace_id credits_used sources usage messages"
    id: Key


def _told(model: type[Row]) -> type[Row]:
    """The description as a check that also tells of keys which it neither reads nor lists."""
    aliases = [field.validation_alias for field in model.model_fields.values()]
    paths = [path for alias in aliases for path in getattr(alias, "choices", [alias])]
    objects = {path.path[0] for path in paths if isinstance(path, AliasPath)}
    other = dict.fromkeys(objects | set(model.UNREAD.split()))
    names = {"__annotations__": dict.fromkeys(other, Any), "__module__": __name__, **other}
    return type(model.__name__, (model,), names | {"model_config": ConfigDict(extra="forbid")})


R = TypeVar("R")


class Data(Row, Generic[R]):
    """A list of Mavera."""

    data: list[R]


WISTIA: dict[str, Any] = {
    client.TOKEN_PATH: _told(Token),
    client.EVENTS_PATH: list[_told(Session)],
    client.VISITORS_PATH: list[_told(Visitor)],
    client.MEDIAS_PATH: list[_told(Media)],
}
MAVERA: dict[str, Any] = {
    "/usage": _told(Usage),
    "/personas": Data[_told(Persona)],
    "/mave/threads": Data[_told(Thread)],
}
"""What an answer is, by path."""


def differences(path: str, answer: Any, shape: Any) -> list[dict[str, Any]]:
    """How an answer differs from the shape relied on; never a value of it.

    Returns
    -------
    list of dict
        path, key, expected, rows (how many), relied_on (False: a key that the kit does not know).
    """
    try:
        TypeAdapter(shape).validate_python(answer)
        return []
    except ValidationError as error:
        problems = error.errors(include_url=False)
    differing = Counter(
        (_named(p["loc"]), _expected(p), p["type"] != "extra_forbidden") for p in problems
    )
    return [
        {"path": path, "key": key, "expected": expected, "rows": count, "relied_on": relied}
        for (key, expected, relied), count in sorted(differing.items())
    ]


def _expected(problem: dict[str, Any]) -> str:
    words = {"missing": "present", "extra_forbidden": "no such key"}
    if problem["type"] in words:
        return words[problem["type"]]
    kind = f", not {type(problem['input']).__name__}" * problem["type"].endswith("_type")
    return problem["msg"].removeprefix("Input should be ") + kind


def _named(place: tuple) -> str:
    """A place as ``[].org.name``; a key that is no plain word may be somebody's text."""
    words = (
        "[]" if isinstance(key, int) else f".{key}" if PLAIN.fullmatch(key) else ".(odd name)"
        for key in place
    )
    return "".join(words).lstrip(".") or "(the answer)"


def order(path: str, answer: Any) -> list[dict[str, Any]]:
    """Whether a list comes newest first, which incremental reading relies on."""
    name = NEWEST_FIRST.get(path)
    rows = [row for row in answer if isinstance(row, dict)] if name else []
    times = [str(row.get(name) or "") for row in rows]
    broken = sum(later > earlier for earlier, later in pairwise(filter(None, times)))
    row = {"path": path, "key": f"[].{name}", "expected": "newest first", "rows": broken}
    return [{**row, "relied_on": True}] if broken else []
