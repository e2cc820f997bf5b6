"""The bill: what exists, what would be bought, and what that costs at most."""

from __future__ import annotations

import json
from typing import Literal

import pandas as pd
from pydantic import BaseModel

PRICES = {"persona": 300, "mave": 75, "reply": 5}
"""The most that a call can charge [credits]. Mavera's reference."""
AUTO = "note: auto-recharge is on, so Mavera buys credits by itself when they run low"


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
    auto_recharge: bool = False

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
        return (
            f"{room} credits cover {' and '.join(covered)} beside the rest, {cost} in all: "
            f"-p persona_clusters '{json.dumps(covered)}'. The order is that of the clusters file: "
            "put the most valuable first."
        )

    def table(self) -> pd.DataFrame:
        """item, status, credits [at most]; then the total and the balance."""
        rows = [row.model_dump(exclude={"cluster"}) for row in self.rows]
        rows.append({"item": "total, at most", "credits": self.total})
        if self.remaining is not None:
            rows.append({"item": "balance before", "credits": self.remaining})
            rows.append({"item": "balance after, at least", "credits": self.remaining - self.total})
        if self.auto_recharge:
            rows.append({"item": AUTO})
        rows = [{"status": ""} | row for row in rows]
        frame = pd.DataFrame(rows, columns=["item", "status", "credits"])
        return frame.astype({"credits": "Int64"})
