"""How live answers differ from what the kit relies on: by key and kind, never by value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import AliasChoices, AliasPath, Field, ValidationError

from helpers.wistia import client
from helpers.wistia.rows import Key, Media, Number, Row, Session, Token, Visitor

NEWEST_FIRST = {client.EVENTS_PATH: "received_at", client.VISITORS_PATH: "last_active_at"}
DISPENSABLE = {client.TOKEN_PATH, client.MEDIAS_PATH}
"""The kit goes on where these are refused."""
UNFOLDED = {"visitor_identity", "user_agent_details", "org", "credits", "auto_recharge"}
"""Objects whose keys are looked at; those of others may be anybody's text."""


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


@dataclass(frozen=True)
class Shape:
    """What an answer is: a list of rows (``[]``), rows in an object (``data[]``), or one row."""

    row: type[Row]
    place: str = "[]"

    @property
    def kind(self) -> type:
        return list if self.place == "[]" else dict

    def rows(self, answer: Any) -> list[Any] | None:
        """The rows of an answer; None where it has another shape."""
        if not isinstance(answer, self.kind):
            return None
        rows = answer.get("data") if self.place == "data[]" else answer if self.place else [answer]
        return rows if isinstance(rows, list) else None


WISTIA = {
    client.TOKEN_PATH: Shape(Token, ""),
    client.EVENTS_PATH: Shape(Session),
    client.VISITORS_PATH: Shape(Visitor),
    client.MEDIAS_PATH: Shape(Media),
}
MAVERA = {
    "/usage": Shape(Usage, ""),
    "/personas": Shape(Persona, "data[]"),
    "/mave/threads": Shape(Thread, "data[]"),
}


def differences(path: str, answer: Any, shape: Shape) -> list[dict[str, Any]]:
    """How an answer differs from the shape relied on; never a value of it.

    Returns
    -------
    list of dict
        path, key, expected, rows (how many), relied_on (False: a key that the kit does not know).
    """
    rows = shape.rows(answer)
    found = Counter({("(the answer)", "rows as documented", True): int(rows is None)})
    for row in rows or []:
        told = [(keys, text, True) for keys, text in _broken(row, shape.row).items()]
        unknown = _unknown(row, _known_keys(shape.row))
        told += [(keys, "no such key", False) for keys in unknown]
        found.update((shape.place + _named(keys), *more) for keys, *more in told)
    return [
        {"path": path, "key": key.lstrip("."), "expected": text, "rows": count, "relied_on": relied}
        for (key, text, relied), count in sorted(found.items())
        if count
    ]


def _broken(row: Any, model: type[Row]) -> dict[tuple, str]:
    """What is expected of each key that is not as described, by its place."""
    try:
        model.model_validate(row)
    except ValidationError as error:
        return {p["loc"]: _expected(p) for p in error.errors(include_url=False)}
    return {}


def _expected(problem: dict[str, Any]) -> str:
    if problem["type"] == "missing":
        return "present"
    kind = f", not {type(problem['input']).__name__}" * problem["type"].endswith("_type")
    return problem["msg"].removeprefix("Input should be ") + kind


def _known_keys(model: type[Row]) -> set[str]:
    """Every key that a description names or lists as unread, at any depth."""
    known = set(model.UNREAD.split())
    for name, field in model.model_fields.items():
        alias = field.validation_alias or name
        for choice in alias.choices if isinstance(alias, AliasChoices) else [alias]:
            known.update(choice.path if isinstance(choice, AliasPath) else [choice])
    return known


def _unknown(row: Any, known: set[str], above: tuple = ()) -> Iterator[tuple]:
    for key, value in row.items() if isinstance(row, dict) else ():
        if key not in known:
            yield (*above, key)
        elif isinstance(value, dict) and key in UNFOLDED:
            yield from _unknown(value, known, (*above, key))


def _named(keys: tuple) -> str:
    """Keys as ``.org.name``; one that is no plain word may be somebody's text."""
    words = (key if re.fullmatch(r"[A-Za-z_]\w{0,39}", str(key)) else "(odd name)" for key in keys)
    return "".join(f".{word}" for word in words)


def order(path: str, answer: Any) -> list[dict[str, Any]]:
    """Whether a list comes newest first, which incremental reading relies on."""
    name = NEWEST_FIRST.get(path)
    rows = [row for row in answer if isinstance(row, dict)] if name else []
    times = [str(row.get(name) or "") for row in rows]
    broken = sum(later > earlier for earlier, later in pairwise(filter(None, times)))
    row = {"path": path, "key": f"[].{name}", "expected": "newest first", "rows": broken}
    return [{**row, "relied_on": True}] if broken else []
