"""Purchases at Mavera that are never made twice: budget, ledger, and outcomes that are known.

There is no idempotency key, and Mave goes on thinking after a connection has dropped. So a charging
call is written down before it is made, is never repeated on an unknown outcome, and the service is
asked what became of it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from helpers.core import clock
from helpers.core.errors import AccessError, CreditError, KitError, ServiceError, UnknownOutcome
from helpers.core.files import read_json, write_json
from helpers.core.http import Client
from helpers.core.privacy import without_emails
from helpers.core.progress import progress
from helpers.mavera.bill import PRICES, Bill, BillRow
from helpers.mavera.client import Mavera, number
from helpers.mavera.ledger import PENDING, SETTLED, Entry, Ledger, fingerprint, path_for, unknown
from helpers.run import Run

QUIET = {"persona": 15, "mave": 100, "reply": 15}
"""How long a call may go on after its connection dropped [s]; Mave takes 5 to 90 seconds."""
KEPT = ("content", "output", "sources", "validation", "thread_id")
"""What is kept of an answer."""
APART = 5  # seconds between two looks at the service
PATIENCE = 40  # looks at an answer that is on its way, or at numbers that do not settle
ON = "What was bought before is kept, and reused by the next run."

pause: Callable[[float], None] = time.sleep


@contextlib.contextmanager
def open_account(run: Run) -> Iterator[Account]:
    """The account while no other process may write; what was left pending is settled first.

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
        yield account


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
    """

    def __init__(self, run: Run):
        permission = "a valid key, of Mavera's API keys page, and a plan that allows the call"
        key = {"token_setting": "MAVERA_API_KEY", "permission": permission}
        self.run, self.mavera = run, Mavera(Client("Mavera", *run.mavera_address(), **key))
        self.ledger = Ledger(path_for(run.store.folder, run.source.mavera_identity(run.settings)))
        self.answers = run.store.folder / "answers" / self.ledger.path.stem
        self.limit = run.params.max_credits if run.source.mavera == "live" else None
        self.custom: list[dict[str, Any]] = []
        self.allowed = 0

    @property
    def buys(self) -> bool:
        """Whether anything may be bought at all."""
        return self.limit != 0

    # ---- what was spent

    def begin(self) -> None:
        """Note where this run's spending begins; in dev, with every start of stage 04."""
        if "ledger_from" not in self.run.manifest().credits or self.run.is_dev:
            self.run.record(credits={"ledger_from": len(self.ledger), "spent": 0})

    def _of_run(self) -> list[Entry]:
        first = self.run.manifest().credits.get("ledger_from", 0)
        rows = self.ledger.entries()[first:]
        return [entry for entry in rows if entry.run == self.run.folder.name and entry.credits]

    def spent(self, **of: str) -> int:
        """Credits charged in this run so far, by the ledger; `of`: those with such a field."""
        rows = [entry for entry in self._of_run() if of.items() <= vars(entry).items()]
        return sum(entry.credits for entry in rows)

    def record(self) -> None:
        """Write into run.json what was spent on what."""
        names = dict.fromkeys(entry.name for entry in self._of_run())
        by_item = {name: self.spent(name=name) for name in names}
        self.run.record(credits={"spent": self.spent(), "by_item": by_item})

    def record_balance(self) -> None:
        """Write the account's credits after spending into run.json."""
        self.run.record(credits={"after": self.mavera.usage().remaining})

    def ask(self, item: str, kind: str, fingerprint: str = "", cluster: str = "") -> BillRow:
        """A question's row of the bill: nothing, where its answer is kept."""
        known = bool(fingerprint) and self.kept(fingerprint) is not None
        price, status = (0, "reuse") if known else (PRICES[kind], "ask")
        return BillRow(item=item, status=status, credits=price, cluster=cluster)

    def bill(self, rows: list[BillRow]) -> Bill:
        """A bill with the balance of the account."""
        usage = self.mavera.usage()
        return Bill(rows=rows, remaining=usage.remaining, auto_recharge=usage.auto_recharge)

    def approve(self, bill: Bill, *, shown: Bill | None = None) -> None:
        """Check a bill against what was shown, budget and balance, and allow so much.

        Raises
        ------
        CreditError
            The bill is over one of them. Nothing was bought.
        """
        spent, limits = self.spent(), []
        if shown:
            limits.append((shown.total, f"the bill that was shown is {shown.total}", "Run again"))
        if self.limit is not None:
            more = f"Allow {spent + bill.total} with --max-credits, or 0 to see the bill alone"
            limits.append((self.limit - spent, f"max_credits is {self.limit}", more))
        if bill.remaining is not None:
            more = "Add credits on Mavera's billing page"
            limits.append((bill.remaining, f"the account has {bill.remaining} left", more))
        room, limit, remedy = min(limits, default=(bill.total, "", ""))
        if bill.total > room:
            before = f" on top of {spent} spent in this run" if spent else ""
            raise CreditError(
                f"The bill is {bill.total}{before}, and {limit}. Nothing was bought.",
                where="Credits",
                remedy=f"{remedy}. {bill.advise(room)}".strip(),
            )
        self.allowed = bill.total
        self.run.record(credits={"bill": spent + bill.total})

    # ---- what is there

    def refresh(self) -> list[dict[str, Any]]:
        """The account's own personas, asked for anew."""
        self.custom = self.mavera.custom_personas()
        return self.custom

    def persona(self, persona_id: str) -> dict[str, Any]:
        """One persona with its details; its row of the list, where it cannot be read yet."""
        try:
            return self.mavera.persona(persona_id)
        except ServiceError as error:
            if error.status_code != 404:
                raise
            return next((row for row in self.custom if row["id"] == persona_id), {})

    def bought(self) -> list[Entry]:
        """Settled purchases of personas, newest first."""
        return self.ledger.entries(kind="persona", state=SETTLED)[::-1]

    def adopt(self, name: str, persona_id: str, **facts: Any) -> Entry:
        """Write down a persona that the account has and this ledger does not know."""
        about = {"run": self.run.folder.name, "persona_id": persona_id, "by": "search"}
        return self.ledger.open("persona", name, state=SETTLED, **about, **facts)

    def kept(self, fingerprint: str) -> dict[str, Any] | None:
        """An answer bought earlier, with its date."""
        return read_json(self.answers / f"{fingerprint}.json") or None

    # ---- one purchase

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
                    f"{name} may cost {PRICES[kind]}, and {self.allowed} of the bill are left.",
                    where="Credits",
                    remedy=f"Run again to see a new bill. {ON}",
                )
            before = {"used": self.mavera.usage().used, "listed": self._listed(kind)}
            about = {"price": PRICES[kind], "run": self.run.folder.name, "before": before, **facts}
            entry = self.ledger.open(kind, name, **about)
            answer, grace = self._send(entry, send)
            if answer is not None:
                return self._settle(entry, answer)
            found = self._find_out(entry, grace)
            if found is not None:
                return self._settle(entry, found, by="search")
            self.ledger.void(entry, by="search")
        raise ServiceError(
            f"{name} failed twice; list and usage say that nothing was made and nothing charged.",
            where="Mavera",
            remedy=f"Run again later. {ON}",
        )

    def _send(self, entry: Entry, send: Callable[[Entry], dict]) -> tuple[dict | None, float]:
        """The answer; or None, and how long the call may still be carried out [s]."""
        try:
            with progress(f"{entry.name}: waiting for Mavera"):
                answer = send(entry)
        except (UnknownOutcome, RecursionError) as error:  # the latter: JSON nested too deep
            failed = getattr(error, "status_code", None) == 500
            return None, 0 if failed else QUIET[entry.kind]
        except KitError as error:  # refused, or never sent
            self.ledger.void(entry)
            if entry.kind == "persona" and error.status_code in (400, 422):
                error.remedy += " Persona fields stand under `persona:` in the clusters file."
            error.remedy = f"{error.remedy} {ON}".strip()
            error.args = (error._message(),)
            raise
        lost = entry.kind == "persona" and not answer.get("id")
        return (None, QUIET[entry.kind]) if lost else (answer, 0)

    def _listed(self, kind: str) -> str:
        return fingerprint(sorted(row["id"] for row in self.custom)) if kind == "persona" else ""

    def _settle(self, entry: Entry, answer: dict, by: str = "answer") -> tuple[Entry, dict]:
        """Keep an answer, and close the entry with what was charged."""
        told = answer.get("credits_charged", answer.get("credits_used"))
        charged = number((answer.get("usage") or {}).get("credits_used", told))
        if charged is None:  # by the balance; a persona that does not show there yet may still
            charged = min(entry.price, max(0, self._moved(entry)))
            charged = charged or (entry.price if entry.kind == "persona" else 0)
        self.allowed -= charged
        facts = {"credits": charged, "by": by}
        if entry.kind != "persona":
            self._keep(entry, answer, charged)
            facts["thread_id"] = answer.get("thread_id") or entry.thread_id
            return self.ledger.settle(entry, **facts), answer
        answer = {**answer, "id": str(answer["id"])}
        if answer["id"] not in {row["id"] for row in self.custom}:
            self.custom.append(answer)
        settled = self.ledger.settle(entry, persona_id=answer["id"], **facts)
        if answer.get("is_custom") is False or charged > entry.price:
            raise CreditError(
                f"{entry.name!r} was answered with is_custom {answer.get('is_custom')} and "
                f"{charged} credits charged. It is kept; nothing more is bought.",
                where="Mavera",
                expected=f"a custom persona for {entry.price}",
                remedy="Ask Mavera what it charges before running again.",
            )
        return settled, answer

    def _keep(self, entry: Entry, answer: dict, charged: int) -> None:
        """Keep what was answered, before the entry is closed."""
        content = {key: answer[key] for key in KEPT if answer.get(key) is not None}
        if content.get("content") or content.get("output"):
            content |= {"entry": entry.entry, "asked_on": entry.date[:10], "charged": charged}
            write_json(self.answers / f"{entry.fingerprint}.json", without_emails(content))

    # ---- an outcome that is not known

    def settle_pending(self) -> None:
        """Ask the service about every entry that a process left pending; before anything else."""
        for entry in self.ledger.entries(state=PENDING):
            kept = self.kept(entry.fingerprint) or {}
            if kept.get("entry") == entry.entry:
                self.ledger.settle(entry, credits=kept["charged"], by="search")
                continue
            passed = (clock.now() - datetime.fromisoformat(entry.date)).total_seconds()
            found = self._find_out(entry, grace=QUIET[entry.kind] - max(0, passed))
            if found is None:
                self.ledger.void(entry, by="search")
            else:
                self._settle(entry, found, by="search")

    def _find_out(self, entry: Entry, grace: float) -> dict[str, Any] | None:
        """The answer to a call of unknown outcome; None when it was not made.

        Two looks, :data:`APART` seconds apart and after ``grace``, that find list and usage as
        they were before the call mean that it was not made.
        """
        quiet, state, outputs = 0, "", self.run.settings.outputs
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
            quiet = quiet + 1 if state == "unchanged" else 0
            if quiet >= 2 and look * APART >= grace:
                return None
            if state == "changed" and look * APART >= max(grace, 30):
                break
        why = "the account's list or usage changed, but it is not in the list"
        raise unknown(entry, why if state == "changed" else "its answer did not come", outputs)

    def _look(self, entry: Entry) -> tuple[str, dict[str, Any] | None]:
        """One look: ``made`` with the answer, ``working``, ``unchanged`` or ``changed``."""
        moved = self._moved(entry)
        same = moved == 0
        if entry.kind == "persona":
            for row in self.refresh():
                if row.get("name") == entry.name:
                    return "made", row
            same = same and self._listed("persona") == entry.before.get("listed")
        elif entry.kind == "mave":
            answer = self.mavera.answer_to(entry.mark, entry.thread_id)
            if answer is not None:
                return ("made", answer) if answer else ("working", None)
        elif 0 < moved <= entry.price:  # charged; there is nowhere to read a reply again
            return "made", {"usage": {"credits_used": moved}}
        return ("unchanged" if same else "changed"), None

    def _moved(self, entry: Entry) -> int:
        """Credits used since just before the call."""
        return self.mavera.usage().used - entry.before.get("used", -1)
