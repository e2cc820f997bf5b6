"""Which personas are ours already, what a draft comes to, and what that costs at most."""

from __future__ import annotations

from typing import Any

from helpers.core import settings
from helpers.core.errors import CreditError, ServiceError
from helpers.mavera import drafts, payloads
from helpers.mavera.bill import PRICES, BillRow
from helpers.mavera.ledger import Entry, fingerprint
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
    free = {row["id"] for row in listed}
    by_age = sorted(listed, key=lambda row: (row.get("created_at") or 0, row["id"]))
    bought, names = account.bought(), {row.name for row in rows}

    def take(row: PersonaRow, candidates: list[str | None]) -> None:
        row.persona_id = next((key for key in candidates if key in free), None)
        free.discard(row.persona_id)

    for row in rows:
        same_name = [entry.persona_id for entry in bought if entry.name == row.name]
        take(row, same_name + [known["id"] for known in by_age if known.get("name") == row.name])
    for row in rows:
        if not row.persona_id:  # a title that changed: the persona is renamed, not bought anew
            of_cluster = (entry for entry in bought if entry.cluster == row.cluster)
            take(row, [entry.persona_id for entry in of_cluster if entry.name not in names])
        row.plan = _plan(account, row)
        if row.plan == "reuse":
            describe(account, row)
    price = {"buy": PRICES["persona"]}
    return [
        BillRow(item=r.name, status=r.plan, credits=price.get(r.plan, 0), cluster=r.cluster)
        for r in rows
    ]


def _plan(account: Account, row: PersonaRow) -> str:
    if row.persona_id:
        entry, facts = _entry_of(account, row), drafts.facts_of(row.draft, row.numbers)
        changed = entry and entry.facts and drafts.has_changed(entry.facts, facts)
        return "update" if changed else "reuse"
    for entry in account.bought():
        if entry.name == row.name and entry.by == "hand" and not entry.persona_id:
            place = settings.flag(account.run.settings.outputs)
            raise CreditError(
                f"Ledger entry {entry.entry} was settled by hand as made, but the account lists no "
                f"persona {row.name!r}. Nothing is bought.",
                where="Mavera",
                remedy="If it is truly not there, run "
                f"`viewer-personas settle {entry.entry} not-made{place}`.",
            )
    if row.chosen:
        return "buy"
    return "too few viewers" if row.numbers.viewers is None else "not chosen"


def _entry_of(account: Account, row: PersonaRow) -> Entry | None:
    return next((e for e in account.bought() if e.persona_id == row.persona_id), None)


def carry_out(account: Account, row: PersonaRow) -> None:
    """Buy, update or adopt, as planned, within the bill that was approved."""
    facts = drafts.facts_of(row.draft, row.numbers)
    about = {"cluster": row.cluster, "fingerprint": fingerprint(row.draft.body()), "facts": facts}
    entry = _entry_of(account, row)
    if row.plan == "buy":
        row.persona_id = _buy(account, row, **about).persona_id
    elif row.plan == "update":
        account.mavera.update_persona(row.persona_id, row.draft)
        if entry:
            account.ledger.settle(entry, name=row.name, **about)
    elif row.persona_id and entry is None:  # made by hand, or by another machine
        account.adopt(row.name, row.persona_id, **about)


def _buy(account: Account, row: PersonaRow, **about: Any) -> Entry:
    try:
        create = account.mavera.create_persona
        return account.charge("persona", row.name, lambda _: create(row.draft), **about)[0]
    except ServiceError as error:
        if error.status_code in (400, 409, 422):
            # The name may be taken since the list was read: then it is there, and cost nothing.
            for known in account.refresh():
                if known.get("name") == row.name:
                    return account.adopt(row.name, known["id"], **about)
        raise


def note(account: Account, row: PersonaRow) -> None:
    """Write into a row what it came to."""
    entry = _entry_of(account, row) if row.persona_id else None
    row.credits = account.spent(entry=entry.entry) if entry else 0
    if row.persona_id:
        done = "updated" if row.plan == "update" and account.buys else "reused"
        row.status = "bought" if row.credits else done  # also when a killed run bought it
        if row.plan != "reuse":
            describe(account, row)


def describe(account: Account, row: PersonaRow) -> None:
    """What Mavera made of a draft: its description, and further texts by name."""
    known = account.persona(row.persona_id)
    details = known.get("details") if isinstance(known.get("details"), dict) else {}
    row.description = payloads.clean(known.get("description") or row.draft.description, 2000)
    for name, value in list(details.items())[:12]:
        parts = value[:6] if isinstance(value, list) else [value]
        texts = [payloads.clean(part, 200) for part in parts if isinstance(part, str)]
        if texts:
            row.traits[payloads.clean(name.replace("_", " "), 60)] = "; ".join(texts)
