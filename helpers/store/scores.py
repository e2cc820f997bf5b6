"""How people to call are scored: the part ``scores`` of a clusters file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml.comments import CommentedMap

Points = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Days = Annotated[float, Field(gt=0, le=3650)]
Word = Annotated[str, Field(min_length=2, max_length=80, pattern=r"\w")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Weights(_Frozen):
    """The most points that each part of a score can give; together 100."""

    recency: Points
    depth: Points
    visits: Points
    clicks: Points
    content: Points

    @model_validator(mode="after")
    def _together_100(self) -> Weights:
        total = sum(self.model_dump().values())
        if abs(total - 100) > 1e-6:
            raise ValueError(f"the five weights add up to {total:g}, and should to 100")
        return self


class Scores(_Frozen):
    """Weights, the half-life of recency, whom to call, and words of titles."""

    weights: Weights
    half_life_days: Days
    call_score: Points
    call_days: Days
    buying_words: tuple[Word, ...]
    customer_words: tuple[Word, ...]


def read_scores(
    given: Any, builtin: Mapping[str, Any], fail: Callable[[int, str], None], line: int
) -> Scores:
    """The scores of a clusters file; what it leaves out is as in the built-in file.

    Parameters
    ----------
    given : CommentedMap
        What the file has under ``scores``, with its lines.
    builtin : mapping
        The same of the built-in file.
    fail : callable
        Raises the error of a line.
    line : int
        Line of ``scores`` itself.
    """
    if not isinstance(given, CommentedMap):
        fail(line, f"scores: expected {', '.join(Scores.model_fields)}")
    try:
        return Scores.model_validate({**builtin, **given})
    except ValidationError as error:
        first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
        names = ", ".join(Weights.model_fields if len(first["loc"]) > 1 else Scores.model_fields)
        problem = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            problem = f"unknown key. It has: {names}"
        where = ".".join(map(str, ("scores", *first["loc"])))
        fail(_line(given, first["loc"], line), f"{where}: {problem}")
        raise


def _line(tree: Any, path: tuple, line: int) -> int:
    """The line of the innermost key or item of a path that the file has."""
    for key in path:
        if isinstance(tree, CommentedMap) and key in tree:
            line, tree = tree.lc.key(key)[0] + 1, tree[key]
        elif isinstance(tree, list) and isinstance(key, int) and key < len(tree):
            line, tree = tree.lc.item(key)[0] + 1, tree[key]
    return line
