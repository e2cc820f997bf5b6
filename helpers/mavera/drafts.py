"""What a persona's draft says of its cluster, and when it has changed."""

from __future__ import annotations

from typing import Any

from helpers.mavera.payloads import ClusterNumbers, Persona
from helpers.mavera.prompts import write
from helpers.mavera.results import Statement

LEAST_MOVE, LEAST_SHARE, TENTH = 1, 0.05, 0.1  # a number changed when it moved by more than these


def write_statements(numbers: ClusterNumbers, *, days: int, zone: str) -> list[Statement]:
    """Sentences of a persona's draft, by ``texts/draft.txt.j2``; of a small cluster one alone."""
    values = {name: getattr(numbers, name) for name in ClusterNumbers.model_fields}
    text = write("draft.txt.j2", **values, days=days, zone=zone)
    lines = (line.rpartition(" | ") for line in text.splitlines())
    return [
        Statement(text=said.strip(), source=source) for said, _, source in lines if said.strip()
    ]


def facts_of(draft: Persona, numbers: ClusterNumbers) -> dict[str, Any]:
    """What a draft was written from, flat, as the ledger remembers it."""
    sent = numbers.body()
    texts = {name: sent.get(name) for name in ("title", "rule", "description")}
    texts["fields"] = draft.model_dump(exclude={"description"}, exclude_none=True)
    texts["part"] = (sent.get("most_active") or {}).get("name")
    texts["country"] = [part["name"] for part in sent.get("countries") or []][:1]
    texts["videos"] = sorted(video["title"] for video in (sent.get("top_videos") or [])[:3])
    names = ("viewers", "share", "avg_videos", "avg_percent_watched", "avg_visits")
    return texts | {name: sent.get(name) for name in names}


def has_changed(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether a draft changed materially since the persona was made or last updated.

    Material: any text but measured ones; a number that moved by more than a tenth and by more than
    1 (shares: 0.05); another part of the week, country first or three videos first.
    """
    return old.keys() != new.keys() or any(_moved(old[key], new[key]) for key in old)


def _moved(was: Any, now: Any) -> bool:
    if not isinstance(was, int | float) or not isinstance(now, int | float):
        return was != now
    most = max(was, now)
    return abs(was - now) > max(LEAST_SHARE if most <= 1 else LEAST_MOVE, TENTH * most)
