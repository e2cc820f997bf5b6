"""Which personas are ours already, and what becomes of each draft."""

from __future__ import annotations

from collections.abc import Iterable

from helpers.core import settings
from helpers.core.errors import CreditError
from helpers.mavera import drafts, payloads
from helpers.mavera.bill import KINDS, BillRow, Purchase
from helpers.mavera.ledger import Entry
from helpers.mavera.purchases import Account
from helpers.mavera.results import PersonaRow


def plan_personas(account: Account, rows: list[PersonaRow]) -> list[BillRow]:
    """Give each draft its persona, if one is ours, and its plan; returns the rows of the bill.

    Found by the ledger (same name, else same cluster), if the account still lists it, else by exact
    name among the account's own personas; the oldest, if there are several.

    Raises
    ------
    CreditError
        A persona was settled by hand as made, and is not in the list.
    """
    listed = account.refresh()
    by_age = sorted(listed.values(), key=lambda known: (known.created_at or 0, known.id))
    bought, names, free = account.bought(), {row.name for row in rows}, set(listed)

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
            describe(account, row)
    price = {"buy": KINDS["persona"].price}
    return [
        BillRow(item=r.name, status=r.plan, credits=price.get(r.plan, 0), cluster=r.cluster)
        for r in rows
    ]


def _plan(account: Account, row: PersonaRow) -> str:
    if row.persona_id:
        entry = _entry_of(account, row)
        changed = entry and entry.facts and drafts.has_changed(entry.facts, _purchase(row).facts)
        return "update" if changed else "reuse"
    for entry in account.bought():
        if entry.name == row.name and entry.by == "hand" and not entry.persona_id:
            command = f"viewer-personas settle {entry.entry} not-made"
            raise CreditError(
                f"Ledger entry {entry.entry} was settled by hand as made, but the account lists no "
                f"persona {row.name!r}. Nothing is bought.",
                where="Mavera",
                remedy="If it is truly not there, run "
                f"`{command}{settings.flag(account.run.settings.outputs)}`.",
            )
    if row.chosen:
        return "buy"
    return "too few viewers" if row.numbers.viewers is None else "not chosen"


def _purchase(row: PersonaRow) -> Purchase:
    facts = drafts.facts_of(row.draft, row.numbers)
    return Purchase("persona", row.name, row.draft, row.cluster, facts)


def _entry_of(account: Account, row: PersonaRow) -> Entry | None:
    return next((e for e in account.bought() if e.persona_id == row.persona_id), None)


def carry_out(account: Account, row: PersonaRow) -> None:
    """Buy, update or adopt, as planned and within the bill; write into the row what it came to."""
    wanted, done = _purchase(row), "reused"
    if account.buys and row.plan == "buy":
        row.persona_id = account.charge(wanted).persona_id
    entry = _entry_of(account, row)
    if row.persona_id is None:
        return
    if account.buys and row.plan == "update":
        account.mavera.update_persona(row.persona_id, row.draft)
        account.ledger.settle(entry, **wanted.entry())
        done = "updated"
    elif account.buys and entry is None:  # made by hand, or by another machine
        account.adopt(wanted, row.persona_id)
    paid = (known.credits for known in account.paid() if known.persona_id == row.persona_id)
    row.credits = next(paid, 0)
    row.status = "bought" if row.credits else done  # also when a killed run bought it
    if row.plan != "reuse":
        describe(account, row)


def describe(account: Account, row: PersonaRow) -> None:
    """What Mavera made of a draft: its description, and further texts by name."""
    known = account.persona(row.persona_id)
    row.description = payloads.clean(known.description or row.draft.description, 2000)
    for name, value in list((known.details or {}).items())[:12]:
        parts = value[:6] if isinstance(value, list) else [value]
        texts = [payloads.clean(part, 200) for part in parts if isinstance(part, str)]
        if texts:
            row.traits[payloads.clean(name.replace("_", " "), 60)] = "; ".join(texts)
