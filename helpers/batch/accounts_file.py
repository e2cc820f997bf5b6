"""The accounts file: names, environment files and budgets, refused by account and line."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo as Info

from helpers.core import owner, settings
from helpers.core.errors import AccessError, ParameterError
from helpers.core.parameters import RUN_NAME, Count, Parameters
from helpers.store import rules

TAKEN = {"store", "dev", "sandbox", "index.html", "opt_out.txt", "readme.md", "contract.json"}
"""What an outputs folder holds under these names already."""


def _free(name: str) -> str:
    if name.casefold() in TAKEN or RUN_NAME.match(name):
        raise ValueError("the outputs folder holds something else of this name")
    return name


def _beside(text: Any, info: Info) -> Path:
    """The path of a file that is there, relative to the folder of the accounts file."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError("expected the path of a file")
    path = (info.context / os.path.expanduser(text)).absolute()
    if not os.path.isfile(path):
        raise ValueError(f"there is no file {text}")
    return path


class Account(owner.Part):
    """One account of the file.

    Attributes
    ----------
    line : int
        Where its name stands in the file.
    """

    env_file: Annotated[Path, BeforeValidator(_beside)]
    parameters: Annotated[Path | None, BeforeValidator(_beside)] = None
    max_credits: Count | None = None
    name: str = Field("", exclude=True)
    line: int = Field(0, exclude=True)

    def options(self, given: dict[str, str]) -> dict[str, str]:
        """What wins over its parameter file: the budget, then what the command line gives."""
        budget = {} if self.max_credits is None else {"max_credits": str(self.max_credits)}
        return budget | given

    def values(self, given: dict[str, str]) -> Parameters:
        """All its parameters, checked."""
        file = owner.read_parameter_file(self.parameters) if self.parameters else {}
        return Parameters.check(file | self.options(given))

    @property
    def settings(self) -> settings.Settings:
        """What its environment file says; the environment of this process counts for nothing."""
        return settings.of_file(self.env_file)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"), AfterValidator(_free)]


class Accounts(owner.Part):
    """The file: accounts by name."""

    accounts: Annotated[dict[Name, Account], Field(min_length=1)]


def read(path: Path, given: dict[str, str]) -> list[Account]:
    """Read and check an accounts file.

    Parameters
    ----------
    path : Path
        YAML: ``accounts:`` with a name for each, and under it env_file, parameters, max_credits.
        Paths are relative to the file.
    given : dict
        Parameters of the command line, as text; they win over the file's.

    Raises
    ------
    ParameterError
        The file, or one that it names, is missing or has the wrong form; the message names account
        and line.
    """
    Parameters.check(given)
    fail = owner.Fail(f"Accounts file {path.name}")
    tree = owner.read_yaml(owner.read_owner_text(path, "Accounts file"), fail)
    accounts: list[Account] = []
    read_accounts = owner.read_part(Accounts, tree, fail, context=path.parent).accounts
    for name, line in owner.lines_of(tree["accounts"]).items():
        if name.casefold() in (other.name.casefold() for other in accounts):
            fail(line, f"account {name}: the name is there twice, whatever its case")
        accounts.append(read_accounts[name].model_copy(update={"name": name, "line": line}))
    _check_together(accounts, given, fail)
    return accounts


def _check_together(accounts: list[Account], given: dict[str, str], fail: owner.Fail) -> None:
    """Parameters, environment and rules of each; personas are found by name at a Mavera key."""
    users: dict[tuple, str] = {}
    for account in accounts:
        try:
            values, own = account.values(given), account.settings
            prefix = rules.load(values.clusters_file).name_prefix
        except (ParameterError, AccessError) as error:
            fail(account.line, f"account {account.name}: {str(error).rstrip('.')}", "")
        if not own.mavera_api_key or values.source == "sandbox":
            continue
        key = (own.mavera_base_url, own.mavera_api_key, prefix)
        if key in users:
            told = f"account {account.name} has the Mavera key of account {users[key]}, where "
            told += "personas are found by name. Give each its own key, or a clusters file "
            fail(account.line, told + "with its own name_prefix")
        users[key] = account.name
