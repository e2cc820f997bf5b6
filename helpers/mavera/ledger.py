"""The ledger: what was charged or may have been, a line a step, never rewritten.

One JSONL file per Mavera address. ``pending`` is written, and on the disk, before a charging call;
``settled`` or ``void`` after it. So a process that dies anywhere leaves either nothing to pay or a
pending entry that the next start asks the service about.
"""

import contextlib
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from helpers.core import clock, settings
from helpers.core.errors import CreditError, ParameterError

PENDING, SETTLED, VOID = "pending", "settled", "void"


class Entry(BaseModel, frozen=True):
    """One purchase, as its latest line says.

    Attributes
    ----------
    entry : str
        Id that errors and ``viewer-personas settle`` name.
    kind : str
        ``persona``, ``mave`` or ``reply``.
    state : str
        ``pending``, ``settled`` or ``void``.
    name, cluster : str
        What it is called, and for whom it is.
    fingerprint : str
        Of the draft or the question.
    credits : int
        Charged; 0 while pending, and for what was there already.
    price : int
        The most it can cost.
    before : dict
        The service just before the call: ``used`` [credits], ``listed`` (digest of custom ids).
    facts : dict
        What a persona's draft was written from, to tell a material change.
    answer : dict
        What was answered to a question; empty where it was charged and lost.
    by : str
        ``answer``, ``search``, ``hand``: how the outcome became known.
    """

    entry: str
    kind: str
    state: str
    name: str
    cluster: str = ""
    fingerprint: str = ""
    credits: int = 0
    price: int = 0
    persona_id: str | None = None
    thread_id: str | None = None
    date: str = ""
    run: str = ""
    before: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    answer: dict[str, Any] = {}
    by: str = "answer"

    @property
    def mark(self) -> str:
        """Text that makes the thread of this entry's question recognisable."""
        return "vp-" + hashlib.sha256(f"{self.fingerprint} {self.entry}".encode()).hexdigest()[:20]


def fingerprint(content: Any) -> str:
    """A short digest of JSON content, the same on every machine."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def path_for(store: Path, identity: str) -> Path:
    """The ledger's file in a store folder, for the Mavera address or ``sandbox``."""
    return store / f"ledger-{hashlib.sha256(identity.encode()).hexdigest()[:8]}.jsonl"


class Ledger:
    """Entries of one file, in the order they were opened. One process writes at a time."""

    def __init__(self, path: Path):
        self.path = path
        self._entries: dict[str, Entry] = {}
        for line in path.read_bytes().split(b"\n") if path.is_file() else ():
            # A torn line is passed over. A torn `pending` was never followed by its call, and a
            # torn `settled` leaves its entry pending, to be asked about: nothing is paid twice.
            with contextlib.suppress(ValidationError):
                entry = Entry.model_validate_json(line)
                self._entries[entry.entry] = entry

    def entries(self, *, kind: str = "", state: str = "") -> list[Entry]:
        """Entries in order, of one kind or state when given."""
        every = self._entries.values()
        return [known for known in every if kind in ("", known.kind) and state in ("", known.state)]

    def open(self, kind: str, name: str, *, state: str = PENDING, **facts: Any) -> Entry:
        """Write an entry; on return it is on the disk, and the call may be made."""
        key = f"{kind}-{len(self._entries) + 1:04d}-{secrets.token_hex(3)}"
        date = clock.now().isoformat(timespec="seconds")
        return self._append(Entry(entry=key, kind=kind, state=state, name=name, date=date, **facts))

    def settle(self, entry: Entry, *, state: str = SETTLED, **facts: Any) -> Entry:
        """Write what became of an entry: made, made with other facts now, or with VOID not made."""
        return self._append(entry.model_copy(update={"state": state, **facts}))

    def _append(self, entry: Entry) -> Entry:
        # The last writer may have died in mid-line, so a line brings its own beginning.
        write_line(self.path, "\n" + entry.model_dump_json())
        self._entries[entry.entry] = entry
        return entry


def write_line(path: Path, line: str) -> None:
    """Append a line and wait until the disk has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    with path.open("ab") as file:
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def settle_command(entry: Entry, outcome: str, outputs: Path) -> str:
    """What to type when a person looked up what became of an entry: ``made`` or ``not-made``."""
    return settings.command(f"settle {entry.entry} {outcome}", outputs)


def unknown(entry: Entry, why: str, outputs: Path) -> CreditError:
    """The error of an outcome that could not be known; it names the entry and the way out."""
    made, not_made = (settle_command(entry, known, outputs) for known in ("made", "not-made"))
    told = f"Whether {entry.kind} {entry.name!r} was made, and charged, could not be known: {why}."
    told += f" Ledger entry {entry.entry} stays pending and nothing more is bought."
    remedy = "Run again to ask the service once more; or look at Mavera's pages yourself, then run "
    remedy += f"`{made}` or `{not_made}`."
    return CreditError(told, where="Mavera", remedy=remedy)


def settle_by_hand(outputs: Path, entry: str, made: bool) -> Entry:
    """Settle an entry whose outcome a person looked up.

    Parameters
    ----------
    outputs : Path
        The outputs folder; every account's ledgers are looked through.
    entry : str
        Id, as the error named it.
    made : bool
        Whether the service made it. If so, its highest price is taken as charged.

    Raises
    ------
    ParameterError
        No ledger has the entry, or its outcome is known from the service.
    """
    ledgers = [Ledger(path) for path in sorted(outputs.glob("store/*/ledger-*.jsonl"))]
    every = [(book, known) for book in ledgers for known in book.entries()]
    same = [(book, known) for book, known in every if known.entry == entry]
    for book, known in same:
        if known.state == PENDING or known.by == "hand":
            credits, state = (known.price, SETTLED) if made else (0, VOID)
            return book.settle(known, state=state, credits=credits, by="hand")
    waiting = ", ".join(known.entry for _, known in every if known.state == PENDING)
    what = f"Ledger entry {entry} is {'known: the service said so' if same else 'in no ledger'}."
    raise ParameterError(what, expected=f"an entry that waits: {waiting or 'there is none'}")
