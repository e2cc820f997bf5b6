"""The clusters file: rules, titles, descriptions and persona fields, refused by name and line."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from sqlglot import exp

from helpers.core import files
from helpers.core.errors import ParameterError
from helpers.core.parameters import suggest
from helpers.store.scores import Scores, read_scores

COLUMNS = {
    "visitor_key": "VARCHAR", "name": "VARCHAR", "email": "VARCHAR", "identified": "BOOLEAN",
    "location": "VARCHAR", "country": "VARCHAR", "video_count": "BIGINT",
    "session_count": "BIGINT", "avg_percent_watched": "DOUBLE", "avg_session_percent": "DOUBLE",
    "total_visits": "BIGINT", "active_days": "BIGINT", "first_seen": "TIMESTAMPTZ",
    "last_active": "TIMESTAMPTZ", "top_video": "VARCHAR",
}  # fmt: skip
"""Columns of the viewers table that a rule may compare, with their types."""

COMPARISONS = {exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<="}
LARGEST_FILE = 256 * 1024  # characters; a clusters file is a page of text
CLUSTER_KEYS = ("name", "title", "when", "description", "persona")
FILE_KEYS = ("name_prefix", "clusters", "scores")


@dataclass(frozen=True)
class Cluster:
    """One named group of viewers by rule; the last one of a file has no ``when``."""

    name: str
    title: str
    description: str
    when: str | None = None
    persona: dict[str, Any] = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True)
class ClusterRules:
    """The rules of a clusters file in order; the first that matches names the cluster."""

    clusters: list[Cluster]
    name_prefix: str = ""
    source: str = "built-in"
    scores: Scores = field(default_factory=lambda: builtin_scores())

    @property
    def names(self) -> list[str]:
        return [cluster.name for cluster in self.clusters]

    @property
    def titles(self) -> dict[str, str]:
        return {cluster.name: cluster.title for cluster in self.clusters}

    @property
    def fingerprint(self) -> str:
        """Changes when a rule, its name or its order changes, and not with titles or texts."""
        text = "\n".join(f"{cluster.name}: {cluster.when}" for cluster in self.clusters)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def case_sql(self) -> str:
        """A CASE expression over the viewers columns that gives the cluster's name."""
        *ruled, rest = self.clusters
        whens = " ".join(f"WHEN {cluster.when} THEN '{cluster.name}'" for cluster in ruled)
        return f"CASE {whens} ELSE '{rest.name}' END" if ruled else f"'{rest.name}'"

    def thresholds(self) -> list[tuple[str, str, str, float]]:
        """(cluster, column, comparison, number) of each comparison with a number."""
        found = []
        for cluster in self.clusters[:-1]:
            for node in sqlglot.parse_one(cluster.when, dialect="duckdb").find_all(*COMPARISONS):
                if isinstance(node.this, exp.Column) and _is_number(node.expression):
                    number = float(node.expression.sql())
                    found.append((cluster.name, node.this.name, COMPARISONS[type(node)], number))
        return found

    def save(self, path: Path) -> None:
        """Write the rules as a clusters file, which loads to the same rules."""
        rows = [
            {
                "name": cluster.name,
                "title": cluster.title,
                **({"when": cluster.when} if cluster.when else {}),
                "description": cluster.description,
                **({"persona": cluster.persona} if cluster.persona else {}),
            }
            for cluster in self.clusters
        ]
        with files.replace_file(path) as staged:
            scores = self.scores.model_dump(mode="json")
            content = {"name_prefix": self.name_prefix, "scores": scores, "clusters": rows}
            YAML(typ="safe").dump(content, staged)

    def warnings(self) -> list[str]:
        """What looks like a slip in the rules: a percent compared with 1 or less."""
        return [
            f"Cluster {name} compares {column} with {number:g}: percents run from 0 to 100."
            for name, column, _, number in self.thresholds()
            if "percent" in column and 0 < number <= 1
        ]

    def replace(
        self, cluster: str, column: str, value: float, *, was: float | None = None
    ) -> ClusterRules:
        """The same rules with one cluster's threshold on a column moved to ``value``.

        Parameters
        ----------
        was : float, optional
            Only the threshold of this value is moved: a range has two on one column.

        Raises
        ------
        ParameterError
            There is no such cluster, or its rule compares no such column with a number.
        """
        if not any(
            name == cluster and named == column and was in (None, number)
            for name, named, _, number in self.thresholds()
        ):
            raise ParameterError(
                f"Cluster {cluster!r} compares no column {column!r} with a number. "
                f"Thresholds are: {self.thresholds()}."
            )
        changed = []
        for known in self.clusters:
            if known.name == cluster:
                tree = sqlglot.parse_one(known.when, dialect="duckdb")
                for node in tree.find_all(*COMPARISONS):
                    named = isinstance(node.this, exp.Column) and node.this.name == column
                    if not named or not _is_number(node.expression):
                        continue
                    if was in (None, float(node.expression.sql())):
                        node.set("expression", exp.Literal.number(f"{value:g}"))
                known = replace(known, when=tree.sql(dialect="duckdb"))
            changed.append(known)
        return replace(self, clusters=changed)


def suggest_after(name: str, names: list[str]) -> str:
    """A suggestion with the blank that parts it from the sentence before."""
    hint = suggest(name, names)
    return f" {hint}" if hint else ""


def builtin_text() -> str:
    """The built-in clusters file, to copy and edit."""
    return resources.files("helpers").joinpath("clusters.yml").read_text("utf-8")


@cache
def builtin_scores() -> Scores:
    """The scores of the built-in clusters file."""
    fail = Fail("Clusters file built-in")
    return read_scores(tree_of(builtin_text(), fail)["scores"], {}, fail, 1)


def load(path: str | Path = "", *, folder: Path | None = None) -> ClusterRules:
    """Read and check a clusters file.

    Parameters
    ----------
    path : str or Path
        Empty: the built-in file. Relative paths are looked for in ``folder``, the working
        directory and the project, in this order.
    folder : Path, optional
        Run folder that holds a copy of the file.

    Raises
    ------
    ParameterError
        The file is missing, is no YAML of the expected form, or holds a rule that is more than
        comparisons; the message names the cluster and the line.
    """
    if not str(path):
        return parse(builtin_text(), source="built-in")
    found = find_file(Path(path), folder)
    return parse(files.read_owner_text(found, "Clusters file"), source=found.name)


def find_file(path: Path, folder: Path | None) -> Path:
    from helpers.core.settings import project_root

    places = [folder] if folder else []
    candidates = [path] if path.is_absolute() else [
        place / path for place in (*places, Path.cwd(), project_root())
    ]  # fmt: skip
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ParameterError(
        f"Clusters file {path} is not there. Give the path of a YAML file, or leave clusters_file "
        "empty for the built-in rules."
    )


@cache
def parse(text: str, *, source: str = "clusters file") -> ClusterRules:
    """Check the text of a clusters file; see :func:`load`."""
    fail = Fail(f"Clusters file {source}")
    tree = tree_of(text, fail)
    if not isinstance(tree, CommentedMap):
        fail(1, "expected keys name_prefix and clusters at the top")
    known_keys(tree, FILE_KEYS, fail, "the file")
    rows = tree.get("clusters")
    if not isinstance(rows, CommentedSeq) or not rows:
        fail(1, "expected a list under clusters")
    clusters = [_cluster(row, rows.lc.item(n)[0] + 1, fail) for n, row in enumerate(rows)]
    _whole(clusters, fail)
    prefix = tree.get("name_prefix") or ""
    if not isinstance(prefix, str) or len(prefix) > 40:
        fail(tree.lc.key("name_prefix")[0] + 1, "name_prefix: expected text of 40 characters")
    scores = builtin_scores()
    if "scores" in tree:
        line = tree.lc.key("scores")[0] + 1
        scores = read_scores(tree["scores"], scores.model_dump(), fail, line)
    return ClusterRules(clusters, prefix, source, scores)


class Fail:
    """Raises the error of a file, which says where it is wrong."""

    def __init__(self, file: str):
        self.file = file

    def __call__(self, line: int, problem: str):
        raise ParameterError(f"{self.file}, line {line}: {problem}. Correct it and run again.")


def tree_of(text: str, fail: Fail) -> Any:
    """What a YAML text holds, with the lines it stands on."""
    if len(text) > LARGEST_FILE:
        raise ParameterError(f"{fail.file}: over {LARGEST_FILE // 1024} KB. Shorten it.")
    try:
        return YAML(typ="rt").load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        problem = problem.partition(" with value")[0]  # of a key that is there twice
        raise ParameterError(
            f"{fail.file}{line}: not YAML: {problem}. Correct it and run again."
        ) from None


def known_keys(mapping: CommentedMap, known: tuple[str, ...], fail: Fail, what: str) -> None:
    """Refuse a key that is not among the known ones, with the nearest of them."""
    for key in mapping:
        if key not in known:
            hint = suggest_after(str(key), list(known))
            fail(
                mapping.lc.key(key)[0] + 1,
                f"{what} has an unknown key {str(key)[:40]!r}.{hint} It has: {', '.join(known)}",
            )


def _cluster(row: Any, line: int, fail: Fail) -> Cluster:
    if not isinstance(row, CommentedMap):
        fail(line, "expected a cluster with name, title, when and description")
    name = row.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        fail(line, f"cluster name {str(name)[:40]!r}: expected a-z, 0-9 and _, 40 at most")
    known_keys(row, CLUSTER_KEYS, fail, f"cluster {name}")
    default = name.replace("_", " ").title() if len(name) > 1 else f"Cluster {name.upper()}"
    texts = {}
    for key, value, most in (("title", default, 80), ("description", "", 2000)):
        value = row.get(key, value)
        if not isinstance(value, str) or len(value) > most or (key == "title" and len(value) < 2):
            where = row.lc.key(key)[0] + 1 if key in row else line
            fail(where, f"cluster {name}: {key}: expected text of at most {most} characters")
        texts[key] = " ".join(value.split())
    persona = row.get("persona") or {}
    if not isinstance(persona, dict):
        fail(row.lc.key("persona")[0] + 1, f"cluster {name}: persona: expected fields for Mavera")
    when = row.get("when")
    where = row.lc.key("when")[0] + 1 if "when" in row else line
    if when is not None:
        if not isinstance(when, str):
            fail(where, f"cluster {name}: when: expected a comparison")
        when = _checked(when, name, where, fail)
    return Cluster(name, when=when, persona=_plain(persona), line=where, **texts)


def _plain(value: Any) -> Any:
    """Plain Python values of what the YAML reader returns."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def _checked(when: str, name: str, line: int, fail: Fail) -> str:
    """The rule as SQL, after every node of it was found to be allowed."""
    label = f"cluster {name}: when"
    try:
        parsed = sqlglot.parse(when, dialect="duckdb")
    except (sqlglot.errors.SqlglotError, RecursionError):
        fail(line, f"{label}: {when[:80]!r} cannot be read")
    if len(parsed) != 1 or parsed[0] is None:
        fail(line, f"{label}: expected one comparison")
    tree = parsed[0]
    for node in tree.walk():
        _allowed(node, label, line, fail)
    if not _is_condition(tree):
        fail(line, f"{label}: {when[:80]!r} is no comparison")
    for node in tree.find_all(exp.Literal):
        node.comments = None
    rule = tree.sql(dialect="duckdb", comments=False)
    _runs(tree, label, line, fail)
    return rule


def _allowed(node: exp.Expression, label: str, line: int, fail: Fail) -> None:
    if isinstance(node, exp.Column):
        if node.table or node.name.lower() not in COLUMNS:
            hint = suggest_after(node.name, list(COLUMNS))
            fail(
                line,
                f"{label}: unknown column {node.sql()[:60]!r}.{hint} Columns are: "
                f"{', '.join(COLUMNS)}",
            )
        node.set("this", exp.to_identifier(node.name.lower()))
        return
    logic = (exp.And, exp.Or, exp.Not, exp.Paren, exp.Identifier, exp.Literal, exp.Boolean)
    negative = isinstance(node, exp.Neg) and _is_number(node)
    if not negative and type(node) not in (*logic, *COMPARISONS):
        what = "a sub-query" if node.find(exp.Select) else f"{node.sql(dialect='duckdb')[:60]!r}"
        kind = "function " if isinstance(node, exp.Func) else ""
        fail(
            line,
            f"{label}: {kind}{what} is not allowed. Only comparisons of columns with numbers and "
            "text, joined by AND, OR and NOT",
        )


def _is_number(node: exp.Expression) -> bool:
    inner = node.this if isinstance(node, exp.Neg) else node
    return isinstance(inner, exp.Literal) and not inner.is_string


def _is_condition(node: exp.Expression) -> bool:
    """Whether a node is true or false by form: a comparison with a column, or a yes/no column."""
    if isinstance(node, exp.Paren | exp.Not):
        return _is_condition(node.this)
    if isinstance(node, exp.And | exp.Or):
        return _is_condition(node.this) and _is_condition(node.expression)
    if isinstance(node, exp.Column):
        return COLUMNS.get(node.name.lower()) == "BOOLEAN"
    sides = (node.args.get("this"), node.args.get("expression"))
    plain = (exp.Column, exp.Literal, exp.Neg, exp.Boolean)
    return (
        type(node) in COMPARISONS
        and all(isinstance(side, plain) for side in sides)
        and any(isinstance(side, exp.Column) for side in sides)
    )


@cache
def _sample() -> duckdb.DuckDBPyConnection:
    """One viewer with a value in every column, to try comparisons on."""
    value = {"VARCHAR": "''", "BOOLEAN": "false", "TIMESTAMPTZ": "now()"}
    columns = ", ".join(f"{value.get(kind, 0)}::{kind} AS {name}" for name, kind in COLUMNS.items())
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE viewer AS SELECT {columns}")
    return connection


def _runs(tree: exp.Expression, label: str, line: int, fail: Fail) -> None:
    """Let the engine judge each comparison: a number against a word is told before stage 03."""
    for node in tree.find_all(*COMPARISONS):
        comparison = node.sql(dialect="duckdb")
        try:
            _sample().execute(f"SELECT {comparison} FROM viewer").fetchall()
        except duckdb.Error as error:
            fail(line, f"{label}: {comparison}: {str(error).splitlines()[0][:160]}")


def _whole(clusters: list[Cluster], fail: Fail) -> None:
    seen: set[str] = set()
    titles: set[str] = set()
    for cluster in clusters:
        if cluster.name in seen or cluster.title.casefold() in titles:
            fail(cluster.line, f"cluster {cluster.name}: the name or title is there twice")
        seen.add(cluster.name)
        titles.add(cluster.title.casefold())
    for cluster in clusters[:-1]:
        if cluster.when is None:
            fail(cluster.line, f"cluster {cluster.name}: only the last cluster has no when")
    if clusters[-1].when is not None:
        fail(
            clusters[-1].line,
            f"cluster {clusters[-1].name}: the last cluster takes the rest and has no when",
        )
