"""Conditions of a clusters file (``when:``): comparisons of viewers columns, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import duckdb
import sqlglot
from sqlglot import exp

from helpers.core.parameters import suggest

COLUMNS = {
    "visitor_key": "VARCHAR", "identified": "BOOLEAN", "location": "VARCHAR", "country": "VARCHAR",
    "video_count": "BIGINT", "session_count": "BIGINT", "avg_percent_watched": "DOUBLE",
    "avg_session_percent": "DOUBLE", "minutes_watched": "DOUBLE", "total_visits": "BIGINT",
    "active_days": "BIGINT", "first_seen": "TIMESTAMPTZ", "last_active": "TIMESTAMPTZ",
    "top_video": "VARCHAR",
}  # fmt: skip
"""Columns of the viewers table that a condition may compare, with their types."""
PERSONAL = ("name", "email")
DECIMALS = 9
"""Means are compared rounded: a mean of four exact values at 50 comes out as 49.99999999999999."""
FLIPPED = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: ">", exp.LTE: ">=", exp.GT: "<", exp.GTE: "<="}
COMPARISONS = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
ALLOWED = (
    exp.And, exp.Or, exp.Not, exp.Paren, exp.Identifier, exp.Literal, exp.Boolean, exp.Column,
    exp.Neg, exp.Mul, exp.Between, exp.In, exp.Is, exp.Null, *COMPARISONS,
)  # fmt: skip


def check(text: str, fail: Callable[[str], None]) -> str:
    """A condition as SQL, once every part of it was found to be allowed.

    Parameters
    ----------
    fail : callable
        Raises the error that a problem is told by.
    """
    try:
        parsed = sqlglot.parse(text, dialect="duckdb")
    except (sqlglot.errors.SqlglotError, RecursionError):
        fail(f"{text[:80]!r} cannot be read")
    if len(parsed) != 1 or parsed[0] is None:
        fail("expected one comparison")
    tree = parsed[0]
    for node in tree.walk():
        _check_node(node, fail)
        node.comments = None
    if not _is_condition(tree):
        fail(f"{text[:80]!r} is no comparison")
    condition = tree.sql(dialect="duckdb", comments=False)
    try:  # a number against a word is told before stage 03
        _one_viewer().execute(f"SELECT {condition} FROM viewer").fetchall()
    except duckdb.Error as error:
        fail(f"{condition[:80]}: {str(error).splitlines()[0][:160]}")
    return condition


def rounded(condition: str) -> str:
    """The condition as it is run: its means, and multiples of them, are rounded."""

    def with_rounding(node: exp.Expression) -> exp.Expression:
        kinds = {COLUMNS[column.name] for column in node.find_all(exp.Column)}
        if isinstance(node, exp.Column | exp.Mul) and "DOUBLE" in kinds:
            return exp.Round(this=node.copy(), decimals=exp.Literal.number(DECIMALS))
        return node

    return _parse(condition).transform(with_rounding).sql(dialect="duckdb")


def thresholds(condition: str) -> list[tuple[str, str, float]]:
    """(column, comparison, number) of each comparison of a column with a number."""
    return [(name, sign, _number(node)) for name, sign, node in _limits(_parse(condition))]


def move(condition: str, column: str, value: float, was: float | None = None) -> str:
    """The condition with the thresholds on a column, or only that of a value, moved."""
    tree = _parse(condition)
    for name, _, node in list(_limits(tree)):
        if name == column and was in (None, _number(node)):
            node.replace(_parse(f"{value:.12g}"))
    return tree.sql(dialect="duckdb")


def _parse(condition: str) -> exp.Expression:
    return sqlglot.parse_one(condition, dialect="duckdb")


def _limits(tree: exp.Expression) -> Iterator[tuple[str, str, exp.Expression]]:
    for node in tree.find_all(*COMPARISONS, exp.Between):
        if isinstance(node, exp.Between):
            column, limits = node.this, {">=": node.args["low"], "<=": node.args["high"]}
        elif isinstance(node.expression, exp.Column):
            column, limits = node.expression, {FLIPPED[type(node)]: node.this}
        else:
            column, limits = node.this, {COMPARISONS[type(node)]: node.expression}
        if isinstance(column, exp.Column):
            yield from ((column.name, sign, n) for sign, n in limits.items() if _is_number(n))


def _is_number(node: exp.Expression) -> bool:
    inner = node.this if isinstance(node, exp.Neg) else node
    return isinstance(inner, exp.Literal) and not inner.is_string


def _number(node: exp.Expression) -> float:
    return float(node.sql().replace(" ", ""))


def _check_node(node: exp.Expression, fail: Callable[[str], None]) -> None:
    if isinstance(node, exp.Column):
        name = node.name.lower()
        if name in PERSONAL:
            fail(f"column {name} says who a viewer is, and a rule may not use it")
        if node.table or name not in COLUMNS:
            hint = " ".join(filter(None, (suggest(name, list(COLUMNS)), "Columns are:")))
            fail(f"unknown column {node.sql()[:60]!r}. {hint} {', '.join(COLUMNS)}")
        node.set("this", exp.to_identifier(name))
    elif type(node) not in ALLOWED:
        what = "a sub-query" if node.find(exp.Select) else f"{node.sql(dialect='duckdb')[:60]!r}"
        kind = "function " if isinstance(node, exp.Func) else ""
        fail(
            f"{kind}{what} is not allowed. Only comparisons of columns with numbers, text, another "
            "column or a multiple of it, joined by AND, OR, NOT, IN, BETWEEN and IS NULL"
        )


def _is_condition(node: exp.Expression) -> bool:
    """Whether a node is true or false by form: a comparison with a column, or a yes/no column."""
    if isinstance(node, exp.Paren | exp.Not):
        return _is_condition(node.this)
    if isinstance(node, exp.And | exp.Or):
        return _is_condition(node.this) and _is_condition(node.expression)
    if isinstance(node, exp.Column):
        return COLUMNS[node.name] == "BOOLEAN"
    if isinstance(node, exp.In):
        return isinstance(node.this, exp.Column) and bool(node.expressions) and all(
            isinstance(item, exp.Literal) or _is_number(item) for item in node.expressions
        )  # fmt: skip
    if isinstance(node, exp.Is):
        return isinstance(node.this, exp.Column) and isinstance(node.expression, exp.Null)
    sides = [node.this, node.args.get("expression"), node.args.get("low"), node.args.get("high")]
    sides = [side for side in sides if side is not None]
    return (
        type(node) in (*COMPARISONS, exp.Between)
        and all(map(_is_operand, sides))
        and any(side.find(exp.Column) for side in sides)
    )


def _is_operand(node: exp.Expression) -> bool:
    if isinstance(node, exp.Mul):
        sides = (node.this, node.expression)
        return any(map(_is_number, sides)) and any(isinstance(side, exp.Column) for side in sides)
    return isinstance(node, exp.Column | exp.Literal | exp.Boolean) or _is_number(node)


@cache
def _one_viewer() -> duckdb.DuckDBPyConnection:
    """One viewer with a value in every column, to try conditions on."""
    value = {"VARCHAR": "''", "BOOLEAN": "false", "TIMESTAMPTZ": "now()"}
    columns = ", ".join(f"{value.get(kind, 0)}::{kind} AS {name}" for name, kind in COLUMNS.items())
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE viewer AS SELECT {columns}")
    return connection
