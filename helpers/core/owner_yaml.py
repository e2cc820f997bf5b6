"""YAML files that the owner wrote, refused by file and line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from helpers.core.errors import ParameterError
from helpers.core.parameters import suggest

LARGEST_FILE = 256 * 1024  # characters; such a file is a page of text


class Fail:
    """Raises the error of a file, which says where it is wrong."""

    def __init__(self, file: str):
        self.file = file

    def __call__(self, line: int, problem: str):
        where = f"{self.file}, line {line}" if line else self.file
        raise ParameterError(f"{problem}.", where=where, remedy="Correct it and run again.")


def read_yaml(text: str, fail: Fail) -> Any:
    """What a YAML text holds, with the lines it stands on."""
    if len(text) > LARGEST_FILE:
        fail(0, f"over {LARGEST_FILE // 1024} KB")
    try:
        return YAML(typ="rt").load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "it cannot be read"
        problem = problem.partition(" with value")[0]  # of a key that is there twice
        fail(mark.line + 1 if mark else 0, f"not YAML: {problem}")


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
