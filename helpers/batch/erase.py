"""Delete a person: in the stores, in every run's tables, private lists, notebooks and pages.

A person is a set of visitor_keys and e-mails: whoever is named by one of them is found by all that
stand in one row with it. At the end every file of the outputs folder is searched.
"""

import codecs
import html
import json
import re
import shlex
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa

from helpers.batch import summary
from helpers.core import clock, files, privacy, settings
from helpers.core.errors import DataError, KitError, ParameterError
from helpers.core.folders import REPORTED_AFTER, read_manifest, record, refuse_links
from helpers.findings.counts import count_people
from helpers.report import report
from helpers.store import shards
from helpers.store.store import Store

DOMAIN = re.compile(r"@.*|[\w-]+(\.[\w-]+)*\.[a-z]{2,}", re.I)
SHORTEST_NAME = 4  # characters; a shorter name is found in ordinary words
IDENTITY = ["visitor_key", "email", "name"]
NOT_SEARCHED = {"README.md", "erased.key", "opt_out.txt"}
"""The kit's own text, the secret of the hashes, and the owner's own list."""


@dataclass
class Person:
    """Whatever stands for a person in these files; e-mails are case-folded."""

    keys: set[str] = field(default_factory=set)
    emails: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)

    def pattern(self, *, names: bool = False) -> re.Pattern[str]:
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
        No person is named, or a link leads out of the outputs folder.
    LockError
        A run is in progress on one of the accounts.
    DataError
        The search still finds the person somewhere, or a file cannot be read.
    """
    who, expected = who.strip(), "an e-mail or a visitor_key; a name may be many people's"
    if not who or " " in who:
        raise ParameterError("erase: no person is named.", expected=expected)
    outputs = settings.load().outputs
    refuse_links(outputs)
    stores = [Store(path) for path in _find(outputs, "store/*/")]
    folders = [path.parent for path in _find(outputs, "*/run.json")]
    with ExitStack() as locks:
        for store in stores:
            locks.enter_context(store.lock())
        _remove_leftovers(outputs)
        person = _identify(who, stores, folders)
        if DOMAIN.fullmatch(who) and not person.keys:
            remedy = "To keep a whole domain off the lists, write it into opt_out.txt."
            what = f"erase: {who} is a domain, not a person."
            raise ParameterError(what, expected=expected, remedy=remedy)
        removed = [_erase_from_store(store, who, person, outputs) for store in stores]
        removed += [_erase_from_run(folder, person) for folder in folders]
        facts = {"removed": list(filter(None, removed)), "searched": _search(outputs, person)}
    take_back = settings.command(f"erase --forget-request {shlex.quote(who)}", outputs)
    return summary.render("erased", stores=stores, outputs=outputs, take_back=take_back, **facts)


def forget_request(who: str) -> list[str]:
    """Take a mistaken request back: the person may be fetched again.

    Returns
    -------
    list of str
        What was done, for the reader.
    """
    taken_back = 0
    for store in map(Store, _find(settings.load().outputs, "store/*/")):
        with store.lock():
            taken_back += store.erased.remove(who)
    if taken_back:
        return ["The request is taken back: the next fetch takes the person in again."]
    return ["There is no such request in the stores of this folder."]


def _find(outputs: Path, form: str) -> list[Path]:
    """Paths in the folder, and in those of accounts that have an outputs folder of their own."""
    return [path for place in ("", "*/") for path in sorted(outputs.glob(place + form))]


def _remove_leftovers(outputs: Path) -> None:
    """What a killed process left half-written; the locks are held, so nobody writes it now."""
    for spill in outputs.rglob(".spill"):
        shutil.rmtree(spill)
    for path in outputs.rglob(".*.tmp"):
        path.unlink()


def _identify(who: str, stores: list[Store], folders: list[Path]) -> Person:
    """All keys, e-mails and names of the person: who shares a row with one of them is the same."""
    tables = [path for folder in folders for path in sorted(folder.glob("data/*.parquet"))]
    tables += [store.visitors_path for store in stores if store.visitors_path.is_file()]
    rows = pd.concat([pd.DataFrame(columns=IDENTITY, dtype=str), *map(_people, tables)])
    person = Person(emails={who.casefold()} if "@" in who else set())
    wanted, before = {who}, set()
    while wanted != before:  # until nothing found leads further
        before = wanted
        for store in stores:
            keys, emails = store.identify(*wanted)
            person.keys |= keys
            person.emails |= emails
        same = rows[rows["visitor_key"].isin(wanted) | rows["email"].isin(person.emails)]
        person.keys |= set(same["visitor_key"])
        person.emails |= {email for email in same["email"].dropna() if "@" in email}
        person.names |= set(same["name"].dropna())
        wanted = {who} | person.keys | person.emails
    return person


def _people(path: Path) -> pd.DataFrame:
    """visitor_key, case-folded e-mail and name of a table's rows; none where it has no keys."""
    rows = files.read_parquet(path, columns=IDENTITY).to_pandas()
    rows = rows.reindex(columns=IDENTITY).astype("str")
    rows = rows.dropna(subset="visitor_key").drop_duplicates()
    return rows.assign(email=rows["email"].str.strip().str.casefold())


def _erase_from_store(store: Store, who: str, person: Person, outputs: Path) -> str:
    removed = store.forget(*sorted({who} | person.keys | person.emails))
    shards.remove(settings.load(), store)
    if not removed["sessions"] + removed["visitors"]:
        return ""
    sessions = count_people(removed["sessions"], "session")
    visitors = count_people(removed["visitors"], "visitor row")
    return f"{store.folder.relative_to(outputs).as_posix()}: {sessions}, {visitors} removed."


def _erase_from_run(folder: Path, person: Person) -> str:
    manifest = read_manifest(folder)
    named = bool(manifest.parameters.get("show_identities"))
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    touched = [path.name for path in paths if _erase_from_file(path, person, named)]
    if not touched:
        return ""
    if manifest.account:  # counts made before still hold the person
        record(folder, erased_on=clock.today().isoformat())
    for name in ("report.html", "report.json"):  # its numbers differ now, whomever it names
        (folder / name).unlink(missing_ok=True)
    told = f"Run {folder.name}: removed from {', '.join(dict.fromkeys(touched))}."
    with suppress(KitError):  # a run without all its data has no report any more
        if manifest.is_done(REPORTED_AFTER):
            report.build(folder)
            told += " The report is made anew."
    return told


def _erase_from_file(path: Path, person: Person, named: bool) -> bool:
    """Rewrite a table without the person's rows; any other file goes whole, with its page."""
    is_table = path.suffix in (".parquet", ".csv")
    pattern = person.pattern(names=named and not is_table)
    if path.name == "run.json" or not any(map(pattern.search, _read_texts(path))):
        return False
    if path.suffix == ".parquet":
        table = files.read_parquet(path)
        files.write_parquet(path, table.filter(pa.array(~_rows_of(table.to_pandas(), pattern))))
    elif path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        kept = privacy.rearm(table[~_rows_of(table, pattern)])
        marked = path.read_bytes().startswith(codecs.BOM_UTF8)
        files.write_csv(kept, path, encoding="utf-8-sig" if marked else "utf-8")
    else:
        path.unlink()
        path.with_suffix(".html").unlink(missing_ok=True)
    return True


def _texts_of(table: pd.DataFrame) -> pd.DataFrame:
    texts = table.select_dtypes(exclude=["number", "bool", "datetime", "datetimetz"])
    return texts.astype(str).fillna("")


def _rows_of(table: pd.DataFrame, pattern: re.Pattern[str]) -> pd.Series:
    """Which rows of a table hold the person."""
    return _texts_of(table).apply(lambda column: column.str.contains(pattern)).any(axis=1)


def _search(outputs: Path, person: Person) -> int:
    """Search every file for keys and e-mails; how many were searched."""
    pattern = person.pattern()
    paths = [path for path in sorted(outputs.rglob("*")) if path.is_file()]
    searched = [path for path in paths if path.name not in NOT_SEARCHED]
    left = [path for path in searched if any(map(pattern.search, _read_texts(path)))]
    if left:
        names = ", ".join(str(path.relative_to(outputs)) for path in left[:5])
        remedy = "Delete these files, or the runs they belong to, and run erase again."
        raise DataError(f"erase: the person is still found in {names}.", remedy=remedy)
    return len(searched)


def _read_texts(path: Path) -> Iterator[str]:
    """What a file says: the texts of a table, or what is written in it, archives unpacked."""
    try:
        if path.suffix == ".parquet":
            for _, column in _texts_of(files.open_parquet(path).read().to_pandas()).items():
                yield from column.unique()
        elif path.suffix == ".xlsx" and not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile
        else:
            yield from privacy.read_texts(path)
    except (OSError, pa.ArrowException, zipfile.BadZipFile) as error:
        what = f"erase: {path.name} cannot be read ({type(error).__name__}), so it may name them."
        raise DataError(what, remedy="Delete or mend it, and run erase again.") from None
