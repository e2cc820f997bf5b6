"""What stages 04 and 05 write down: the rows of personas.json and analysis.json."""

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, Field

from helpers.core.fields import Unsure
from helpers.mavera.answers import Source
from helpers.mavera.bill import Bill
from helpers.mavera.claims import Claim
from helpers.mavera.payloads import ClusterNumbers, Persona, Short

SCHEMA_VERSION = 2
STATUSES = ("draft", "bought", "reused", "updated")


class Statement(BaseModel):
    """A sentence of a draft, and the file and columns that it comes from."""

    text: str
    source: str


class PersonaRow(BaseModel):
    """A cluster with viewers, and its persona.

    Attributes
    ----------
    chosen : bool
        Whether a persona may be bought for it.
    plan : str
        buy, update, reuse, not chosen or too few viewers, as the bill says.
    status : str
        draft (not bought), bought, reused or updated.
    credits : int
        Charged in this run.
    description, traits
        What Mavera made of the draft.
    """

    cluster: str
    title: str
    name: str
    draft: Persona
    facts: list[Statement]
    numbers: ClusterNumbers
    chosen: bool = True
    plan: str = ""
    status: Literal[STATUSES] = "draft"
    persona_id: str | None = None
    credits: int = 0
    description: str | None = None
    traits: dict[str, str] = {}

    @property
    def says(self) -> str:
        """What Mavera made of the draft, else the draft."""
        return self.description or self.draft.description


class PersonasFile(BaseModel):
    """personas.json."""

    schema_version: int = SCHEMA_VERSION
    min_cell: int
    total_viewers: int
    personas: list[PersonaRow]
    bill: Bill | None = None


def _either(*names: str) -> Any:
    return Field(None, validation_alias=AliasChoices(*names))


class Confidence(BaseModel):
    """What Mavera says of its own answer; guides promise it, the reference does not."""

    score: Annotated[float | None, Unsure] = _either("score", "confidence_score")
    risk: Annotated[Short | None, Unsure] = _either("risk", "hallucination_risk")
    unsupported_claims: Annotated[list[Short] | None, Unsure] = None


class Reply(BaseModel):
    """A persona's own words; ``text`` where it did not keep to the two questions."""

    cluster: str
    name: str
    watch_on: str = ""
    talk_to_sales: str = ""
    text: str = ""


class Analysis(BaseModel, validate_assignment=True):
    """An answer of Mave, checked; of all clusters it is analysis.json, with what was asked besides.

    Attributes
    ----------
    status : str
        answered, clarifying (Mave asks back) or not_asked, for a ``reason``.
    reused : bool
        Whether an earlier run bought it.
    answer, by_cluster, closing : str
        Markdown: the whole, the section of each cluster, and what stands under the last heading.
    figures : list of Claim
        Every figure of it, with its verdict.
    unsupported_figures : list of str
        Those that are not in the data, as written, each once.
    """

    schema_version: int = SCHEMA_VERSION
    status: Literal["answered", "clarifying", "not_asked"] = "not_asked"
    reason: str | None = None
    asked_on: str | None = None
    reused: bool = False
    question: str | None = None
    answer: str = ""
    by_cluster: dict[str, str] = {}
    closing: str | None = None
    sources: list[Source] = []
    credits: int = 0
    thread_id: str | None = None
    figures: list[Claim] = []
    unsupported_figures: list[str] = []
    confidence: Annotated[Confidence | None, Unsure] = None
    replies: list[Reply] = []
    follow_ups: list["Analysis"] = []
    edits: "Analysis | None" = None
