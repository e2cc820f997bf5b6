"""The clusters file: rules, titles, descriptions and persona fields, refused by name and line."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from helpers.core import files
from helpers.core.errors import ParameterError
from helpers.core.owner import Fail, check_keys, plain, read_owner_text, read_yaml
from helpers.core.privacy import leaks_in
from helpers.core.settings import project_root
from helpers.store import conditions
from helpers.store.scores import Scores

FILE_KEYS = ("name_prefix", "clusters", "scores")
CLUSTER_KEYS = ("name", "title", "when", "description", "persona")


def _check_name(name: str) -> str:
    if not re.fullmatch("[a-z][a-z0-9_]{0,39}", name):
        raise ValueError("expected a-z, 0-9 and _, 40 of them at most")
    return name


Folded = AfterValidator(lambda text: " ".join(text.split()))


@checked_dataclass(frozen=True)
class Cluster:
    """One named group of viewers by rule; the last one of a file has no ``when``."""

    name: Annotated[str, AfterValidator(_check_name)]
    title: Annotated[str, Field(min_length=2, max_length=80), Folded]
    description: Annotated[str, Field(max_length=2000), Folded] = ""
    when: Annotated[str, AfterValidator(conditions.check)] | None = None
    persona: dict[str, Any] = field(default_factory=dict)
    line: int = field(default=0, compare=False)


@checked_dataclass(frozen=True)
class ClusterRules:
    """The rules of a clusters file in order; the first that matches names the cluster."""

    clusters: list[Cluster]
    name_prefix: Annotated[str, Field(max_length=40)] = ""
    source: str = field(default="built-in", compare=False)
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
        whens = " ".join(f"WHEN {conditions.rounded(c.when)} THEN '{c.name}'" for c in ruled)
        return f"CASE {whens} ELSE '{rest.name}' END" if ruled else f"'{rest.name}'"

    def thresholds(self) -> list[tuple[str, str, str, float]]:
        """(cluster, column, comparison, number) of each comparison with a number."""
        return [
            (cluster.name, *threshold)
            for cluster in self.clusters[:-1]
            for threshold in conditions.thresholds(cluster.when)
        ]

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
        known = [(name, of, number) for name, of, _, number in self.thresholds()]
        if not any(row[:2] == (cluster, column) and was in (None, row[2]) for row in known):
            there = "; ".join(f"{name}: {of} {number:g}" for name, of, number in known)
            raise ParameterError(
                f"Cluster {cluster!r} compares no column {column!r} with a number.",
                expected=f"one of {there or 'no threshold at all'}",
            )
        changed = list(self.clusters)
        place = self.names.index(cluster)
        when = conditions.move(changed[place].when, column, value, was)
        changed[place] = replace(changed[place], when=when)
        return replace(self, clusters=changed)

    def save(self, path: str | Path) -> None:
        """Write the rules as a clusters file, which loads to the same rules."""
        rows = [
            {name: value for name in CLUSTER_KEYS if (value := getattr(cluster, name))}
            for cluster in self.clusters
        ]
        scores = self.scores.model_dump(mode="json")
        with files.replace_file(Path(path)) as staged:
            content = {"name_prefix": self.name_prefix, "scores": scores, "clusters": rows}
            YAML().dump(content, staged)


def builtin_text() -> str:
    """The built-in clusters file, to copy and edit."""
    return Path(__file__).parents[1].joinpath("clusters.yml").read_text("utf-8")


@cache
def builtin_scores() -> Scores:
    """The scores of the built-in clusters file."""
    return Scores(**read_yaml(builtin_text(), Fail("Clusters file built-in"))["scores"])


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
    return parse(read_owner_text(found, "Clusters file", is_copied=True), source=found.name)


def find_file(path: Path, folder: Path | None) -> Path:
    """A clusters file by its path: in the run folder, here, or in the project."""
    for place in (*filter(None, [folder]), Path.cwd(), project_root()):
        if os.path.isfile(place / path):  # an absolute path stays itself
            return place / path
    raise ParameterError(
        f"Clusters file {path} is not there.",
        remedy="Give the path of a YAML file, or leave clusters_file empty for the built-in rules.",
    )


@cache
def parse(text: str, *, source: str = "clusters file") -> ClusterRules:
    """Check the text of a clusters file; see :func:`load`."""
    fail = Fail(f"Clusters file {source}")
    for number, line in enumerate(text.splitlines(), 1):
        if leaks := leaks_in(line):  # what is in it goes into pages and to Mavera
            fail(number, f"{leaks[0]} may not be in it")
    tree = read_yaml(text, fail)
    rows = tree.get("clusters") if isinstance(tree, CommentedMap) else None
    if not isinstance(rows, CommentedSeq) or not rows:
        fail(1, "expected a list under clusters, and beside it name_prefix and scores")
    check_keys(tree, FILE_KEYS, fail, "the file")
    content = {name: value for name, value in plain(tree).items() if value is not None}
    if isinstance(tree.get("scores", {}), dict):
        content["scores"] = builtin_scores().model_dump() | content.get("scores", {})
    content["clusters"] = [
        _checked_row(row, rows.lc.item(place)[0] + 1, fail) for place, row in enumerate(rows)
    ]
    try:
        read = ClusterRules(**content, source=source)
    except ValidationError as error:
        # A misspelt key before the one that is missing for it.
        problems = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        _refuse(problems[0], tree, fail)
    _check_together(read, fail)
    return read


def _checked_row(row: Any, line: int, fail: Fail) -> dict[str, Any]:
    """A cluster as the file has it, with a title and its line."""
    if not isinstance(row, CommentedMap):
        fail(line, f"expected a cluster with {', '.join(CLUSTER_KEYS)}")
    name = str(row.get("name"))
    check_keys(row, CLUSTER_KEYS, fail, f"cluster {name[:40]}")
    title = name.replace("_", " ").title() if len(name) > 1 else f"Cluster {name.upper()}"
    values = {key: value for key, value in plain(row).items() if value is not None}
    return {"title": title, **values, "line": line}


def _refuse(problem: Any, tree: CommentedMap, fail: Fail) -> None:
    """Tell what is wrong with a value, by the innermost line of its path that the file has."""
    path, line, inner = problem["loc"], 1, tree
    for key in path:
        if isinstance(inner, CommentedMap) and key in inner:
            line, inner = inner.lc.key(key)[0] + 1, inner[key]
        elif isinstance(inner, CommentedSeq) and isinstance(key, int):
            line, inner = inner.lc.item(key)[0] + 1, inner[key]
    if path[0] == "clusters":
        path = (f"cluster {str(tree['clusters'][path[1]].get('name'))[:40]}", *path[2:])
    is_unknown = problem["type"] == "extra_forbidden"
    what = "unknown key" if is_unknown else problem["msg"].removeprefix("Value error, ")
    fail(line, f"{': '.join(map(str, path))}: {what}")


def _check_together(read: ClusterRules, fail: Fail) -> None:
    seen: set[str] = set()
    for cluster in read.clusters:
        if len(read.name_prefix) + len(cluster.title) > 99:  # together a persona's name, of 100
            fail(cluster.line, f"cluster {cluster.name}: title and name_prefix are over 99 letters")
        if seen & {cluster.name, cluster.title.casefold()}:
            fail(cluster.line, f"cluster {cluster.name}: the name or title is there twice")
        seen |= {cluster.name, cluster.title.casefold()}
        if cluster is read.clusters[-1] and cluster.when is not None:
            what = "the last cluster takes the rest and has no when"
            fail(cluster.line, f"cluster {cluster.name}: {what}")
        if cluster is not read.clusters[-1] and cluster.when is None:
            fail(cluster.line, f"cluster {cluster.name}: only the last cluster has no when")
