"""What Mavera's side of the sandbox remembers: credits, personas and threads, in one JSON file."""

import hashlib
import json
import os
from pathlib import Path

from helpers.core import clock
from helpers.core.errors import DataError
from helpers.sandbox.checks import Refusal


class State:
    """Credits, custom personas and threads; with a file they outlive the process.

    Parameters
    ----------
    file : Path or None
        None: kept in memory alone.
    credits : int
        Credits that the account begins with.

    Raises
    ------
    DataError
        The file is not a state of this sandbox.
    """

    def __init__(self, file: Path | None, credits: int, base: list[dict]):
        self.file, self._base = file, base
        self.state = {
            "schema_version": 1,
            "made": 0,
            "credits": {"used": 0, "included": credits},
            "personas": [],
            "threads": [],
        }
        if file and file.exists():
            self.state = _read_state(file)

    @property
    def personas(self) -> list[dict]:
        """The custom personas, oldest first, each with the ``draft`` it was sent."""
        return self.state["personas"]

    @property
    def used(self) -> int:
        """Credits charged so far."""
        return self.state["credits"]["used"]

    def _found(self, persona_id: str) -> dict:
        for row in (*self._base, *self.personas):
            if row["id"] == persona_id:
                return row
        raise Refusal(404, "resource_not_found", f"There is no persona {persona_id[:60]}.")

    def _thread(self, thread_id: object) -> dict:
        for thread in self.state["threads"]:
            if thread["id"] == thread_id:
                return thread
        raise Refusal(404, "resource_not_found", "There is no such thread.", "thread_id")

    def _afford(self, cost: int) -> None:
        credit = self.state["credits"]
        left = credit["included"] - credit["used"]
        if left < cost:
            message = f"{cost} credits are needed and {left} remain."
            raise Refusal(402, "credits_exhausted", message)

    def _charge(self, cost: int) -> None:
        self._afford(cost)
        self.state["credits"]["used"] += cost

    def _id(self, kind: str) -> str:
        self.state["made"] += 1
        digits = hashlib.sha256(f"{kind} {self.state['made']}".encode()).hexdigest()
        return f"{kind}_{digits[:20]}"

    def _save(self) -> None:
        """Whole or not at all: written beside the file and moved over it."""
        if not self.file:
            return
        beside = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        self.file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(self.state, ensure_ascii=False), "utf-8")
        os.replace(beside, self.file)


def now() -> int:
    return int(clock.now().timestamp())


def _read_state(file: Path) -> dict:
    try:
        state = json.loads(file.read_text("utf-8"))
        if state["schema_version"] == 1:
            return state
    except (ValueError, KeyError, TypeError):
        pass
    raise DataError(
        f"{file} is not a state of this sandbox (schema_version 1 was expected). Move it away; the"
        " sandbox then begins with new credits and no personas."
    )
