"""The questions to Mave and to the personas; their words stand in ``texts/``."""

import json
import re
from functools import partial
from typing import Any

from helpers.core.files import open_templates
from helpers.core.privacy import clean_line
from helpers.mavera import payloads
from helpers.mavera.bill import Purchase
from helpers.mavera.results import PersonaRow

ANALYSIS, EDITS, FOLLOW_UP = "Mave's analysis", "Mave's edits", "Follow-up question"
TEXTS = open_templates("mavera/texts")
TEXTS.filters["json"] = partial(json.dumps, ensure_ascii=False)
POINTS = re.findall(r"(?m)^- ([\w ]+):", TEXTS.loader.get_source(TEXTS, "question.md.j2")[0])
"""Headings that Mave may write inside of a cluster's section: the points of the question."""


def write(template: str, **values: Any) -> str:
    """A text of ``texts/``."""
    return TEXTS.get_template(template).render(values)


def ask_mave(numbers: payloads.Numbers) -> Purchase:
    """The question to Mave: what is asked, and the data as one JSON block."""
    message = write("question.md.j2", **dict(numbers), data=numbers.body())
    return Purchase("mave", ANALYSIS, payloads.Chat(message=message))


def ask_edits(drops: payloads.Drops) -> Purchase:
    """The question about edits: where each video loses its viewers."""
    message = write("edits.md.j2", data=drops.body())
    return Purchase("mave", EDITS, payloads.Chat(message=message))


def ask_persona(row: PersonaRow) -> Purchase:
    """The question to one persona, in its own voice."""
    text = write("reply.txt.j2", draft=clean_line(row.draft.description, 1400))
    response = payloads.Response(persona_id=row.persona_id or "", input=text)
    return Purchase("reply", f"Reply of {row.name}", response, row.cluster)
