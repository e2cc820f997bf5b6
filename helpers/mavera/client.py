"""Mavera's calls: what is asked, what is sent, and what its answers are trusted for.

Quirks of the service: a persona may bear the name of a base persona, pages of a list may say
neither has_more nor next_cursor, and an answer may lack any field that no page promises.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from helpers.core.errors import ServiceError
from helpers.core.http import Client
from helpers.mavera import payloads

PAGE = 100
NEWEST = 50  # threads that are read in search of a question


class Mavera:
    """The calls of the service. Payloads come from :mod:`.payloads` and nowhere else."""

    def __init__(self, client: Client):
        self.client = client

    def usage(self) -> dict[str, Any]:
        """Credits: used, included, remaining; auto_recharge (bool). Unknown numbers are None."""
        answer = self.client.get("/usage", expect=dict)
        credits = answer.get("credits") or {}
        known = {key: number(credits.get(key)) for key in ("used", "included", "remaining")}
        if known["used"] is None:
            raise ServiceError(
                "Mavera: GET /usage says nothing of credits.used. Expected a number; without it no "
                "purchase can be checked, so none is made."
            )
        known["auto_recharge"] = bool((answer.get("auto_recharge") or {}).get("enabled"))
        return known

    def custom_personas(self) -> list[dict[str, Any]]:
        """All personas of the account that are its own, over all pages; base personas are not."""
        rows: dict[str, dict] = {}
        for row in self._pages("/personas"):
            if row.get("is_custom") is not False and row.get("id"):
                rows.setdefault(str(row["id"]), {**row, "id": str(row["id"])})
        return list(rows.values())

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        cursor, seen = None, set()
        while True:
            query = {"limit": PAGE, **({"cursor": cursor} if cursor else {})}
            answer = self.client.get(path, query, where=f"page {len(seen) + 1}", expect=dict)
            rows = answer.get("data")
            if not isinstance(rows, list):
                raise ServiceError(f"Mavera: GET {path} without a list under data. Nothing bought.")
            yield from (row for row in rows if isinstance(row, dict))
            cursor = answer.get("next_cursor")
            if answer.get("has_more") is False or (not cursor and len(rows) < PAGE):
                return
            if not cursor or cursor in seen:
                raise ServiceError(
                    f"Mavera: the pages of GET {path} do not end or do not go on (next_cursor "
                    f"{str(cursor)[:40]!r} after {len(seen) + 1}). Without the whole list nothing "
                    "is bought."
                )
            seen.add(cursor)

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
        if thread_id:
            rows = [{"id": thread_id}]
        else:
            rows = [row for row in self._pages("/mave/threads") if row.get("id")]
            rows.sort(key=lambda row: -(number(row.get("created_at")) or 0))
        for row in rows[:NEWEST]:
            thread = self.client.get(f"/mave/threads/{row['id']}", expect=dict)
            if mark in _text(thread):
                return _reply_after(thread, mark)
        return None


def number(value: Any) -> int | None:
    """A whole number of an answer, or None."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(row: dict) -> str:
    return json.dumps(row, ensure_ascii=False)


def _reply_after(thread: dict, mark: str) -> dict[str, Any]:
    rows = thread.get("messages") or thread.get("data") or []
    asked = False
    for message in (row for row in rows if isinstance(row, dict)):
        if message.get("role") == "user":
            asked = mark in str(message.get("content"))
        elif asked and message.get("content"):
            return {**message, "thread_id": thread.get("id")}
    return {}
