"""How people to call are scored: the part ``scores`` of a clusters file."""

from typing import Annotated

from pydantic import Field, model_validator

from helpers.core.owner import Part

Points = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Days = Annotated[float, Field(gt=0, le=3650)]
Word = Annotated[str, Field(min_length=2, max_length=80, pattern=r"\w")]


class Weights(Part):
    """The most points that each part of a score can give; together 100."""

    recency: Points
    depth: Points
    visits: Points
    clicks: Points
    content: Points

    @model_validator(mode="after")
    def _together_100(self) -> "Weights":
        total = sum(self.model_dump().values())
        if abs(total - 100) > 1e-6:
            raise ValueError(f"the five weights add up to {total:g}, and should to 100")
        return self


class Scores(Part):
    """Weights, the half-life of recency, whom to call, and words of titles."""

    weights: Weights
    half_life_days: Days
    call_score: Points
    call_days: Days
    buying_words: tuple[Word, ...]
    customer_words: tuple[Word, ...]
