"""Purchases at Mavera that are never made twice: budget, ledger, and outcomes that are known.

There is no idempotency key, and Mave goes on thinking after a connection has dropped. So a charging
call is written down before it is made, is never repeated on an unknown outcome, and the service is
asked what became of it.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from helpers.core import clock
from helpers.core.errors import CreditError, KitError, ServiceError, UnknownOutcome
from helpers.core.http import Client
from helpers.core.privacy import without_emails
from helpers.core.progress import progress
from helpers.mavera import ledger
from helpers.mavera.bill import KINDS, Bill, BillRow, Purchase
from helpers.mavera.client import Answer, Mavera, Persona
from helpers.mavera.ledger import PENDING, SETTLED, VOID, Entry, Ledger
from helpers.mavera.payloads import Payload
from helpers.run import Run

KEPT = ("content", "output", "sources", "validation")
"""What is kept of an answer."""
APART = 5  # seconds between two looks at the service
PATIENCE = 40  # looks at an answer that is on its way, or at numbers that do not settle
ON = "What was bought before is kept, and reused by the next run."
FIELDS = "Persona fields stand under `persona:` in the clusters file."
PERMISSION = "a valid key, of Mavera's API keys page, and a plan that allows the call"

pause: Callable[[float], None] = time.sleep


@contextlib.contextmanager
def open_account(run: Run) -> Iterator["Account"]:
    """The account while no other process may write; what was left pending is settled first.

    What was spent, and the balance, are written into run.json at the end.

    Raises
    ------
    CreditError
        The outcome of an earlier purchase could not be known.
    AccessError, ServiceError
        Mavera refused or failed.
    """
    with run.store.lock():
        account = Account(run)
        account.settle_pending()
        try:
            yield account
            run.record(credits={"after": account.mavera.usage().remaining})
        finally:
            by_item: Counter[str] = Counter()
            for entry in account.paid():
                by_item[entry.name] += entry.credits
            run.record(credits={"spent": by_item.total(), "by_item": by_item})


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
    allowed : int
        Credits of the bill that was approved; nothing is charged beyond it.
    custom : dict of str to Persona
        The account's own personas by id, as they were listed last.
    """

    def __init__(self, run: Run):
        client = Client("Mavera", *run.address("mavera"), permission=PERMISSION)
        self.run, self.mavera = run, Mavera(client)
        address = run.source.identity("mavera", run.settings)
        self.ledger = Ledger(ledger.path_for(run.store.folder, address))
        self.limit = run.params.max_credits if run.source.mavera == "live" else None
        self.custom: dict[str, Persona] = {}
        self.allowed = 0

    @property
    def buys(self) -> bool:
        """Whether anything may be bought at all."""
        return self.limit != 0

    # ---- what was spent

    def begin(self) -> None:
        """Note where this run's spending begins; in dev, with every start of stage 04."""
        if "ledger_from" not in self.run.manifest().credits or self.run.is_dev:
            self.run.record(credits={"ledger_from": len(self.ledger.entries()), "spent": 0})

    def paid(self) -> list[Entry]:
        """What was charged in this run so far."""
        rows = self.ledger.entries()[self.run.manifest().credits.get("ledger_from", 0) :]
        return [entry for entry in rows if entry.run == self.run.folder.name and entry.credits]

    # ---- what it will cost

    def bill(self, rows: list[BillRow], questions: Iterable[Purchase] = ()) -> Bill:
        """A bill with the balance of the account; a question costs nothing once it is answered."""
        for asked in questions:
            price = 0 if self.kept(asked) else KINDS[asked.kind].price
            about = {"status": "ask" if price else "reuse", "cluster": asked.cluster}
            rows = [*rows, BillRow(item=asked.name, credits=price, **about)]
        usage = self.mavera.usage()
        return Bill(rows=rows, remaining=usage.remaining, auto_recharge=usage.auto_recharge)

    def approve(self, bill: Bill, *, shown: Bill | None = None) -> None:
        """Check a bill against what was shown, budget and balance, and allow so much.

        Raises
        ------
        CreditError
            The bill is over one of them. Nothing was bought.
        """
        spent, limits = sum(entry.credits for entry in self.paid()), []
        if shown:
            limits.append((shown.total, f"the bill that was shown is {shown.total}", "Run again"))
        if self.limit is not None:
            more = f"Allow {spent + bill.total} with --max-credits, or 0 to see the bill alone"
            limits.append((self.limit - spent, f"max_credits is {self.limit}", more))
        if bill.remaining is not None:
            more = "Add credits on Mavera's billing page"
            limits.append((bill.remaining, f"the account has {bill.remaining} left", more))
        for room, limit, remedy in sorted(limits):
            if bill.total > room:
                before = f" on top of {spent} spent in this run" if spent else ""
                told = f"The bill is {bill.total}{before}, and {limit}. Nothing was bought."
                raise CreditError(told, where="Credits", remedy=f"{remedy}. {bill.advise(room)}")
        self.allowed = bill.total
        self.run.record(credits={"bill": spent + bill.total})

    # ---- what is there

    def refresh(self) -> dict[str, Persona]:
        """The account's own personas by id, asked for anew."""
        self.custom = {row.id: row for row in self.mavera.custom_personas()}
        return self.custom

    def bought(self, kind: str = "persona") -> list[Entry]:
        """Settled purchases of a kind, newest first."""
        return self.ledger.entries(kind=kind, state=SETTLED)[::-1]

    def adopt(self, persona: Purchase, persona_id: str) -> Entry:
        """Write down a persona that the account has and this ledger does not know."""
        about = {"run": self.run.folder.name, "persona_id": persona_id, "by": "search"}
        return self.ledger.open(state=SETTLED, **persona.entry(), **about)

    def kept(self, question: Purchase) -> Entry | None:
        """The purchase that was answered to a question earlier."""
        mark = question.fingerprint
        same = (entry for entry in self.bought(question.kind) if entry.fingerprint == mark)
        return next((entry for entry in same if entry.answer), None)

    # ---- one purchase

    def obtain(self, questions: Sequence[Purchase]) -> Iterator[Entry | None]:
        """The answers to questions within one bill, kept or bought; None where nothing is bought.

        Raises
        ------
        CreditError, ServiceError, AccessError
            See :meth:`approve` and :meth:`charge`.
        """
        wanted = self.bill([], questions)
        if self.buys and wanted.total:
            self.approve(wanted)
        for question in questions:
            yield self.kept(question) or (self.charge(question) if self.buys else None)

    def charge(self, wanted: Purchase) -> Entry:
        """Make one purchase, and know its outcome.

        Returns
        -------
        The settled entry; its answer is empty when it was charged and lost.

        Raises
        ------
        CreditError
            It would pass the bill, credits are used up, or the outcome could not be known.
        ServiceError
            Refused, or twice not made.
        """
        price = KINDS[wanted.kind].price
        for _ in range(2):
            if price > self.allowed:
                told = f"{wanted.name} may cost {price}, and {self.allowed} of the bill are left."
                raise CreditError(told, where="Credits", remedy=f"Run again for a new bill. {ON}")
            before = {"used": self.mavera.usage().used, "listed": self._listed()}
            about = {"price": price, "run": self.run.folder.name, "before": before}
            entry = self._send(self.ledger.open(**wanted.entry(), **about), wanted.payload)
            if entry.state == SETTLED:
                return entry
        told = f"{wanted.name} failed twice; by list and usage nothing was made, nothing charged."
        raise ServiceError(told, where="Mavera", remedy=f"Run again later. {ON}")

    def _send(self, entry: Entry, payload: Payload) -> Entry:
        """Make the call; the entry settled, or void where it was not made."""
        kind = KINDS[entry.kind]
        try:
            with progress(f"{entry.name}: waiting for Mavera"):
                answer = self.mavera.buy(kind.path, payload.signed(entry.mark), entry.name)
        except UnknownOutcome as error:
            return self._find_out(entry, 0 if error.status_code == 500 else kind.quiet)
        except KitError as error:  # refused, or never sent
            self.ledger.settle(entry, state=VOID)
            is_field = entry.kind == "persona" and error.status_code in (400, 422)
            error.remedy += f" {FIELDS} {ON}" if is_field else f" {ON}"
            raise
        if entry.kind == "persona" and not answer.get("id"):
            return self._find_out(entry, kind.quiet)
        return self._settle(entry, answer)

    def _listed(self) -> str:
        return ledger.fingerprint(sorted(self.custom))

    def _settle(self, entry: Entry, answer: dict[str, Any], by: str = "answer") -> Entry:
        """Close an entry with what was answered and charged; at its price where that is not told.

        Raises
        ------
        CreditError
            No custom persona, or for more than its price: nothing more is bought.
        """
        told = Answer.model_validate(answer)
        charged = entry.price if told.charged is None else told.charged
        self.allowed -= charged
        facts = {"credits": charged, "by": by, "thread_id": told.thread_id or entry.thread_id}
        if entry.kind != "persona":
            said = answer.get("content") or answer.get("output")  # an empty answer is asked anew
            kept = {key: answer[key] for key in KEPT if said and answer.get(key) is not None}
            return self.ledger.settle(entry, answer=without_emails(kept), **facts)
        self.custom.setdefault(told.id, told)
        settled = self.ledger.settle(entry, persona_id=told.id, **facts)
        if told.is_custom is False or charged > entry.price:
            odd = f"{entry.name!r}: is_custom {told.is_custom}, {charged} credits charged."
            remedy = "It is kept; nothing more is bought. Ask Mavera before running again."
            raise CreditError(odd, expected=f"a custom one for {entry.price}", remedy=remedy)
        return settled

    # ---- an outcome that is not known

    def settle_pending(self) -> None:
        """Ask the service about every entry that a process left pending; before anything else."""
        for entry in self.ledger.entries(state=PENDING):
            passed = (clock.now() - datetime.fromisoformat(entry.date)).total_seconds()
            self._find_out(entry, KINDS[entry.kind].quiet - max(0, passed))

    def _find_out(self, entry: Entry, grace: float) -> Entry:
        """Settle an entry whose call has an unknown outcome, or void it when it was not made.

        Two looks, :data:`APART` seconds apart and after ``grace``, that find list and usage as
        they were before the call mean that it was not made.
        """
        quiet, state, outputs = 0, "", self.run.settings.outputs
        for look in range(PATIENCE):
            if look:
                pause(APART)
            try:
                state, found = self._look(entry)
            except KitError as error:
                raise ledger.unknown(entry, f"asking failed ({error})", outputs) from error
            if state == "made":
                return self._settle(entry, found, by="search")
            quiet = quiet + 1 if state == "unchanged" else 0
            if quiet >= 2 and look * APART >= grace:
                return self.ledger.settle(entry, state=VOID, by="search")
            if state == "changed" and look * APART >= max(grace, 30):
                break
        changed = "the account's list or usage changed, but it is not in the list"
        why = changed if state == "changed" else "its answer did not come"
        raise ledger.unknown(entry, why, outputs)

    def _look(self, entry: Entry) -> tuple[str, dict[str, Any]]:
        """One look: ``made`` with the answer, ``working``, ``unchanged`` or ``changed``."""
        moved = self.mavera.usage().used - entry.before.get("used", -1)
        same = moved == 0
        if entry.kind == "persona":
            for row in self.refresh().values():
                if row.name == entry.name:
                    return "made", row.model_dump()
            same = same and self._listed() == entry.before.get("listed")
        elif entry.kind == "mave":
            answer = self.mavera.answer_to(entry.mark, entry.thread_id)
            if answer is not None:
                return ("made", answer) if answer else ("working", {})
        elif 0 < moved <= entry.price:  # charged; there is nowhere to read a reply again
            return "made", {"credits_charged": moved}
        return ("unchanged" if same else "changed"), {}
