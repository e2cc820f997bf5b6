"""Purchases at Mavera that are never made twice: budget, ledger, and outcomes that are known.

There is no idempotency key, and Mave goes on thinking after a connection has dropped. So a charging
call is written down before it is made, is never repeated on an unknown outcome, and the service is
asked what became of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from helpers.core import clock
from helpers.core.errors import AccessError, CreditError, KitError, ServiceError, UnknownOutcome
from helpers.core.files import write_json
from helpers.core.http import Client
from helpers.core.privacy import without_emails
from helpers.core.progress import progress
from helpers.mavera.client import Mavera, number
from helpers.mavera.ledger import PENDING, SETTLED, Entry, Ledger, fingerprint, path_for, unknown
from helpers.mavera.payloads import Persona
from helpers.run import Run

PRICES = {"persona": 300, "mave": 75, "reply": 5}
"""The most that a call can charge [credits]. Mavera's reference."""

QUIET = {"persona": 15, "mave": 100, "reply": 15}
"""How long a call may go on after its connection dropped [s]; Mave takes 5 to 90 seconds."""

KEPT = ("content", "output", "sources", "validation", "thread_id")
"""What is kept of an answer."""

APART = 5  # seconds between two looks at the service
PATIENCE = 40  # looks at an answer that is on its way, or at numbers that do not settle

pause: Callable[[float], None] = time.sleep


class Account:
    """A Mavera account as a run uses it: ledger, budget, and purchases with a known outcome.

    Parameters
    ----------
    run : Run
        Gives the address, the store and ``max_credits``.

    Attributes
    ----------
    limit : int or None
        The most credits this run may spend; None in the sandbox, whose credits are play money.
    """

    def __init__(self, run: Run):
        where = "a valid key, of Mavera's API keys page, and a plan that allows the call"
        key = {"token_setting": "MAVERA_API_KEY", "permission": where}
        self.run, self.mavera = run, Mavera(Client("Mavera", *run.mavera_address(), **key))
        self.ledger = Ledger(path_for(run.store.folder, run.source.mavera_identity(run.settings)))
        self.answers = run.store.folder / "answers" / self.ledger.path.stem
        self.limit = run.params.max_credits if run.source.mavera == "live" else None
        self.custom: list[dict[str, Any]] | None = None
        self._details: dict[str, dict[str, Any]] = {}
        self.allowed = 0  # credits of the bill that was shown; nothing is charged beyond it

    @property
    def buys(self) -> bool:
        """Whether anything may be bought at all."""
        return self.limit != 0

    def spent(self) -> int:
        """Credits charged in this run so far, by the ledger."""
        return sum(entry.credits for entry in self._of_run())

    def _of_run(self) -> list[Entry]:
        first = self.run.manifest().credits.get("ledger_from", 0)
        rows = self.ledger.entries()[first:]
        return [entry for entry in rows if entry.run == self.run.folder.name]

    def credits_of(self, entry: Entry | None) -> int:
        """What an entry was charged in this run; 0 when an earlier run paid for it."""
        return sum(row.credits for row in self._of_run() if entry and row.entry == entry.entry)

    def by_item(self) -> dict[str, int]:
        """Credits charged in this run, by what for."""
        items: dict[str, int] = {}
        for row in self._of_run():
            if row.credits:
                items[row.name] = items.get(row.name, 0) + row.credits
        return items

    def begin(self) -> None:
        """Note where this run's spending begins; in dev, with every start of stage 04."""
        known = self.run.manifest().credits
        if "ledger_from" not in known or self.run.is_dev:
            self.run.record(credits={"ledger_from": len(self.ledger), "spent": 0})

    def refresh(self) -> list[dict[str, Any]]:
        """The account's own personas, asked for anew."""
        self.custom = self.mavera.custom_personas()
        return self.custom

    def persona(self, persona_id: str) -> dict[str, Any]:
        """One persona with its details, asked for once."""
        if persona_id not in self._details:
            try:
                known = self.mavera.persona(persona_id)
            except ServiceError as error:
                if error.status_code != 404:
                    raise
                # Listed, or made a moment ago, and not to be read yet: its row says enough.
                known = next((row for row in self.custom or () if row["id"] == persona_id), {})
            self._details[persona_id] = known
        return self._details[persona_id]

    def update(self, persona_id: str, payload: Persona) -> None:
        """Change a persona that exists; probably free."""
        self._details.pop(persona_id, None)
        self.mavera.update_persona(persona_id, payload)

    def approve(self, bill: int) -> dict[str, Any]:
        """Check a bill against budget and balance; returns the balance.

        Raises
        ------
        CreditError
            The bill is over the budget or the balance. Nothing was bought.
        """
        usage, spent = self.mavera.usage(), self.spent()
        if bill and self.limit is not None and spent + bill > self.limit:
            before = f" on top of {spent} spent in this run" if spent else ""
            raise CreditError(
                f"Credits: the bill is {bill}{before}, and max_credits is {self.limit}. Nothing "
                f"was bought. Allow {spent + bill} with --max-credits, or 0 to see the bill alone."
            )
        if usage["remaining"] is not None and usage["remaining"] < bill:
            raise CreditError(
                f"Credits: the bill is {bill}, and the account has {usage['remaining']} left. "
                "Nothing was bought. Add credits on Mavera's billing page, then run again."
            )
        self.allowed = bill
        return usage

    def adopt(self, name: str, persona_id: str, **facts: Any) -> Entry:
        """Write down a persona that the account has and this ledger does not know."""
        about = {"run": self.run.folder.name, "persona_id": persona_id, "by": "search"}
        return self.ledger.open("persona", name, state=SETTLED, **about, **facts)

    def kept(self, fingerprint: str) -> dict[str, Any] | None:
        """An answer bought earlier, with its date."""
        try:
            return json.loads((self.answers / f"{fingerprint}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def charge(
        self, kind: str, name: str, send: Callable[[Entry], dict], **facts: Any
    ) -> tuple[Entry, dict[str, Any]]:
        """Make one purchase, and know its outcome.

        Parameters
        ----------
        kind, name : str
            See :class:`helpers.mavera.ledger.Entry`.
        send : callable
            Makes the call for a pending entry and returns its answer.
        **facts
            More of the entry: fingerprint of what is sent, cluster, thread_id.

        Returns
        -------
        The settled entry and the service's answer (empty when it was charged and lost).

        Raises
        ------
        CreditError
            It would pass the bill, credits are used up, or the outcome could not be known.
        ServiceError
            Refused, or twice not made.
        """
        for _ in range(2):
            if PRICES[kind] > self.allowed:
                raise CreditError(
                    f"Credits: {name} may cost {PRICES[kind]}, and {self.allowed} of the bill are "
                    "left. What was bought so far is kept; run again to see a new bill."
                )
            entry = self.ledger.open(
                kind,
                name,
                price=PRICES[kind],
                run=self.run.folder.name,
                before=self._evidence(kind),
                **facts,
            )
            try:
                with progress(f"{name}: waiting for Mavera"):
                    answer = send(entry)
            except UnknownOutcome as error:
                grace = 0 if error.status_code == 500 else QUIET[kind]
            except KitError as error:  # refused, or never sent
                self.ledger.void(entry)
                more = " What was bought before is kept, and reused by the next run."
                if kind == "persona" and error.status_code in (400, 422):
                    more = f" Persona fields stand under `persona:` in the clusters file.{more}"
                error.args = (f"{error}{more}",)
                raise
            else:
                if kind != "persona" or answer.get("id"):
                    return self._settle(entry, answer)
                grace = QUIET[kind]
            found = self._find_out(entry, grace)
            if found is not None:
                return self._settle(entry, found, by="search")
            self.ledger.void(entry, by="search")
        raise ServiceError(
            f"Mavera: {name} failed twice; list and usage say that it was not made and nothing was "
            "charged. What was bought before is kept; run again later."
        )

    def _evidence(self, kind: str) -> dict[str, Any]:
        return {"used": self.mavera.usage()["used"], "listed": self._listed(kind, self.custom)}

    @staticmethod
    def _listed(kind: str, rows: list[dict] | None) -> str:
        if kind != "persona":
            return ""
        return fingerprint(sorted(row["id"] for row in rows or []))

    def _settle(self, entry: Entry, answer: dict, by: str = "answer") -> tuple[Entry, dict]:
        """Check an answer, keep it, and close the entry with what was charged."""
        if entry.kind == "persona":
            return self._settle_persona(entry, answer, by)
        charged = number((answer.get("usage") or {}).get("credits_used"))
        charged = number(answer.get("credits_used")) if charged is None else charged
        if charged is None:
            charged = min(entry.price, max(0, self._moved(entry)))
        if any(answer.get(key) for key in ("content", "output")):
            kept = {key: answer[key] for key in KEPT if answer.get(key) is not None}
            kept |= {"entry": entry.entry, "asked_on": entry.date[:10], "charged": charged}
            write_json(self.answers / f"{entry.fingerprint}.json", without_emails(kept))
        self.allowed -= charged
        thread = answer.get("thread_id") or entry.thread_id
        return self.ledger.settle(entry, credits=charged, thread_id=thread, by=by), answer

    def _settle_persona(self, entry: Entry, answer: dict, by: str) -> tuple[Entry, dict]:
        charged = number(answer.get("credits_charged"))
        if charged is None:  # by the balance; what does not show there yet may still come
            charged = min(entry.price, self._moved(entry))
            charged = charged if charged > 0 else entry.price
        answer = {**answer, "id": str(answer["id"])}
        if self.custom is not None and answer["id"] not in {row["id"] for row in self.custom}:
            self.custom.append(answer)
        self.allowed -= charged
        settled = self.ledger.settle(entry, credits=charged, persona_id=answer["id"], by=by)
        if answer.get("is_custom") is False or charged > entry.price:
            raise CreditError(
                f"Mavera: {entry.name!r} was answered with is_custom {answer.get('is_custom')} and "
                f"{charged} credits charged; expected a custom persona for {entry.price}. It is "
                "kept; nothing more is bought. Ask Mavera what it charges before running again."
            )
        return settled, answer

    def _moved(self, entry: Entry) -> int:
        """Credits used since just before the call."""
        return self.mavera.usage()["used"] - entry.before.get("used", -1)

    def settle_pending(self) -> list[Entry]:
        """Ask the service about every entry that a process left pending; before anything else.

        Raises
        ------
        CreditError
            An outcome could not be known.
        """
        done = []
        for entry in self.ledger.entries(state=PENDING):
            kept = self.kept(entry.fingerprint) or {}
            if kept.get("entry") == entry.entry:
                done.append(self.ledger.settle(entry, credits=kept["charged"], by="search"))
                continue
            passed = (clock.now() - datetime.fromisoformat(entry.date)).total_seconds()
            found = self._find_out(entry, grace=QUIET[entry.kind] - max(0, passed))
            if found is None:
                done.append(self.ledger.void(entry, by="search"))
            else:
                done.append(self._settle(entry, found, by="search")[0])
        return done

    def _find_out(self, entry: Entry, grace: float) -> dict[str, Any] | None:
        """The answer to a call of unknown outcome; None when it was not made.

        Two looks, :data:`APART` seconds apart and after ``grace``, that find list and usage as
        they were before the call mean that it was not made.
        """
        quiet, why, outputs = 0, "", self.run.settings.outputs
        for look in range(PATIENCE):
            if look:
                pause(APART)
            try:
                state, found = self._look(entry)
            except AccessError:
                raise
            except KitError as error:
                raise unknown(entry, f"asking failed ({error})", outputs) from error
            if state == "made":
                return found
            why = state
            quiet = quiet + 1 if state == "unchanged" else 0
            if quiet >= 2 and look * APART >= grace:
                return None
            if state == "changed" and look * APART >= max(grace, 30):
                break
        raise unknown(
            entry,
            "the account's list or usage changed, but it is not in the list"
            if why == "changed"
            else "its answer did not come",
            outputs,
        )

    def _look(self, entry: Entry) -> tuple[str, dict[str, Any] | None]:
        """One look: ``made`` with the answer, ``working``, ``unchanged`` or ``changed``."""
        moved = self._moved(entry)
        if entry.kind == "persona":
            rows = self.refresh()
            for row in rows:
                if row.get("name") == entry.name:
                    return "made", row
            same = moved == 0 and self._listed("persona", rows) == entry.before.get("listed")
            return ("unchanged" if same else "changed"), None
        if entry.kind == "mave":
            answer = self.mavera.answer_to(entry.mark, entry.thread_id)
            if answer is not None:
                return ("made", answer) if answer else ("working", None)
        elif 0 < moved <= entry.price:  # charged; there is nowhere to read a reply again
            return "made", {"usage": {"credits_used": moved}}
        return ("unchanged" if moved == 0 else "changed"), None

    def bought(self, kind: str = "persona") -> list[Entry]:
        """Settled entries of a kind, oldest first."""
        return self.ledger.entries(kind=kind, state=SETTLED)
