"""A persona's draft: what it says, which persona is ours already, and what becomes of it."""

from collections.abc import Iterable
from typing import Any

from helpers.core.errors import CreditError
from helpers.core.privacy import clean_line
from helpers.mavera import payloads
from helpers.mavera.bill import KINDS, BillRow, Purchase
from helpers.mavera.ledger import Entry, settle_command
from helpers.mavera.prompts import write
from helpers.mavera.purchases import Account
from helpers.mavera.results import PersonaRow, Statement

LEAST_MOVE, LEAST_SHARE, TENTH = 1, 0.05, 0.1  # a number changed when it moved by more than these
MEASURED = ("viewers", "share", "avg_videos", "avg_percent_watched", "avg_visits")


def write_statements(numbers: payloads.ClusterNumbers, *, days: int) -> list[Statement]:
    """Sentences of a persona's draft, by ``texts/draft.txt.j2``; of a small cluster one alone."""
    text = write("draft.txt.j2", **dict(numbers), days=days)
    lines = (line.rpartition(" | ") for line in text.splitlines())
    return [Statement(text=said.strip(), source=file) for said, _, file in lines if said.strip()]


def facts_of(draft: payloads.Persona, numbers: payloads.ClusterNumbers) -> dict[str, Any]:
    """What a draft was written from, flat, as the ledger remembers it."""
    sent = numbers.body()
    facts = {name: sent.get(name) for name in ("title", "rule", "description", *MEASURED)}
    facts["fields"] = draft.model_dump(exclude={"description"}, exclude_none=True)
    facts["country"] = [part["name"] for part in sent.get("countries", [])[:1]]
    facts["videos"] = sorted(video["title"] for video in sent.get("top_videos", [])[:3])
    return facts


def has_changed(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether a draft changed materially since the persona was made or last updated.

    Material: any text but measured ones; a number that moved by more than a tenth and by more than
    1 (shares: 0.05); another country first or three videos first. What an earlier version
    remembered beside these is not compared.
    """
    return any(_moved(old.get(key), value) for key, value in new.items())


def _moved(was: Any, now: Any) -> bool:
    if not isinstance(was, int | float) or not isinstance(now, int | float):
        return was != now
    most = max(was, now)
    return abs(was - now) > max(LEAST_SHARE if most <= 1 else LEAST_MOVE, TENTH * most)


def plan_personas(account: Account, rows: list[PersonaRow]) -> list[BillRow]:
    """Give each draft its persona, if one is ours, and its plan; returns the rows of the bill.

    Found by the ledger (same name, else same cluster), if the account still lists it, else by exact
    name among the account's own personas; the oldest, if there are several.

    Raises
    ------
    CreditError
        A persona was settled by hand as made, and is not in the list.
    """
    by_age = sorted(account.refresh().values(), key=lambda known: (known.created_at or 0, known.id))
    bill: list[BillRow] = []
    bought, names, free = account.bought(), {row.name for row in rows}, set(account.custom)

    def take(row: PersonaRow, candidates: Iterable[str | None]) -> None:
        row.persona_id = next((key for key in candidates if key in free), None)
        free.discard(row.persona_id)

    for row in rows:
        same_name = [entry.persona_id for entry in bought if entry.name == row.name]
        take(row, same_name + [known.id for known in by_age if known.name == row.name])
    for row in rows:
        if not row.persona_id:  # a title that changed: the persona is renamed, not bought anew
            of_cluster = (entry for entry in bought if entry.cluster == row.cluster)
            take(row, (entry.persona_id for entry in of_cluster if entry.name not in names))
        row.plan = _plan(account, row)
        if row.plan == "reuse":
            _describe(account, row)
        price = KINDS["persona"].price if row.plan == "buy" else 0
        bill.append(BillRow(item=row.name, status=row.plan, credits=price, cluster=row.cluster))
    return bill


def _plan(account: Account, row: PersonaRow) -> str:
    if row.persona_id:
        entry, now = _entry_of(account, row), facts_of(row.draft, row.numbers)
        changed = entry and entry.facts and has_changed(entry.facts, now)
        return "update" if changed else "reuse"
    for entry in account.bought():
        if entry.name == row.name and entry.by == "hand" and not entry.persona_id:
            told = f"{entry.entry} was settled by hand as made, and no {row.name!r} is listed."
            settle = settle_command(entry, "not-made", account.run.settings.outputs)
            raise CreditError(told, where="Ledger", remedy=f"If so, run `{settle}`.")
    if row.chosen:
        return "buy"
    return "too few viewers" if row.numbers.viewers is None else "not chosen"


def _entry_of(account: Account, row: PersonaRow) -> Entry | None:
    return next((e for e in account.bought() if e.persona_id == row.persona_id), None)


def carry_out(account: Account, row: PersonaRow) -> None:
    """Buy, update or adopt, as planned and within the bill; write into the row what it came to."""
    facts, done = facts_of(row.draft, row.numbers), "reused"
    wanted = Purchase("persona", row.name, row.draft, row.cluster, facts)
    if account.buys and row.plan == "buy":
        row.persona_id = account.charge(wanted).persona_id
    if row.persona_id is None:
        return
    entry = _entry_of(account, row)
    if account.buys and row.plan == "update":
        account.mavera.update_persona(row.persona_id, row.draft)
        account.custom[row.persona_id] = account.mavera.persona(row.persona_id)
        account.ledger.settle(entry, **wanted.entry())
        done = "updated"
    elif account.buys and entry is None:  # made by hand, or by another machine
        account.adopt(wanted, row.persona_id)
    paid = (known.credits for known in account.paid() if known.persona_id == row.persona_id)
    row.credits = next(paid, 0)
    row.status = "bought" if row.credits else done  # also when a killed run bought it
    _describe(account, row)


def _describe(account: Account, row: PersonaRow) -> None:
    """What Mavera made of a draft: its description, and further texts by name."""
    known = account.custom[row.persona_id]
    if known.details is None:  # a list need not have them
        known = account.mavera.persona(row.persona_id)
    row.description = clean_line(known.description or row.draft.description, 2000)
    for name, value in list((known.details or {}).items())[:12]:
        parts = value[:6] if isinstance(value, list) else [value]
        texts = [clean_line(part, 200) for part in parts if isinstance(part, str)]
        if texts:
            row.traits[clean_line(name.replace("_", " "), 60)] = "; ".join(texts)
