"""Delete a person: in the stores, in every run's tables, private lists, notebooks and pages.

A person is a set of visitor_keys and e-mails: whoever is named by one of them is found by all that
stand in one row with it. At the end every file of the outputs folder is searched.
"""

from __future__ import annotations

import html
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from helpers.core import clock, files, privacy, settings
from helpers.core.errors import DataError, KitError, ParameterError
from helpers.core.folders import read_manifest, record
from helpers.report import report
from helpers.store import shards
from helpers.store.store import Store

DOMAIN = re.compile(r"@.*|[\w-]+(\.[\w-]+)*\.[a-z]{2,}", re.I)
SHORTEST_NAME = 4  # characters; a shorter name is found in ordinary words
NOT_SEARCHED = {"README.md", "erased.key", "opt_out.txt"}
"""The kit's own text, the secret of the hashes, and the owner's own list."""
HASH_STAYS = (
    "What stays: a keyed hash, by which the next fetch knows whom not to bring back. It cannot be "
    "read back; whoever has the store can test an address against it."
)
NO_HASH = "There is no store here to keep a hash of them: a new fetch may bring them back."
COPY_STAYS = (
    "Wistia's own copy stays at Wistia: delete the viewer there too, in the account's audience."
)


@dataclass
class Person:
    """Whatever stands for a person in these files; e-mails are case-folded."""

    keys: set[str] = field(default_factory=set)
    emails: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)

    def pattern(self, *, names: bool) -> re.Pattern[str]:
        """Finds the person in text, HTML or JSON, whatever the case of an e-mail."""
        exact = self.keys | ({n for n in self.names if len(n) >= SHORTEST_NAME} if names else set())
        forms = {re.escape(form) for text in exact for form in _as_written(text)}
        forms |= {f"(?i:{re.escape(form)})" for text in self.emails for form in _as_written(text)}
        alone = rf"(?<![\w.+-])(?:{'|'.join(sorted(forms))})(?![\w-])"  # no part of another key
        return re.compile(alone if forms else r"(?!)")


def _as_written(text: str) -> set[str]:
    """A text as it stands, in HTML, in JSON and in an address."""
    return {text, html.escape(text), json.dumps(text)[1:-1], text.replace("@", "%40")}


def erase(who: str) -> list[str]:
    """Delete a person everywhere under the outputs folder, and search for what is left.

    Parameters
    ----------
    who : str
        E-mail or visitor_key.

    Returns
    -------
    list of str
        What was removed and what stays, for the reader.

    Raises
    ------
    ParameterError
        No person is named.
    LockError
        A run is in progress on one of the accounts.
    DataError
        The search still finds the person somewhere, or a file cannot be read.
    """
    who = who.strip()
    if not who or " " in who:
        raise ParameterError(
            "erase: no person is named.",
            expected="an e-mail or a visitor_key; a name may be many people's",
        )
    outputs = settings.load().outputs
    stores, folders = _stores(outputs), _run_folders(outputs)
    with ExitStack() as locks:
        for store in stores:
            locks.enter_context(store.lock())
        person = _identify(who, stores, folders)
        if DOMAIN.fullmatch(who) and not person.keys:
            raise ParameterError(
                f"erase: {who} is a domain, not a person.",
                expected="an e-mail or a visitor_key",
                remedy="To keep a whole domain off the lists, write it into opt_out.txt.",
            )
        told = [_erase_from_store(store, who, person, outputs) for store in stores]
        told += [_erase_from_run(folder, person) for folder in folders]
        searched = _search(outputs, person)
    told = [line for line in told if line]
    if told:
        proof = f"A search of {searched:,} files finds nothing of them any more."
        return [*told, proof, HASH_STAYS if stores else NO_HASH, COPY_STAYS]
    if not stores:
        return [f"{outputs.name}/ has no store, so there is nothing to delete. Check --outputs."]
    return [
        f"Nothing is stored in {outputs.name}/ of an e-mail or visitor_key spelt like this. Check "
        "the spelling, and --outputs if you work in several folders.",
        "It is kept as a keyed hash all the same, so that no fetch takes it in; "
        "`viewer-personas erase --forget-request` takes that back.",
    ]


def forget_request(who: str) -> list[str]:
    """Take a mistaken request back: the person may be fetched again.

    Returns
    -------
    list of str
        What was done, for the reader.
    """
    taken_back = 0
    for store in _stores(settings.load().outputs):
        with store.lock():
            taken_back += store.remember(who.strip())
    if taken_back:
        return ["The request is taken back: the next fetch takes the person in again."]
    return ["There is no such request in the stores of this folder."]


def _stores(outputs: Path) -> list[Store]:
    """The stores of the folder, and of accounts that have an outputs folder of their own in it."""
    return [Store(path) for form in ("", "*/") for path in sorted(outputs.glob(f"{form}store/*/"))]


def _run_folders(outputs: Path) -> list[Path]:
    runs = [path for form in ("", "*/") for path in sorted(outputs.glob(f"{form}*/run.json"))]
    return [path.parent for path in runs]


def _identify(who: str, stores: list[Store], folders: list[Path]) -> Person:
    """All keys, e-mails and names of the person: who shares a row with one of them is the same."""
    person = Person(emails={who.casefold()} if "@" in who else set())
    tables = [path for folder in folders for path in sorted(folder.glob("data/*.parquet"))]
    tables += [store.visitors_path for store in stores if store.visitors_path.is_file()]
    keys, size = {who}, -1
    while size != len(keys) + len(person.emails):
        size = len(keys) + len(person.emails)
        for store in stores:
            found_keys, found_emails = store.identify(*keys, *person.emails)
            person.keys |= found_keys
            person.emails |= found_emails
        keys |= person.keys
        for path in tables:
            for key, email, name in _people(path):
                if key in keys or email in person.emails:
                    keys.add(key)
                    person.keys.add(key)
                    person.emails |= {email} if email and "@" in email else set()
                    person.names |= {name} if name else set()
    return person


def _people(path: Path) -> Iterator[tuple[str, str | None, str | None]]:
    """visitor_key, case-folded e-mail and name of a table's rows."""
    file = files.open_parquet(path)
    names = [n for n in ("visitor_key", "email", "name") if n in file.schema_arrow.names]
    if "visitor_key" not in names:
        return
    for batch in file.iter_batches(columns=names):
        columns = {name: batch[name].to_pylist() for name in names}
        empty = [None] * len(batch)
        rows = zip(*(columns.get(n, empty) for n in ("visitor_key", "email", "name")), strict=True)
        yield from (
            (key, (email or "").strip().casefold() or None, name) for key, email, name in rows
        )


def _erase_from_store(store: Store, who: str, person: Person, outputs: Path) -> str:
    removed = store.forget(*sorted({who} | person.keys | person.emails))
    shards.remove(settings.load(), store)
    sessions, visitors = removed["sessions"], removed["visitors"]
    if not sessions + visitors:
        return ""
    place, account = store.folder.parents[1], store.folder.name
    name = account if place == outputs else f"{place.name}/{account}"
    return f"Store {name}: {sessions:,} sessions, {visitors:,} visitor rows removed."


def _erase_from_run(folder: Path, person: Person) -> str:
    named = bool(read_manifest(folder).parameters.get("show_identities"))
    pattern, touched = person.pattern(names=named), []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix == ".parquet":
            hit = _drop_rows(path, person)
        elif path.suffix == ".csv":
            hit = _drop_lines(path, pattern)
        else:  # a workbook or page with the person in it goes whole: its tables stand beside it
            hit = path.name != "run.json" and any(map(pattern.search, _read_texts(path)))
            if hit:
                path.unlink()
                path.with_suffix(".html").unlink(missing_ok=True)
        touched += [path.name] if hit else []
    if not touched:
        return ""
    if read_manifest(folder).account:  # counts made before still hold the person
        record(folder, erased_on=clock.today().isoformat())
    pages = [folder / "report.html", folder / "report.json"]
    if any(page.exists() or page.name in touched for page in pages):
        for page in pages:
            page.unlink(missing_ok=True)
        with suppress(KitError):  # a run without all its data has no report any more
            report.build(folder)
    return f"Run {folder.name}: removed from {', '.join(dict.fromkeys(touched))}."


def _drop_rows(path: Path, person: Person) -> bool:
    """Rewrite a table without the person's rows; whether there were any."""
    table = files.open_parquet(path).read()
    if "visitor_key" not in table.schema.names:
        return False
    keys = pc.cast(table["visitor_key"], pa.string())
    gone = pc.is_in(keys, pa.array(sorted(person.keys), pa.string()))
    if not pc.any(gone).as_py():
        return False
    files.write_parquet(path, table.filter(pc.invert(gone)))
    return True


def _drop_lines(path: Path, pattern: re.Pattern[str]) -> bool:
    """Rewrite a CSV file without the rows that hold the person; whether there were any."""
    text = path.read_text("utf-8", errors="replace")
    if not pattern.search(text):
        return False
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    hit = table.apply(lambda row: any(pattern.search(cell) for cell in row), axis=1)
    private, marked = path.parent.name == "private", text.startswith("\ufeff")
    encoding = "utf-8-sig" if marked else "utf-8"
    files.write_csv(privacy.rearm(table[~hit]), path, private=private, encoding=encoding)
    return True


def _search(outputs: Path, person: Person) -> int:
    """Search every file for keys and e-mails; how many were searched."""
    pattern = person.pattern(names=False)
    paths = [path for path in sorted(outputs.rglob("*")) if path.is_file()]
    searched = [path for path in paths if path.name not in NOT_SEARCHED]
    left = [path for path in searched if any(map(pattern.search, _read_texts(path)))]
    if left:
        names = ", ".join(str(path.relative_to(outputs)) for path in left[:5])
        raise DataError(
            f"erase: the person is still found in {names}.",
            remedy="Delete these files, or the runs they belong to, and run erase again.",
        )
    return len(searched)


def _read_texts(path: Path) -> Iterator[str]:
    """What a file says: the cells of a table, the parts of a workbook, or its bytes as text."""
    try:
        if path.suffix == ".parquet":
            table = files.open_parquet(path).read()
            for column in table.columns:
                if pa.types.is_dictionary(column.type):
                    column = pc.cast(column, column.type.value_type)
                if not pa.types.is_temporal(column.type) and not pa.types.is_primitive(column.type):
                    yield from set(map(str, column.to_pylist()))
        elif path.suffix == ".xlsx":
            with zipfile.ZipFile(path) as book:
                yield from (book.read(name).decode("utf-8", "replace") for name in book.namelist())
        else:
            yield path.read_bytes().decode("utf-8", "replace")
    except (OSError, pa.ArrowException, zipfile.BadZipFile) as error:
        raise DataError(
            f"erase: {path.name} cannot be read ({type(error).__name__}), so nothing can be said "
            "of it.",
            remedy="Delete or mend it, and run erase again.",
        ) from None
