"""The one place that reads what the owner wrote: text in UTF-8, YAML with its lines, settings."""

import io
import os
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream
from pydantic import BaseModel, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.tokens import AliasToken

from helpers.core import privacy
from helpers.core.errors import ParameterError
from helpers.core.parameters import Parameters, suggest

LARGEST_YAML = 256 * 1024  # characters; such a file is a page of text


class Fail:
    """Raises the error of a file, which says where it is wrong."""

    def __init__(self, file: str):
        self.file = file

    def __call__(self, line: int, problem: str, remedy: str | None = None):
        where = f"{self.file}, line {line}" if line else self.file
        raise ParameterError(f"{problem}.", where=where, remedy=remedy)


def read_owner_text(path: Path, what: str) -> str:
    """A text that the owner wrote, such as a clusters file, with line ends as ``\\n``.

    Parameters
    ----------
    what : str
        What it is, for the message: ``"Clusters file"``.

    Raises
    ------
    ParameterError
        It cannot be read, or is not UTF-8 (a byte order mark is fine).
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
    return text


def refuse_leaks(text: str, fail: Fail) -> None:
    """Refuse a text that goes into runs and to Mavera for what the scan of runs would refuse."""
    for number, line in enumerate(text.splitlines(), 1):
        for kind in privacy.leaks_in(line, places=[Path.home()]):
            remedy = "Take it out and run again: a copy of this file goes into the run folder."
            fail(number, f"Here is {kind}", remedy)


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


class Part(BaseModel, frozen=True):
    """Part of a file of the owner: a null counts as unset, a key that may not be there is told."""

    @model_validator(mode="before")
    @classmethod
    def _only_its_keys(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        names = [name for name, field in cls.model_fields.items() if not field.exclude]
        for key in values:
            if key not in names:
                hint = " ".join(filter(None, (suggest(key, names), f"It has: {', '.join(names)}")))
                raise problem(f"unknown key. {hint}", key)
        return {key: value for key, value in values.items() if value is not None}


def problem(said: str, *at: str | int) -> PydanticCustomError:
    """What a validator raises about a value further inside, which keys and indices lead to."""
    return PydanticCustomError("owner", "{said}", {"said": said, "at": at})


def read_part(kind: type[Part], tree: Any, fail: Fail, *, context: Any = None) -> Any:
    """A part of what :func:`read_yaml` gave; what is wrong in it is told by names and line."""
    try:
        return kind.model_validate(_plain(tree), context=context)
    except ValidationError as error:
        first = error.errors()[0]
    line, names, inner = 1, [], tree
    for key in (*first["loc"], *first.get("ctx", {}).get("at", ())):
        if isinstance(inner, CommentedMap) and key in (lines := lines_of(inner)):
            line, inner = lines[key], next(v for k, v in inner.items() if str(k) == key)
        elif isinstance(inner, CommentedSeq):
            line, inner = inner.lc.item(key)[0] + 1, inner[key]
            key = inner.get("name", key) if isinstance(inner, CommentedMap) else key
        if key != "[key]":  # so pydantic calls a name
            names.append(str(key)[:40])
    fail(line, ": ".join([*names, first["msg"].removeprefix("Value error, ")]))


def lines_of(mapping: CommentedMap) -> dict[str, int]:
    """The line that each name of a mapping stands on."""
    return {str(key): mapping.lc.key(key)[0] + 1 for key in mapping}


def _plain(value: Any) -> Any:
    """Plain Python values of what the reader returns."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
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
            fail = Fail(f"Settings file {path.name}")
            fail(line.original.line + blank, "expected NAME=value, or # before it")
    return {line.key: line.value for line in lines if line.key}
