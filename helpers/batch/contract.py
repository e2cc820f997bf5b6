"""How live answers differ from what the kit relies on: by key and kind, never by value."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import Any

from pydantic import AliasPath, BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from helpers.core.fields import TELL, Shape

PLAIN = re.compile(r"[A-Za-z_]\w{0,39}")


def _told(model: type[BaseModel]) -> type[BaseModel]:
    """The description as a check that also tells of keys which it neither reads nor lists."""
    aliases = [field.validation_alias for field in model.model_fields.values()]
    paths = [path for alias in aliases for path in getattr(alias, "choices", [alias])]
    objects = {path.path[0] for path in paths if isinstance(path, AliasPath)}
    other = dict.fromkeys(objects | set(model.UNREAD.split()))
    names = {"__annotations__": dict.fromkeys(other, Any), "__module__": __name__, **other}
    return type(model.__name__, (model,), names | {"model_config": ConfigDict(extra="forbid")})


def differences(path: str, answer: Any, shape: Shape) -> list[dict[str, Any]]:
    """How an answer differs from the shape relied on; never a value of it.

    Returns
    -------
    list of dict
        path, key, expected, rows (how many), relied_on (False: a key that the kit does not know).
    """
    kind: Any = _told(shape.model)
    if shape.rows:
        kind = list[kind]
    if shape.rows not in ("", "[]"):
        kind = create_model("List", **{shape.rows: (kind, ...)})
    try:
        TypeAdapter(kind).validate_python(answer, context=TELL)
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


def order(path: str, answer: Any, shape: Shape) -> list[dict[str, Any]]:
    """Whether a list comes newest first, which incremental reading relies on."""
    name = shape.newest_first
    rows = [row for row in answer if isinstance(row, dict)] if name else []
    times = [str(row.get(name) or "") for row in rows]
    broken = sum(later > earlier for earlier, later in pairwise(filter(None, times)))
    row = {"path": path, "key": f"[].{name}", "expected": "newest first", "rows": broken}
    return [{**row, "relied_on": True}] if broken else []
