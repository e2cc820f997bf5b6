"""The questions to Mave and to the personas; their words stand in ``texts/``."""

from __future__ import annotations

import jinja2

from helpers.mavera import payloads
from helpers.mavera.ledger import fingerprint
from helpers.mavera.results import PersonaRow

TEXTS = jinja2.Environment(
    loader=jinja2.PackageLoader("helpers.mavera", "texts"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # plain text and Markdown, for services and no browser
)
CLOSING = "Closing advice"
POINTS = {
    "Persona profile": "a name, motive, likely role, and what they look for",
    "Content affinity": "which video types and topics they respond to",
    "Outreach": "the channel and the angle that fit",
    "Conversion probability": "high, medium or low, and why",
    "Content gaps": "what is missing for them",
}


def build_numbers(
    rows: list[PersonaRow], news: list[payloads.News], *, viewers: int | None, days: int
) -> payloads.Numbers:
    """The data block of the question: all clusters, and the personas there are or will be."""
    personas = [
        payloads.PersonaLine(
            cluster=row.cluster, name=row.name, description=row.description or row.draft.description
        )
        for row in rows
        if row.chosen or row.persona_id
    ]
    clusters = [row.numbers for row in rows]
    return payloads.Numbers(
        total_viewers=viewers,
        window_days=days,
        clusters=clusters,
        news=news or None,
        personas=personas,
    )


def write_question(numbers: payloads.Numbers) -> str:
    """The message to Mave: what is asked, and the data as one JSON block."""
    values = {name: getattr(numbers, name) for name in ("clusters", "personas", "news")}
    return TEXTS.get_template("question.md.j2").render(
        **values, points=POINTS, closing=CLOSING, data=payloads.data_block(numbers)
    )


def write_edits(drops: payloads.Drops) -> str:
    """The question about edits: where each video loses its viewers."""
    return TEXTS.get_template("edits.md.j2").render(data=payloads.data_block(drops))


def build_response(row: PersonaRow) -> payloads.Response:
    """The question to one persona."""
    draft = payloads.clean(row.draft.description, 1400)
    text = TEXTS.get_template("reply.txt.j2").render(draft=draft)
    return payloads.Response(persona_id=row.persona_id, input=text)


def signed(message: str, mark: str) -> str:
    """A message with the mark that makes its thread recognisable."""
    return f"{message}\n\nReference of this question, not to be repeated: {mark}\n"


def fingerprint_of(message: str, thread: str | None = None) -> str:
    """The same for the same question about the same numbers, whatever the date."""
    return fingerprint(["follow-up", thread, message] if thread else ["mave", message])


def fingerprint_of_reply(row: PersonaRow) -> str:
    """The same for the same persona and draft."""
    return fingerprint(["reply", build_response(row).body()])
