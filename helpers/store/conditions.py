"""Conditions (``when:``): viewers columns against numbers, columns and multiples of columns."""

import re
from collections.abc import Iterator
from functools import cache

import duckdb

from helpers.core import files
from helpers.core.parameters import suggest
from helpers.store.schema import SQL_TYPES, VIEWERS

COLUMNS = {field.name: SQL_TYPES[field.type] for field in VIEWERS}
"""Columns that a condition may compare, with their types."""
WORDS = {"AND", "OR", "NOT", "IN", "BETWEEN", "IS", "NULL", "TRUE", "FALSE"}
FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
DECIMALS = 9
"""Means are compared rounded: a mean of four exact values at 50 comes out as 49.99999999999999."""
ALLOWED = files.read_package_yaml("store/words.yml")["condition"]

# The parts of a condition whose words and signs stand one blank apart, as check() gives it.
START = r"(?<![^ (])"  # without it, and with two ways to read a number, long ones take minutes
NUMBER = r"-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,2})?"
TEXT = r"'(?:[^']|'')*+'"
SIGN = r"(?:<=|>=|<>|=|<|>)"
COLUMN = rf"\b(?:{'|'.join(COLUMNS)})\b"
VALUE = rf"(?:{NUMBER}|{TEXT}|\bTRUE\b|\bFALSE\b)"
MEASURE = rf"{START}(?:{COLUMN}(?: \* {NUMBER})?|{NUMBER} \* {COLUMN})"
OPERAND = rf"(?:{MEASURE}|{VALUE})"
RANGE = rf"(?:NOT )?BETWEEN ({OPERAND}) AND ({OPERAND})"
COMPARISON = re.compile(
    rf"{START}(?:{MEASURE} {SIGN} {OPERAND}|{VALUE} {SIGN} {MEASURE}|{MEASURE} {RANGE}"
    rf"|{COLUMN} (?:NOT )?IN \({VALUE}(?:, {VALUE})*\)|{COLUMN} IS (?:NOT )?NULL|identified\b)"
)
COLUMN_FIRST = re.compile(rf"({COLUMN}) ({SIGN}) ({NUMBER})")
NUMBER_FIRST = re.compile(rf"({NUMBER}) ({SIGN}) ({COLUMN})")
RANGED = re.compile(rf"({COLUMN}) {RANGE}")
TOKEN = re.compile(
    rf"(?P<value>{TEXT}|{NUMBER})|(?P<word>[^\W\d]\w*)|(?P<sign><=|>=|<>|!=|==|[<>=()*,])"
    r"|--[^\n]*|/\*.*?\*/|\s+|(?P<other>.)",
    re.DOTALL,
)


def check(text: str) -> str:
    """A condition as SQL, once every part of it was found to be allowed.

    Raises
    ------
    ValueError
        It is more or less than comparisons.
    """
    tokens = []
    for token in TOKEN.finditer(text):
        if token["other"]:
            raise ValueError(f"{token[0]!r} is not allowed. Allowed are {ALLOWED}")
        sign = token["sign"] and {"==": "=", "!=": "<>"}.get(token[0], token[0])
        tokens += filter(None, [token["value"] or sign or (token["word"] and _word(token[0]))])
    condition = re.sub(rf"({TEXT})|(?<=\() | (?=[),])", r"\1", " ".join(tokens))
    joined = COMPARISON.sub("X", condition)
    if "X" not in joined or not re.fullmatch(r"(?:X|AND|OR|NOT|[ )]|\((?!\)))*", joined):
        raise ValueError(f"{text[:80]!r} is no comparison. Expected {ALLOWED}")
    try:  # a number against a word is told before stage 03, also behind an OR
        parts = ", ".join(part[0] for part in COMPARISON.finditer(condition))
        whole = f"CASE WHEN {condition} THEN 1 END"  # as it is run: a stray word is no alias
        _one_viewer().execute(f"SELECT {parts}, {whole} FROM viewer").fetchall()
    except duckdb.Error as error:
        raise ValueError(f"{condition[:80]}: {str(error).splitlines()[0][:160]}") from None
    return condition


def _word(word: str) -> str:
    if word.upper() in WORDS:
        return word.upper()
    name = word.lower()
    if name in ("name", "email"):
        raise ValueError(f"column {name} says who a viewer is, and a rule may not use it")
    if name not in COLUMNS:
        hint = f"{suggest(name, list(COLUMNS))} Columns are: {', '.join(COLUMNS)}"
        raise ValueError(f"{word[:60]!r} is no column. Allowed are {ALLOWED}. {hint.strip()}")
    return name


def rounded(condition: str) -> str:
    """The condition as it is run: its means, and multiples of them, are rounded."""

    def with_rounding(part: re.Match) -> str:
        is_mean = any(COLUMNS.get(word) == "DOUBLE" for word in (part["measure"] or "").split())
        return f"round({part[0]}, {DECIMALS})" if is_mean else part[0]

    return re.sub(f"{TEXT}|(?P<measure>{MEASURE})", with_rounding, condition)


def thresholds(condition: str) -> list[tuple[str, str, float]]:
    """(column, comparison, number) of each comparison of a column with a number."""
    limits = _limits(condition)
    return [(name, sign, float(condition[slice(*place)])) for name, sign, place in limits]


def move(condition: str, column: str, value: float, was: float | None = None) -> str:
    """The condition with the thresholds on a column, or only that of a value, moved."""
    for name, _, (start, end) in reversed([*_limits(condition)]):
        if name == column and was in (None, float(condition[start:end])):
            condition = f"{condition[:start]}{value:.12g}{condition[end:]}"
    return condition


def _limits(condition: str) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Column, comparison, and where the number stands."""
    for found in COMPARISON.finditer(condition):
        if parts := COLUMN_FIRST.fullmatch(condition, *found.span()):
            yield parts[1], parts[2], parts.span(3)
        elif parts := NUMBER_FIRST.fullmatch(condition, *found.span()):
            yield parts[3], FLIPPED[parts[2]], parts.span(1)
        elif parts := RANGED.fullmatch(condition, *found.span()):
            for sign, side in ((">=", 2), ("<=", 3)):
                if re.fullmatch(NUMBER, parts[side]):
                    yield parts[1], sign, parts.span(side)


@cache
def _one_viewer() -> duckdb.DuckDBPyConnection:
    """One viewer with a value in every column, to try conditions on."""
    value = {"VARCHAR": "''", "BOOLEAN": "false", "TIMESTAMPTZ": "now()"}
    columns = ", ".join(f"{value.get(kind, 0)}::{kind} AS {name}" for name, kind in COLUMNS.items())
    return duckdb.connect().execute(f"CREATE TABLE viewer AS SELECT {columns}")
