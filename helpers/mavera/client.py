"""Mavera's calls: what is asked, what is sent, and what its answers are trusted for.

Quirks of the service: a base persona may have the name of a custom one, a list is paged by cursor
or by offset, and an answer may lack any field that no page promises.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AliasChoices, AliasPath, BaseModel, Field, ValidationError

from helpers.core.errors import ServiceError
from helpers.core.fields import Shape, Unsure
from helpers.core.http import Client
from helpers.mavera import payloads

PAGE = 100  # rows, the most that a list gives at once
NEWEST = 50  # threads that are read in search of a question
NOT_BOUGHT = "Without it nothing is bought. Run again later, or ask Mavera what changed."
CHARGED = AliasChoices(AliasPath("usage", "credits_used"), "credits_charged", "credits_used")
READ_TIMEOUT = 240  # seconds; Mave takes 5 to 90
M = TypeVar("M", bound=BaseModel)


class Usage(BaseModel):
    """Credits of the account; what Mavera does not tell is None."""

    used: int = Field(validation_alias=AliasPath("credits", "used"))
    remaining: int | None = Field(None, validation_alias=AliasPath("credits", "remaining"))
    auto_recharge: bool | None = Field(None, validation_alias=AliasPath("auto_recharge", "enabled"))


class Row(BaseModel, coerce_numbers_to_str=True):
    """A row of a list, such as a thread."""

    id: str
    created_at: Annotated[float | None, Unsure] = None


class Persona(Row):
    """A persona, of a list or as it was made."""

    name: Annotated[str | None, Unsure]
    description: Annotated[str | None, Unsure] = None
    is_custom: Annotated[bool | None, Unsure] = None
    details: Annotated[dict[str, Any] | None, Unsure] = None


class Page(BaseModel, Generic[M]):
    """A page of a list; ``total`` and ``offset`` stand in some, a cursor in others."""

    data: list[M]
    next_cursor: str | None = None
    has_more: bool | None = None
    total: int | None = None


class Answer(Persona):
    """What a charging call answers, with the credits it charged; of a question it may lack all."""

    id: str | None = None
    name: Annotated[str | None, Unsure] = None
    thread_id: str | None = None
    charged: Annotated[int | None, Unsure] = Field(None, validation_alias=CHARGED)


SHAPES = {
    "/usage": Shape(Usage),
    "/personas": Shape(Persona, "data", {"limit": PAGE}),
    "/mave/threads": Shape(Row, "data", {"limit": PAGE}),
}
"""What is relied on, by path."""


class Mavera:
    """The calls of the service. Payloads come from :mod:`.payloads` and nowhere else."""

    def __init__(self, client: Client):
        self.client = client

    def usage(self) -> Usage:
        """Credits used and left."""
        return self._read(Usage, "/usage")

    def custom_personas(self) -> list[Persona]:
        """All personas of the account that are its own, over all pages; base personas are not."""
        return [row for row in self._rows("/personas", Persona) if row.is_custom is not False]

    def persona(self, persona_id: str) -> Persona:
        """One persona with its details."""
        return self._read(Persona, f"/personas/{persona_id}")

    def buy(self, path: str, payload: payloads.Payload, name: str) -> dict[str, Any]:
        """Charge for what a payload asks; ``name`` is for messages."""
        return self.client.post(path, payload.body(), where=name, read_timeout=READ_TIMEOUT)

    def update_persona(self, persona_id: str, payload: payloads.Persona) -> None:
        """Change a custom persona; probably free."""
        self.client.patch(f"/personas/{persona_id}", payload.body(), where=payload.name)

    def answer_to(self, mark: str, thread_id: str | None = None) -> dict[str, Any] | None:
        """What became of a question with this mark.

        Returns
        -------
        dict or None
            The assistant's message; ``{}`` when the question is there and its answer is not yet;
            None when no thread has the question.
        """
        newest = [thread_id]
        if not thread_id:
            rows = sorted(self._rows("/mave/threads", Row), key=lambda row: -(row.created_at or 0))
            newest = [row.id for row in rows[:NEWEST]]
        for key in newest:
            said = self.client.get(f"/mave/threads/{key}", expect=dict).get("messages") or []
            asked = [n for n, message in enumerate(said) if mark in str(message.get("content"))]
            if asked:
                answers = [message for message in said[asked[0] + 1 :] if message.get("content")]
                return {**answers[0], "thread_id": key} if answers else {}
        return None

    def _rows(self, path: str, model: type[M]) -> Iterator[M]:
        """The rows of a list, each once; read by cursor where it gives one, else by offset."""
        query: dict[str, Any] = {"limit": PAGE}
        seen: set[str] = set()
        while True:
            page = self._read(Page[model], path, query)
            new = {row.id: row for row in page.data if row.id not in seen}
            yield from new.values()
            seen |= new.keys()
            at_end = len(page.data) < PAGE if page.total is None else len(seen) >= page.total
            if page.has_more is False or (at_end and not page.next_cursor and not page.has_more):
                return
            if not new:
                raise _refuse(path, f"the list does not go on or end after {len(seen)} rows")
            cursor = page.next_cursor
            query = {"limit": PAGE} | ({"cursor": cursor} if cursor else {"offset": len(seen)})

    def _read(self, model: type[M], path: str, query: dict[str, Any] | None = None) -> M:
        try:
            return model.model_validate(self.client.get(path, query, expect=dict))
        except ValidationError as error:
            raise _refuse(path, payloads.first_of(error)) from None


def _refuse(path: str, why: str) -> ServiceError:
    told = f"The answer is not as documented: {why}."
    return ServiceError(told, where=f"Mavera, GET {path}", remedy=NOT_BOUGHT)
