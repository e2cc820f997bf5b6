"""People who asked to be erased: keyed hashes, by which a fetch knows whom not to take in.

A hash says nothing about a person; whoever has the store can test an address against it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from helpers.core.errors import DataError
from helpers.core.files import read_json, write_json


class Erased:
    """The list of one account: ``erased.json``, and the key of its hashes, ``erased.key``.

    Parameters
    ----------
    folder : Path
        The account's store.
    """

    def __init__(self, folder: Path):
        self._path, self._key_path = folder / "erased.json", folder / "erased.key"
        self._known: tuple[int, dict[str, int]] = (0, {})

    def add(self, keys: Iterable[str], emails: Iterable[str]) -> None:
        """Note a request: the visitor_keys and e-mails of a person."""
        known = self._hashes
        request = max(known.values(), default=0) + 1
        marks = {*(self._mark("visitor", key) for key in keys),
                 *(self._mark("email", fold(email)) for email in emails)}  # fmt: skip
        # A dictionary by hash reads like the list of an earlier version.
        write_json(self._path, {"hashes": known | dict.fromkeys(sorted(marks), request)})

    def remove(self, person: str) -> int:
        """Take back the requests that an e-mail or visitor_key was part of; how many."""
        known = self._hashes
        marks = {self._mark("visitor", person.strip()), self._mark("email", fold(person))}
        requests = {number for mark, number in known.items() if mark in marks}
        if requests:
            kept = {mark: number for mark, number in known.items() if number not in requests}
            write_json(self._path, {"hashes": kept})
        return len(requests)

    def link(self, visitor_key: str, email: str) -> None:
        """Note another visitor_key of a person by e-mail, as part of the same request."""
        known = self._hashes
        request = known[self._mark("email", fold(email))]
        write_json(self._path, {"hashes": known | {self._mark("visitor", visitor_key): request}})

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def has(self, visitor_key: str, email: str | None = None) -> bool:
        """Whether a visitor_key or e-mail belongs to a person who was erased."""
        hashes = self._hashes
        return bool(hashes) and (
            self._mark("visitor", visitor_key) in hashes
            or (bool(email) and self._mark("email", fold(email)) in hashes)
        )

    @property
    def _hashes(self) -> dict[str, int]:
        stamp = self._path.stat().st_mtime_ns if self._path.exists() else 0
        if self._known[0] != stamp:
            hashes = read_json(self._path).get("hashes", {})
            if isinstance(hashes, list):  # each its own request
                hashes = {mark: number for number, mark in enumerate(hashes, 1)}
            if hashes and not self._key_path.is_file():
                raise DataError(
                    "erased.key is not there: without it nobody knows who asked to be erased.",
                    where=f"Store of account {self._path.parent.name!r}",
                    remedy="Restore it from a backup. Nothing is fetched until then.",
                )
            self._known = stamp, hashes
        return self._known[1]

    def _mark(self, kind: str, value: str) -> str:
        return hmac.new(self._key, f"{kind}:{value}".encode(), hashlib.sha256).hexdigest()

    @cached_property
    def _key(self) -> bytes:
        if not self._key_path.exists():
            self._key_path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
        return self._key_path.read_bytes()


def fold(email: str) -> str:
    """An e-mail as it is compared."""
    return email.strip().casefold()
