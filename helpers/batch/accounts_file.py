"""The accounts file: names, environment files and budgets, refused by account and line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap

from helpers.core import settings
from helpers.core.errors import AccessError, ParameterError
from helpers.core.owner import Fail, check_keys, read_owner_text, read_parameter_file, read_yaml
from helpers.core.parameters import RUN_NAME, Parameters
from helpers.store import rules

KEYS = ("env_file", "parameters", "max_credits")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
TAKEN = {"store", "dev", "sandbox", "index.html", "opt_out.txt", "readme.md", "contract.json"}
"""What an outputs folder holds under these names already."""


@dataclass(frozen=True)
class Account:
    """One account of the file.

    Attributes
    ----------
    line : int
        Where its name stands in the file.
    options : dict
        Parameters that win over those of its parameter file, as text.
    values : dict
        All its parameters, typed.
    named : bool
        Whether its environment file names it otherwise.
    keys : frozenset
        Service, address and key of what is live: accounts that share one take turns.
    """

    name: str
    line: int
    env_file: Path
    parameters: Path | None
    options: dict[str, str]
    values: Parameters = field(repr=False)
    named: bool = False
    keys: frozenset = field(default=frozenset(), repr=False)


def read(path: Path, given: dict[str, str] | None = None) -> list[Account]:
    """Read and check an accounts file.

    Parameters
    ----------
    path : Path
        YAML: ``accounts:`` with a name for each, and under it env_file, parameters, max_credits.
        Paths are relative to the file.
    given : dict, optional
        Parameters of the command line, as text; they win over the file's.

    Raises
    ------
    ParameterError
        The file, or one that it names, is missing or has the wrong form; the message names account
        and line.
    """
    given = dict(given or {})
    Parameters.check(given)
    fail = Fail(f"Accounts file {path.name}")
    tree = read_yaml(read_owner_text(path, "Accounts file"), fail)
    if isinstance(tree, CommentedMap):
        check_keys(tree, ("accounts",), fail, "the file")
    rows = tree.get("accounts") if isinstance(tree, CommentedMap) else None
    if not isinstance(rows, CommentedMap) or not rows:
        fail(1, "expected names of accounts under `accounts:`")
    found: list[Account] = []
    for name, row in rows.items():
        line = rows.lc.key(name)[0] + 1
        _refuse_name(name, line, [known.name for known in found], fail)
        found.append(_account(name, row, line, path.parent, given, fail))
    _refuse_shared_personas(found, fail)
    return found


def _refuse_name(name: Any, line: int, known: list[str], fail: Fail) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        fail(line, f"account {str(name)[:70]!r}: expected letters, digits, '.', '_' and '-' only, "
                   "at most 64")  # fmt: skip
    if name.casefold() in TAKEN or RUN_NAME.match(name):
        fail(line, f"account {name}: the outputs folder holds something else of this name")
    if name.casefold() in (other.casefold() for other in known):
        fail(line, f"account {name}: the name is there twice, and a folder may not tell its case")


def _account(
    name: str, row: Any, line: int, folder: Path, given: dict[str, str], fail: Fail
) -> Account:
    if not isinstance(row, CommentedMap):
        fail(line, f"account {name}: expected env_file, such as {{env_file: {name}.env}}")
    check_keys(row, KEYS, fail, f"account {name}")

    def place(key: str) -> Path | None:
        if key not in row:
            return None
        where = row.lc.key(key)[0] + 1
        if not isinstance(row[key], str) or not row[key].strip():
            fail(where, f"account {name}: {key}: expected the path of a file")
        found = (folder / Path(row[key]).expanduser()).absolute()
        if not found.is_file():
            fail(where, f"account {name}: {key}: there is no file {row[key]}")
        return found

    env_file, file = place("env_file"), place("parameters")
    if env_file is None:
        fail(line, f"account {name}: env_file is missing, the file with its keys")
    options = {}
    if "max_credits" in row:
        options["max_credits"] = str(row["max_credits"])
        if not re.fullmatch(r"\d{1,15}", options["max_credits"], re.ASCII):
            where = row.lc.key("max_credits")[0] + 1
            fail(where, f"account {name}: max_credits: expected a number of 0 or more")
    try:
        read = {**(read_parameter_file(file) if file else {}), **options, **given}
        values = Parameters.check(read)
        own = _own(env_file, values)
    except (ParameterError, AccessError) as error:
        fail(line, f"account {name}: {str(error).rstrip('.')}")
    return Account(name, line, env_file, file, {**options, **given}, values, *own)


def _own(env_file: Path, values: Parameters) -> tuple[bool, frozenset]:
    """Whether the file names its account, and the live keys that it holds."""
    known = settings.of_file(env_file)
    pairs = {
        ("Wistia", known.wistia_base_url or settings.WISTIA_BASE_URL, known.wistia_api_token),
        ("Mavera", known.mavera_base_url or settings.MAVERA_BASE_URL, known.mavera_api_key),
    }
    live = {pair for pair in pairs if pair[2] and values.source != "sandbox"}
    return "account" in known.model_fields_set, frozenset(live)


def _refuse_shared_personas(accounts: list[Account], fail: Fail) -> None:
    """Personas of one Mavera key are found by name: two accounts need two prefixes."""
    shared: dict[Any, list[Account]] = {}
    for account in accounts:
        for key in account.keys:
            if key[0] == "Mavera":
                shared.setdefault(key, []).append(account)
    for users in (users for users in shared.values() if len(users) > 1):
        prefixes: dict[str, str] = {}
        for account in users:
            try:
                prefix = rules.load(account.values.clusters_file).name_prefix
            except ParameterError as error:
                fail(account.line, f"account {account.name}: {str(error).rstrip('.')}")
            if prefix in prefixes:
                fail(account.line, f"account {account.name} has the Mavera key of account "
                     f"{prefixes[prefix]}, where personas are found by name, so that one would get "
                     "the other's. Give each its own key, or a clusters file with its own "
                     "name_prefix")  # fmt: skip
            prefixes[prefix] = account.name
