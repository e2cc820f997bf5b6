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
        Charged; 0 while pending, and for what was found rather than bought.
    price : int
        The most it can cost.
    before : dict
        The service just before the call: ``used`` [credits], ``listed`` (digest of custom ids).
    facts : dict
        Numbers the draft was written from, to tell a material change.
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
        with contextlib.suppress(FileNotFoundError):
            for line in path.read_text("utf-8", errors="replace").splitlines():
                self._take(line)

    def _take(self, line: str) -> None:
        """One line; a torn one is passed over.

        A torn ``pending`` was never followed by its call, and a torn ``settled`` leaves its entry
        pending, to be asked about: both ways nothing is paid twice.
        """
        try:
            known = json.loads(line)
            entry = Entry(**{k: v for k, v in known.items() if k in Entry.__dataclass_fields__})
        except (ValueError, TypeError, AttributeError):
            return
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
        number = len(self._entries) + 1
        return self._append(
            Entry(
                entry=f"{kind}-{number:04d}-{secrets.token_hex(3)}",
                kind=kind,
                state=state,
                name=name,
                date=clock.now().isoformat(timespec="seconds"),
                **facts,
            )
        )

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
                f"Ledger {self.path.name}: it could not be written: {error.strerror or error}. "
                "Nothing is bought without it. Make room or allow writing, then run again."
            ) from error
        self._entries[entry.entry] = entry
        return entry


def write_line(path: Path, line: str) -> None:
    """Append a line and wait until the disk has it."""
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = "\n" + line  # the last writer died in mid-line: leave its piece alone
        data = line.encode()
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    if new:  # a new name is on the disk only when its folder is
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def unknown(entry: Entry, why: str, outputs: Path) -> CreditError:
    """The error of an outcome that could not be known; it names the entry and the way out."""
    place = settings.flag(outputs)
    return CreditError(
        f"Mavera: whether {entry.kind} {entry.name!r} was made, and charged, could not be known: "
        f"{why}. Ledger entry {entry.entry} stays pending and nothing more is bought. Run again to "
        "ask the service once more; or look at Mavera's pages yourself, then run "
        f"`viewer-personas settle {entry.entry} made{place}` or `viewer-personas settle "
        f"{entry.entry} not-made{place}`."
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
    ledgers = [Ledger(path) for path in sorted(outputs.glob("store/*/ledger-*.jsonl"))]
    for book in ledgers:
        for known in book.entries():
            if known.entry != entry:
                continue
            if known.state != PENDING and known.by != "hand":
                raise ParameterError(
                    f"Ledger entry {entry} is {known.state}: the service said so. Nothing to do."
                )
            if not made:
                return book.void(known, by="hand")
            return book.settle(known, credits=known.price, by="hand")
    waiting = [known.entry for book in ledgers for known in book.entries(state=PENDING)]
    raise ParameterError(
        f"No ledger has an entry {entry!r}. Entries that wait: {', '.join(waiting) or 'none'}."
    )
