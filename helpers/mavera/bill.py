"""What can be bought, and the bill: what exists, what would be bought, and what that costs."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel

from helpers.mavera.ledger import fingerprint
from helpers.mavera.payloads import Payload

AUTO = "note: auto-recharge is on, so Mavera buys credits by itself when they run low"


@dataclass(frozen=True)
class Kind:
    """What can be bought.

    Attributes
    ----------
    price : int
        The most that a call can charge [credits]. Mavera's reference.
    path : str
        Where it is posted to.
    quiet : int
        How long a call may go on after its connection dropped [s]; Mave takes 5 to 90 seconds.
    """

    price: int
    path: str
    quiet: int


KINDS = {
    "persona": Kind(300, "/personas", 15),
    "mave": Kind(75, "/mave/chat", 100),
    "reply": Kind(5, "/responses", 15),
}


@dataclass(frozen=True)
class Purchase:
    """A persona, a question to Mave or a question to a persona, and what the bill calls it.

    ``facts`` are what a persona's draft was written from, to tell a material change.
    """

    kind: str
    name: str
    payload: Payload
    cluster: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The same for the same request, whatever the date."""
        return fingerprint([self.kind, self.payload.body()])

    def entry(self) -> dict[str, Any]:
        """What the ledger keeps of it."""
        named = {"kind": self.kind, "name": self.name, "cluster": self.cluster, "facts": self.facts}
        thread_id = getattr(self.payload, "thread_id", None)
        return named | {"fingerprint": self.fingerprint, "thread_id": thread_id}


class BillRow(BaseModel):
    """One line of a bill: ``credits`` is the most it can cost; ``cluster`` where it is for one."""

    item: str
    status: Literal["buy", "update", "reuse", "ask", "not chosen", "too few viewers"]
    credits: int = 0
    cluster: str = ""


class Bill(BaseModel):
    """What exists, what would be bought, and what that costs at most."""

    rows: list[BillRow] = []
    remaining: int | None = None
    auto_recharge: bool | None = None

    @property
    def total(self) -> int:
        return sum(row.credits for row in self.rows)

    def advise(self, room: int) -> str:
        """What `room` credits would cover, a persona after the other in the order of the rules."""
        cost = sum(row.credits for row in self.rows if not row.cluster)
        covered = []
        for name in [row.cluster for row in self.rows if row.status == "buy"]:
            price = sum(row.credits for row in self.rows if row.cluster == name)
            if cost + price <= room:
                cost += price
                covered.append(name)
        if not covered:
            return ""
        told = f"{room} credits cover {' and '.join(covered)} beside the rest, {cost} in all: "
        told += f"-p persona_clusters '{json.dumps(covered)}'. "
        return told + "The order is that of the clusters file: put the most valuable first."

    def table(self) -> pd.DataFrame:
        """item, status, credits [at most]; then the total and the balance."""
        last = {"total, at most": self.total}
        if self.remaining is not None:
            last["balance before"] = self.remaining
            last["balance after, at least"] = self.remaining - self.total
        if self.auto_recharge:
            last[AUTO] = None
        rows = [(row.item, row.status, row.credits) for row in self.rows]
        rows += [(item, "", credits) for item, credits in last.items()]
        frame = pd.DataFrame(rows, columns=["item", "status", "credits"])
        return frame.astype({"credits": "Int64"})
