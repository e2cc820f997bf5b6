"""People who asked to be erased: keyed hashes, by which a fetch knows whom not to take in.

A hash says nothing about a person; whoever has the store can test an address against it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from helpers.core.errors import DataError
from helpers.core.files import read_json, replace_file, write_json


class Erased:
    """The list of one account: ``erased.json``, and the key of its hashes, ``erased.key``.

    Parameters
    ----------
    folder : Path
        The account's store.

    Attributes
    ----------
    linked : set of str
        visitor_keys that turned out to be an erased person's, by the e-mail beside them.
    """

    def __init__(self, folder: Path):
        self._path, self._key_path = folder / "erased.json", folder / "erased.key"
        self.linked: set[str] = set()

    def add(self, keys: Iterable[str], emails: Iterable[str]) -> None:
        """Note a request: the visitor_keys and e-mails of a person."""
        request = max(self._requests.values(), default=0) + 1
        marks = [self._mark("visitor", key) for key in keys]
        marks += [self._mark("email", fold(email)) for email in emails]
        self._save(self._requests | dict.fromkeys(sorted(marks), request))

    def remove(self, person: str) -> int:
        """Take back the requests that an e-mail or visitor_key was part of; how many."""
        marks = {self._mark("visitor", person.strip()), self._mark("email", fold(person))}
        taken_back = {self._requests[mark] for mark in marks & self._requests.keys()}
        if taken_back:
            self._save({mark: n for mark, n in self._requests.items() if n not in taken_back})
        return len(taken_back)

    def admits(self, visitor_key: str, email: str | None) -> bool:
        """Whether a row may be stored.

        A new visitor_key with the e-mail of an erased person is that person's from then on.
        """
        if not self._requests:
            return True
        mark = self._mark("visitor", visitor_key)
        by_email = self._requests.get(self._mark("email", fold(email))) if email else None
        if by_email and mark not in self._requests:
            self._save(self._requests | {mark: by_email})
            self.linked.add(visitor_key)
        return mark not in self._requests

    @cached_property
    def _requests(self) -> dict[str, int]:
        """The request that each hash is of."""
        hashes = read_json(self._path).get("hashes", {})
        if isinstance(hashes, list):  # of an earlier version: each its own request
            hashes = {mark: number for number, mark in enumerate(hashes, 1)}
        if hashes and not self._key_path.is_file():
            what = f"{self._key_path.name} is not there: it tells who asked to be erased."
            raise DataError(what, remedy="Restore it from a backup. Nothing is fetched until then.")
        return hashes

    def _save(self, requests: dict[str, int]) -> None:
        write_json(self._path, {"hashes": requests})
        self._requests = requests

    def _mark(self, kind: str, value: str) -> str:
        return hmac.new(self._key, f"{kind}:{value}".encode(), hashlib.sha256).hexdigest()

    @cached_property
    def _key(self) -> bytes:
        if not self._key_path.exists():
            with replace_file(self._key_path) as staged:
                staged.write_bytes(secrets.token_bytes(32))
        return self._key_path.read_bytes()


def fold(email: str) -> str:
    """An e-mail as it is compared."""
    return email.strip().casefold()
