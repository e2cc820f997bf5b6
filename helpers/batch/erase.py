"""Forget a person: in the store, in every run's tables, private lists, notebooks and pages."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from helpers.core import clock, files, settings
from helpers.core.errors import DataError, KitError, ParameterError
from helpers.core.folders import read_manifest, record
from helpers.findings.opt_out import OPT_OUT
from helpers.report import report
from helpers.store import shards
from helpers.store.store import Store

DOMAIN = re.compile(r"@.*|[\w-]+(\.[\w-]+)*\.[a-z]{2,}", re.I)
SHORTEST_NAME = 4  # characters; a shorter name is found in ordinary words
REMAINS = (
    "What stays: a keyed hash, by which the next fetch knows whom not to bring back. It cannot be "
    "read back; whoever has the store can test an address against it.",
    "Wistia's own copy stays at Wistia: delete the viewer there too, in the account's audience.",
)


NO_STORE = "There is no store here that could keep a hash of them: a new fetch may bring them back."


@dataclass
class Person:
    """Whatever stands for a person in these files."""

    keys: set[str] = field(default_factory=set)
    emails: set[str] = field(default_factory=set)  # casefolded
    names: set[str] = field(default_factory=set)

    def matcher(self, *, names: bool) -> re.Pattern:
        """Finds the person in text, HTML or JSON, whatever the case of an e-mail."""
        exact = self.keys | ({n for n in self.names if len(n) >= SHORTEST_NAME} if names else set())
        forms = {re.escape(form) for text in exact for form in _written(text)}
        forms |= {f"(?i:{re.escape(form)})" for text in self.emails for form in _written(text)}
        alone = rf"(?<![\w.+-])(?:{'|'.join(sorted(forms))})(?![\w-])"  # no part of another key
        return re.compile(alone if forms else r"(?!)")


def _written(text: str) -> set[str]:
    """A text as it stands, in HTML, in JSON and in an address."""
    return {text, html.escape(text), json.dumps(text)[1:-1], text.replace("@", "%40")}


def erase(who: str) -> list[str]:
    """Delete a person everywhere under the outputs folder, and prove it by a search.

    Parameters
    ----------
    who : str
        E-mail (then all visitor_keys that ever bore it) or visitor_key.

    Returns
    -------
    list of str
        What was removed and what stays, for the reader.

    Raises
    ------
    ParameterError
        Nobody is named.
    LockError
        A run works on one of the accounts.
    DataError
        The search still finds the person somewhere.
    """
    who = who.strip()
    if not who or " " in who:
        raise ParameterError(
            "erase: nobody is named. Give an e-mail or a visitor_key; a name may be many people's."
        )
    here = settings.load()
    outputs = here.outputs
    # an account that has an outputs folder of its own, in this one, is searched with it
    stores = [Store(f) for form in ("", "*/") for f in sorted(outputs.glob(f"{form}store/*/"))]
    runs = [path for form in ("", "*/") for path in sorted(outputs.glob(f"{form}*/run.json"))]
    folders = [path.parent for path in runs]
    with ExitStack() as locks:
        for store in stores:
            locks.enter_context(store.lock())
        person = _identify(who, stores, folders)
        if DOMAIN.fullmatch(who) and not person.keys:
            raise ParameterError(
                f"erase: {who} is a domain, not a person. Give an e-mail or a visitor_key; to keep "
                "a whole domain off the lists, write it into opt_out.txt."
            )
        said = [_from_store(store, who, person, outputs) for store in stores]
        for store in stores:
            shards.remove(here, store)
        said += [_from_run(folder, person) for folder in folders]
        searched = _prove(outputs, person)
    found = [line for line in said if line]
    if not stores and not found:
        return [
            f"{outputs.name}/ has no store, so there is nobody to forget and nothing is kept of "
            "whom. Name the folder you mean with --outputs."
        ]
    if not found:
        return [
            f"Nothing is stored in {outputs.name}/ of an e-mail or visitor_key spelt like this. "
            "Check the spelling, and --outputs if you work in several folders. It is kept as a "
            "keyed hash all the same, so that no fetch takes it in."
        ]
    remains = REMAINS if stores else (NO_STORE, *REMAINS[1:])
    return [*found, f"A search of {searched:,} files finds nothing of them any more.", *remains]


def forget_request(who: str) -> list[str]:
    """Take a mistaken request back: the person may be fetched again.

    Returns
    -------
    list of str
        What was done, for the reader.
    """
    outputs = settings.load().outputs
    stores = [Store(folder) for form in ("", "*/") for folder in outputs.glob(f"{form}store/*/")]
    taken_back = 0
    for store in stores:
        with store.lock():
            taken_back += store.remember(who.strip())
    if not taken_back:
        return ["There is no such request in the stores of this folder."]
    return ["The request is taken back: the next fetch takes the person in again."]


def _identify(who: str, stores: list[Store], folders: list[Path]) -> Person:
    """All keys, e-mails and names of the person, from every table that has them.

    A key that no table has is nobody's: it is not searched for, as any word might be one.
    """
    wanted = who.casefold()
    person = Person(emails={wanted} if "@" in who else set())
    tables = [path for folder in folders for path in sorted(folder.glob("data/*.parquet"))]
    for store in stores:
        person.keys |= store.keys_of(who)
    for path in tables:
        for key, email, _ in _people(path):
            if key == who or wanted == (email or "").casefold():
                person.keys.add(key)
    for path in [*tables, *(store.visitors_path for store in stores)]:
        person.names |= {name for key, _, name in _people(path) if key in person.keys and name}
    return person


def _people(path: Path) -> Iterator[tuple[str, str | None, str | None]]:
    """visitor_key, e-mail and name of a table's rows; nothing where it has no visitor_key."""
    if not path.is_file():
        return
    file = pq.ParquetFile(path)
    names = ("visitor_key", "email", "name")
    if "visitor_key" not in file.schema_arrow.names:
        return
    for batch in file.iter_batches(columns=[n for n in names if n in file.schema_arrow.names]):
        columns = {name: batch[name].to_pylist() for name in batch.schema.names}
        empty = [None] * len(batch)
        yield from zip(*(columns.get(name, empty) for name in names), strict=True)


def _from_store(store: Store, who: str, person: Person, outputs: Path) -> str:
    removed = store.forget(who)
    for key in person.keys - {who}:  # of tables of runs older than the store's retention
        more = store.forget(key)
        removed = {name: removed[name] + more[name] for name in removed}
    if not removed["sessions"] + removed["visitors"]:
        return ""
    return (
        f"Store {_named(store, outputs)}: {removed['sessions']:,} sessions and "
        f"{removed['visitors']:,} visitor rows removed."
    )


def _named(store: Store, outputs: Path) -> str:
    """Its account, and before it the folder of that account among several."""
    folder = store.folder.parents[1]
    return store.folder.name if folder == outputs else f"{folder.name}/{store.folder.name}"


def _from_run(folder: Path, person: Person) -> str:
    shown = bool(read_manifest(folder).parameters.get("show_identities"))
    pattern = person.matcher(names=shown)
    touched = [path.name for path in sorted(folder.glob("data/*.parquet")) if _drop(path, person)]
    for path in sorted(folder.glob("private/companies.csv")):
        if person.keys and _drop_companies(
            path, {email.rpartition("@")[2] for email in person.emails}
        ):
            touched.append(path.name)
    for path in sorted(folder.rglob("*.csv")):
        if pattern.search(path.read_text("utf-8", "replace")):
            _drop_lines(path, pattern)
            touched.append(path.name)
    rebuilt = False
    for path in sorted(folder.rglob("*")):
        if path.suffix not in _TEXTS or not pattern.search(path.read_text("utf-8", "replace")):
            continue
        touched.append(path.name)
        if path.stem == "report":
            rebuilt = True
        else:
            path.unlink()
            path.with_suffix(".html").unlink(missing_ok=True)
    if touched and read_manifest(folder).account:  # counts made before hold the person still
        record(folder, erased_on=clock.today().isoformat())
    had_report = (folder / "report.html").is_file()
    if rebuilt:
        for name in ("report.html", "report.json"):
            (folder / name).unlink(missing_ok=True)
    if rebuilt or (touched and had_report):  # it says that people were erased, and when
        with suppress(KitError):  # a run without all its data has no report any more
            report.build(folder)
    return f"Run {folder.name}: removed from {', '.join(touched)}." if touched else ""


_TEXTS = {".html", ".ipynb", ".json", ".log", ".txt"}


def _drop(path: Path, person: Person) -> bool:
    """Rewrite a table without the person's rows; whether there were any."""
    table = files.open_parquet(path).read()  # read_table takes day=01 in a path for a column
    if "visitor_key" not in table.schema.names:
        return False
    gone = pc.is_in(table["visitor_key"], pa.array(sorted(person.keys), pa.string()))
    if not pc.any(gone).as_py():
        return False
    staged = path.with_suffix(".tmp")
    pq.write_table(table.filter(pc.invert(gone)), staged)
    staged.replace(path)
    return True


def _drop_companies(path: Path, domains: set[str]) -> bool:
    """Rewrite the list of companies without those of the person's e-mails: it counts them in."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    hit = table["Domain"].str.casefold().isin(domains)
    if hit.any():
        files.write_csv(table[~hit], path, private=True)
    return bool(hit.any())


def _drop_lines(path: Path, pattern: re.Pattern) -> None:
    """Rewrite a CSV file without the rows that hold the person."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    hit = table.apply(lambda row: any(pattern.search(cell) for cell in row), axis=1)
    files.write_csv(table[~hit], path, private=path.parent.name == "private")


def _prove(outputs: Path, person: Person) -> int:
    """Search every file for keys and e-mails; how many were searched."""
    pattern = person.matcher(names=False)
    left, searched = [], 0
    for path in sorted(outputs.rglob("*")):
        if not path.is_file() or path.name in ("README.md", "erased.key", OPT_OUT):
            continue
        searched += 1
        if any(pattern.search(text) for text in _texts(path)):
            left.append(str(path.relative_to(outputs)))
    if left:
        raise DataError(
            f"erase: the person is still found in {', '.join(left[:5])}. Delete these files, or "
            "the runs they belong to, and run erase again."
        )
    return searched


def _texts(path: Path) -> Iterable[str]:
    """What a file says: the cells of a table, or its bytes as text."""
    if path.suffix != ".parquet":
        return [path.read_bytes().decode("utf-8", "replace")]
    table = files.open_parquet(path).read()
    texts = [
        name for name in table.schema.names if pa.types.is_string(table.schema.field(name).type)
    ]
    return (value for name in texts for value in table[name].unique().to_pylist() if value)
