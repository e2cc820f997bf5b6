"""Mavera's calls: what is asked, what is sent, and what its answers are trusted for.

Quirks of the service: a base persona may have the name of a custom one, a list is paged by cursor
or by offset, and an answer may lack any field that no page promises.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from helpers.core.errors import ServiceError
from helpers.core.http import Client
from helpers.mavera import payloads

PAGE = 100  # rows, the most that a list gives at once
NEWEST = 50  # threads that are read in search of a question
NOT_BOUGHT = "Without it nothing is bought. Run again later, or ask Mavera what changed."


@dataclass(frozen=True)
class Usage:
    """Credits of the account; what Mavera does not tell is None."""

    used: int
    included: int | None = None
    remaining: int | None = None
    auto_recharge: bool = False


class Mavera:
    """The calls of the service. Payloads come from :mod:`.payloads` and nowhere else."""

    def __init__(self, client: Client):
        self.client = client

    def usage(self) -> Usage:
        """Credits used and left."""
        answer = self.client.get("/usage", expect=dict)
        credits = answer.get("credits") or {}
        used = number(credits.get("used"))
        if used is None:
            raise ServiceError(
                "The answer has no credits.used.",
                where="Mavera, GET /usage",
                expected="a number, to check purchases by",
                remedy=NOT_BOUGHT,
            )
        auto = bool((answer.get("auto_recharge") or {}).get("enabled"))
        return Usage(used, number(credits.get("included")), number(credits.get("remaining")), auto)

    def custom_personas(self) -> list[dict[str, Any]]:
        """All personas of the account that are its own, over all pages; base personas are not."""
        return [
            {**row, "id": str(row["id"])}
            for row in self._pages("/personas")
            if row.get("is_custom") is not False
        ]

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The rows of a list, each once; read by cursor where it gives one, else by offset."""
        query: dict[str, Any] = {"limit": PAGE}
        seen: set[str] = set()
        while True:
            answer = self.client.get(path, query, where=f"after {len(seen)} rows", expect=dict)
            is_list = isinstance(answer.get("data"), list)
            rows = answer["data"] if is_list else []
            new = {str(row.get("id") or ""): row for row in rows if isinstance(row, dict)}
            new = {key: row for key, row in new.items() if key and key not in seen}
            yield from new.values()
            seen |= new.keys()
            cursor, more = answer.get("next_cursor"), answer.get("has_more")
            total = number(answer.get("total"))
            at_end = len(rows) < PAGE if total is None else len(seen) >= total
            if is_list and (more is False or (at_end and not cursor and not more)):
                return
            if not new:
                raise ServiceError(
                    f"The list does not go on or does not end after {len(seen)} rows.",
                    where=f"Mavera, GET {path}",
                    expected="a list under data, with next_cursor, or with offset and total",
                    remedy=NOT_BOUGHT,
                )
            query = {"limit": PAGE} | ({"cursor": cursor} if cursor else {"offset": len(seen)})

    def persona(self, persona_id: str) -> dict[str, Any]:
        """One persona with its details."""
        return self.client.get(f"/personas/{persona_id}", expect=dict)

    def create_persona(self, payload: payloads.Persona) -> dict[str, Any]:
        """Charges 300 credits."""
        return self.client.post("/personas", payload.body(), where=payload.name)

    def update_persona(self, persona_id: str, payload: payloads.Persona) -> dict[str, Any]:
        """Changes a custom persona; probably free."""
        return self.client.patch(f"/personas/{persona_id}", payload.body(), where=payload.name)

    def chat(self, payload: payloads.Chat) -> dict[str, Any]:
        """Charges 10 to 75 credits and takes 5 to 90 seconds."""
        return self.client.post("/mave/chat", payload.body(), read_timeout=240)

    def respond(self, payload: payloads.Response) -> dict[str, Any]:
        """Charges 1 to 5 credits."""
        return self.client.post("/responses", payload.body())

    def answer_to(self, mark: str, thread_id: str | None = None) -> dict[str, Any] | None:
        """What became of a question with this mark.

        Returns
        -------
        dict or None
            The assistant's message; ``{}`` when the question is there and its answer is not yet;
            None when no thread has the question.
        """
        rows = [{"id": thread_id}] if thread_id else list(self._pages("/mave/threads"))
        rows.sort(key=lambda row: -(number(row.get("created_at")) or 0))
        for row in rows[:NEWEST]:
            thread = self.client.get(f"/mave/threads/{row['id']}", expect=dict)
            if mark in json.dumps(thread, ensure_ascii=False):
                return _reply_after(thread, mark)
        return None


def number(value: Any) -> int | None:
    """A whole number of an answer, or None."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _reply_after(thread: dict, mark: str) -> dict[str, Any]:
    asked = False
    for message in thread.get("messages") or thread.get("data") or []:
        if message.get("role") == "user":
            asked = mark in str(message.get("content"))
        elif asked and message.get("content"):
            return {**message, "thread_id": thread.get("id")}
    return {}
