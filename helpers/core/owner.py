"""The one place that reads what the owner wrote: text in UTF-8, YAML with its lines, settings."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.tokens import AliasToken

from helpers.core import privacy
from helpers.core.errors import ParameterError
from helpers.core.parameters import Parameters, suggest

LARGEST_YAML = 256 * 1024  # characters; such a file is a page of text


class Fail:
    """Raises the error of a file, which says where it is wrong."""

    def __init__(self, file: str):
        self.file = file

    def __call__(self, line: int, problem: str, remedy: str = "Correct it and run again."):
        where = f"{self.file}, line {line}" if line else self.file
        raise ParameterError(f"{problem}.", where=where, remedy=remedy)


def read_owner_text(path: Path, what: str, *, is_copied: bool = False) -> str:
    """A text that the owner wrote, such as a clusters file, with line ends as ``\\n``.

    Parameters
    ----------
    what : str
        What it is, for the message: ``"Clusters file"``.
    is_copied : bool
        A copy goes into run folders, where no e-mail address and no path may stand.

    Raises
    ------
    ParameterError
        It cannot be read, or is not UTF-8 (a byte order mark is fine), or holds what the scan of
        run folders would refuse.
    """
    fail = Fail(f"{what} {path.name}")
    try:
        text = path.read_text("utf-8-sig")
        reason = "not plain text" if "\0" in text else ""  # half of what UTF-16 is read as
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError:  # no text, or no path
        reason = "not UTF-8"
    if reason:
        fail(0, f"{reason}. Expected a text file in UTF-8", "Correct it or its path and run again.")
    for number, line in enumerate(text.splitlines() if is_copied else (), 1):
        for kind in privacy.leaks_in(line, places=[Path.home()]):
            remedy = "Take it out and run again: a copy of this file goes into the run folder."
            fail(number, f"Here is {kind}", remedy)
    return text


def read_yaml(text: str, fail: Fail, *, as_text: bool = False) -> Any:
    """What a YAML text holds, with the lines it stands on.

    Parameters
    ----------
    as_text : bool
        Every scalar stays text, so that no id becomes a number.

    Raises
    ------
    ParameterError
        It is no YAML, or over 256 KB.
    """
    if len(text) > LARGEST_YAML:
        fail(0, f"over {LARGEST_YAML // 1024} KB")
    yaml = YAML(typ="base", pure=True) if as_text else YAML()
    try:
        alias = next((token for token in yaml.scan(text) if isinstance(token, AliasToken)), None)
        content = None if alias else yaml.load(text)
    except Exception as error:  # ruamel raises nearly every kind
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "it cannot be read"
        problem = problem.partition(" with value")[0]  # of a key that is there twice
        fail(mark.line + 1 if mark else 0, f"not YAML: {problem}")
    if alias:
        fail(alias.start_mark.line + 1, "an alias such as *name is not read")
    return content


def read_parameter_file(path: Path) -> dict[str, Any]:
    """Parameters from a YAML file, every scalar as text, for an id is no number.

    Raises
    ------
    ParameterError
        The file is missing, is no YAML of names and values, or one of them is wrong.
    """
    fail = Fail(f"Parameter file {path.name}")
    content = read_yaml(read_owner_text(path, "Parameter file"), fail, as_text=True)
    if not isinstance(content, dict):
        fail(0, "expected YAML lines `name: value`")
    Parameters.check(content, where=fail.file)
    return dict(content)


def check_keys(mapping: CommentedMap, allowed: Iterable[str], fail: Fail, what: str) -> None:
    """Refuse a key that may not be there, with the nearest of those that may."""
    names = list(allowed)
    for key in mapping:
        if key not in names:
            hint = " ".join(filter(None, (suggest(str(key), names), f"It has: {', '.join(names)}")))
            line = mapping.lc.key(key)[0] + 1
            fail(line, f"{what} has an unknown key {str(key)[:40]!r}. {hint}")


def plain(value: Any) -> Any:
    """Plain Python values of what the reader returns."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def read_settings_file(path: Path) -> dict[str, str]:
    """Names and values of an environment file; none where there is no such file.

    Raises
    ------
    ParameterError
        It cannot be read, or a line of it sets nothing.
    """
    text = read_owner_text(path, "Settings file") if os.path.lexists(path) else ""
    lines = list(parse_stream(io.StringIO(text)))
    for line in lines:
        if line.error or (line.key and line.value is None):
            wrong = line.original.string
            blank = wrong[: len(wrong) - len(wrong.lstrip())].count("\n")
            problem = "This is no setting. Expected NAME=value"
            fail = Fail(f"Settings file {path.name}")
            fail(line.original.line + blank, problem, "Correct the line, or begin it with #.")
    return {line.key: line.value for line in lines if line.key}
