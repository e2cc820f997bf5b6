"""The clusters file: rules, titles, descriptions and persona fields, refused by name and line."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from helpers.core import files
from helpers.core.errors import ParameterError
from helpers.core.owner import Fail, check_keys, plain, read_owner_text, read_yaml
from helpers.core.privacy import leaks_in
from helpers.core.settings import project_root
from helpers.store import conditions
from helpers.store.scores import Scores, read_scores

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
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class ClusterRules:
    """The rules of a clusters file in order; the first that matches names the cluster."""

    clusters: list[Cluster]
    name_prefix: str = ""
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
        changed = [
            replace(one, when=conditions.move(one.when, column, value, was))
            if one.name == cluster else one
            for one in self.clusters
        ]  # fmt: skip
        return replace(self, clusters=changed)

    def save(self, path: str | Path) -> None:
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
        scores = self.scores.model_dump(mode="json")
        with files.replace_file(Path(path)) as staged:
            content = {"name_prefix": self.name_prefix, "scores": scores, "clusters": rows}
            YAML().dump(content, staged)


def builtin_text() -> str:
    """The built-in clusters file, to copy and edit."""
    return resources.files("helpers").joinpath("clusters.yml").read_text("utf-8")


@cache
def builtin_scores() -> Scores:
    """The scores of the built-in clusters file."""
    fail = Fail("Clusters file built-in")
    return read_scores(read_yaml(builtin_text(), fail)["scores"], {}, fail, 1)


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
        if (place / path).is_file():  # an absolute path stays itself
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
    if not isinstance(tree, CommentedMap):
        fail(1, "expected keys name_prefix, scores and clusters at the top")
    check_keys(tree, FILE_KEYS, fail, "the file")
    rows = tree.get("clusters")
    if not isinstance(rows, CommentedSeq) or not rows:
        fail(1, "expected a list under clusters")
    clusters = [_cluster(row, rows.lc.item(n)[0] + 1, fail) for n, row in enumerate(rows)]
    _check_together(clusters, fail)
    prefix = tree.get("name_prefix") or ""
    if not isinstance(prefix, str) or len(prefix) > 40:
        fail(tree.lc.key("name_prefix")[0] + 1, "name_prefix: expected text of 40 characters")
    for cluster in clusters:
        if len(prefix) + len(cluster.title) > 99:  # together a persona's name, of 100 characters
            fail(cluster.line, f"cluster {cluster.name}: title and name_prefix are over 99 letters")
    scores = builtin_scores()
    if "scores" in tree:
        line = tree.lc.key("scores")[0] + 1
        scores = read_scores(tree["scores"], scores.model_dump(), fail, line)
    return ClusterRules(clusters, prefix, source, scores)


def _cluster(row: Any, line: int, fail: Fail) -> Cluster:
    if not isinstance(row, CommentedMap):
        fail(line, "expected a cluster with name, title, when and description")
    name = row.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        fail(line, f"cluster name {str(name)[:40]!r}: expected a-z, 0-9 and _, 40 at most")
    check_keys(row, CLUSTER_KEYS, fail, f"cluster {name}")
    lines = {key: row.lc.key(key)[0] + 1 for key in row}
    default = name.replace("_", " ").title() if len(name) > 1 else f"Cluster {name.upper()}"
    texts = {}
    for key, value, least, most in (("title", default, 2, 80), ("description", "", 0, 2000)):
        value = row.get(key, value)
        if not isinstance(value, str) or not least <= len(value) <= most:
            told = f"text of at most {most} characters"
            fail(lines.get(key, line), f"cluster {name}: {key}: expected {told}")
        texts[key] = " ".join(value.split())
    persona, when = row.get("persona") or {}, row.get("when")
    if not isinstance(persona, dict):
        fail(lines["persona"], f"cluster {name}: persona: expected fields for Mavera")
    line = lines.get("when", line)
    if when is not None:
        if not isinstance(when, str):
            fail(line, f"cluster {name}: when: expected a comparison")
        when = conditions.check(when, lambda told: fail(line, f"cluster {name}: when: {told}"))
    return Cluster(name, when=when, persona=plain(persona), line=line, **texts)


def _check_together(clusters: list[Cluster], fail: Fail) -> None:
    seen: set[str] = set()
    for cluster in clusters:
        if seen & {cluster.name, cluster.title.casefold()}:
            fail(cluster.line, f"cluster {cluster.name}: the name or title is there twice")
        seen |= {cluster.name, cluster.title.casefold()}
    for cluster in clusters[:-1]:
        if cluster.when is None:
            fail(cluster.line, f"cluster {cluster.name}: only the last cluster has no when")
    last = clusters[-1]
    if last.when is not None:
        fail(last.line, f"cluster {last.name}: the last cluster takes the rest and has no when")
