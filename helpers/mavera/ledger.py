"""The ledger: what was charged or may have been, a line a step, never rewritten.

One JSONL file per Mavera address. ``pending`` is written, and on the disk, before a charging call;
``settled`` or ``void`` after it. So a process that dies anywhere leaves either nothing to pay or a
pending entry that the next start asks the service about.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from helpers.core import clock, settings
from helpers.core.errors import CreditError, ParameterError, ServiceError

PENDING, SETTLED, VOID = "pending", "settled", "void"


@dataclass(frozen=True)
class Entry:
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
        Whom it is for.
    fingerprint : str
        Of the draft or the question.
    credits : int
        Charged; 0 while pending, and for what was there already.
    price : int
        The most it can cost.
    before : dict
        The service just before the call: ``used`` [credits], ``listed`` (digest of custom ids).
    facts : dict
        What the draft was written from, to tell a material change.
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
    before: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
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
        lines = path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else ()
        for line in lines:
            # A torn line is passed over. A torn `pending` was never followed by its call, and a
            # torn `settled` leaves its entry pending, to be asked about: nothing is paid twice.
            with contextlib.suppress(ValueError, TypeError, AttributeError, RecursionError):
                known = json.loads(line).items()
                entry = Entry(**{k: v for k, v in known if k in Entry.__dataclass_fields__})
                self._entries[entry.entry] = entry

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self, *, kind: str = "", state: str = "") -> list[Entry]:
        """Entries in order, of one kind or state when given."""
        return [
            entry
            for entry in self._entries.values()
            if kind in ("", entry.kind) and state in ("", entry.state)
        ]

    def open(self, kind: str, name: str, *, state: str = PENDING, **facts: Any) -> Entry:
        """Write an entry; on return it is on the disk, and the call may be made."""
        key = f"{kind}-{len(self._entries) + 1:04d}-{secrets.token_hex(3)}"
        date = clock.now().isoformat(timespec="seconds")
        return self._append(Entry(key, kind, state, name, date=date, **facts))

    def settle(self, entry: Entry, **facts: Any) -> Entry:
        """Write that an entry was made, or is made with other facts now."""
        return self._append(replace(entry, state=SETTLED, **facts))

    def void(self, entry: Entry, *, by: str = "answer") -> Entry:
        """Write that an entry was not made and cost nothing."""
        return self._append(replace(entry, state=VOID, credits=0, by=by))

    def _append(self, entry: Entry) -> Entry:
        line = json.dumps(asdict(entry), ensure_ascii=False, allow_nan=False) + "\n"
        try:
            write_line(self.path, line)
        except OSError as error:
            raise ServiceError(
                f"It could not be written: {error.strerror or error}.",
                where=f"Ledger {self.path.name}",
                remedy="Nothing is bought without it. Make room or allow writing, then run again.",
            ) from error
        self._entries[entry.entry] = entry
        return entry


def write_line(path: Path, line: str) -> None:
    """Append a line and wait until the disk has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    old = path.read_bytes() if path.exists() else None
    torn = bool(old) and not old.endswith(b"\n")  # the last writer died in mid-line
    data = (b"\n" if torn else b"") + line.encode()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "ab", buffering=0) as file:
        while data:
            data = data[file.write(data) :]
        os.fsync(file.fileno())
    if old is None and os.name == "posix":  # a new name is on the disk only when its folder is
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def unknown(entry: Entry, why: str, outputs: Path) -> CreditError:
    """The error of an outcome that could not be known; it names the entry and the way out."""
    command, place = f"viewer-personas settle {entry.entry}", settings.flag(outputs)
    return CreditError(
        f"Whether {entry.kind} {entry.name!r} was made, and charged, could not be known: {why}. "
        f"Ledger entry {entry.entry} stays pending and nothing more is bought.",
        where="Mavera",
        remedy="Run again to ask the service once more; or look at Mavera's pages yourself, then "
        f"run `{command} made{place}` or `{command} not-made{place}`.",
    )


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
    store = outputs / "store"
    folders = sorted(store.iterdir()) if store.is_dir() else ()
    ledgers = [Ledger(path) for folder in folders for path in sorted(folder.glob("ledger-*.jsonl"))]
    found = [(book, known) for book in ledgers for known in book.entries() if known.entry == entry]
    waiting = [known.entry for book in ledgers for known in book.entries(state=PENDING)]
    if not found or (found[0][1].state != PENDING and found[0][1].by != "hand"):
        state = f"is {found[0][1].state}: the service said so" if found else "is in no ledger"
        raise ParameterError(
            f"Ledger entry {entry} {state}.",
            expected=f"an entry that waits: {', '.join(waiting) or 'there is none'}",
        )
    book, known = found[0]
    return (
        book.settle(known, credits=known.price, by="hand") if made else book.void(known, by="hand")
    )
