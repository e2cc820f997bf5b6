"""What a clusters file may say of a cluster's persona: the part ``persona`` of a cluster."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from helpers.core.owner import Part
from helpers.core.privacy import clean_line

Short = Annotated[str, AfterValidator(lambda text: clean_line(text, 300))]
Phrases = Annotated[list[Short], Field(max_length=20)] | None
Criterion = Literal["price", "timeToValue", "risk", "proof", "support"]
Weight = Annotated[int, Field(ge=1, le=5, strict=True)]


class PersonaFields(Part):
    """Fields of Mavera's own; all but the first two are sent with another pipeline than the first.

    References
    ----------
    Mavera API, Create Persona.
    """

    pipeline_type: Literal["north_star", "intermediate", "advanced"] = "north_star"
    type: Literal["B2B", "B2C"] = "B2B"
    role_segment: Phrases = None
    buying_stage: Short | None = None
    decision_role: Short | None = None
    primary_objectives: Phrases = None
    mcda_weights: dict[Criterion, Weight] | None = None
    goals: Phrases = None
    pains: Phrases = None
    triggers: Phrases = None
    channels: Phrases = None
    proof_types: Phrases = None
    alternatives: Phrases = None
    win_factors: Phrases = None
    objections: Phrases = None
