"""The clusters file: rules, texts, persona fields and scores, refused by name and line."""

import hashlib
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from ruamel.yaml import YAML

from helpers.core import files, owner
from helpers.core.errors import ParameterError
from helpers.core.parameters import suggest
from helpers.core.privacy import clean_line
from helpers.core.settings import project_root
from helpers.store import conditions

Points = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Days = Annotated[float, Field(gt=0, le=3650)]
Word = Annotated[str, Field(min_length=2, max_length=80, pattern=r"\w")]
Short = Annotated[str, AfterValidator(lambda text: clean_line(text, 300))]
Phrases = Annotated[list[Short], Field(max_length=20)] | None
Criterion = Literal["price", "timeToValue", "risk", "proof", "support"]
Weight = Annotated[int, Field(ge=1, le=5, strict=True)]
Folded = AfterValidator(lambda text: " ".join(text.split()))
Title = Annotated[str, Field(min_length=2, max_length=80)]


class Weights(owner.Part):
    """The most points that each part of a score can give; together 100."""

    recency: Points
    depth: Points
    visits: Points
    clicks: Points
    content: Points

    @model_validator(mode="after")
    def _together_100(self) -> "Weights":
        total = sum(self.model_dump().values())
        if abs(total - 100) > 1e-6:
            raise ValueError(f"the five weights add up to {total:g}, and should to 100")
        return self


class Scores(owner.Part):
    """Weights, the half-life of recency, whom to call, and words of titles."""

    weights: Weights
    half_life_days: Days
    call_score: Points
    call_days: Days
    buying_words: tuple[Word, ...]
    customer_words: tuple[Word, ...]


class PersonaFields(owner.Part):
    """Fields of Mavera's own; all but the first two are sent with another pipeline than the first.

    References
    ----------
    Mavera API, Create Persona.
    """

    pipeline_type: Literal["north_star", "intermediate", "advanced"] = "north_star"
    type: Literal["B2B", "B2C"] = "B2B"
    role_segment: Phrases = None
    buying_stage: Short | None = None
    decision_role: Short | None = None
    primary_objectives: Phrases = None
    mcda_weights: dict[Criterion, Weight] | None = None
    goals: Phrases = None
    pains: Phrases = None
    triggers: Phrases = None
    channels: Phrases = None
    proof_types: Phrases = None
    alternatives: Phrases = None
    win_factors: Phrases = None
    objections: Phrases = None


def builtin_text() -> str:
    """The built-in clusters file, to copy and edit."""
    return Path(__file__).parents[1].joinpath("clusters.yml").read_text("utf-8")


def builtin_scores() -> Scores:
    """The scores of the built-in clusters file."""
    return Scores(**files.read_package_yaml("clusters.yml")["scores"])


def _complete(scores: Any) -> Any:
    """Scores of a file; what it leaves out is as built in."""
    return builtin_scores().model_dump() | scores if isinstance(scores, dict) else scores


def _titled(cluster: dict[str, Any]) -> str:
    """The title of a cluster that has only a name."""
    name = cluster["name"]
    return name.replace("_", " ").title() if len(name) > 1 else f"Cluster {name.upper()}"


class Cluster(owner.Part):
    """One named group of viewers by rule; the last one of a file has no ``when``."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    title: Annotated[Title, Folded] = Field(default_factory=_titled)
    when: Annotated[str, AfterValidator(conditions.check)] | None = None
    description: Annotated[str, Field(max_length=2000), Folded] = ""
    persona: PersonaFields = PersonaFields()


class ClusterRules(owner.Part):
    """The rules of a clusters file in order; the first that matches names the cluster."""

    name_prefix: Annotated[str, Field(max_length=40)] = ""
    scores: Annotated[Scores, BeforeValidator(_complete)] = Field(default_factory=builtin_scores)
    clusters: Annotated[list[Cluster], Field(min_length=1)]
    source: str = Field("built-in", exclude=True)

    @model_validator(mode="after")
    def _fit_together(self) -> "ClusterRules":
        taken: set[str] = set()
        for place, cluster in enumerate(self.clusters):
            own = {cluster.name, cluster.title.casefold()}
            if own & taken:
                raise owner.problem("the name or title is there twice", "clusters", place)
            if len(self.name_prefix + cluster.title) > 99:  # together a persona's name, of 100
                raise owner.problem("title and name_prefix are over 99 letters", "clusters", place)
            if (cluster.when is None) != (cluster is self.clusters[-1]):
                what = "the last cluster takes the rest: it alone has no when"
                raise owner.problem(what, "clusters", place)
            taken |= own
        return self

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

    def refuse_unknown(self, clusters: Iterable[str]) -> None:
        """Raise ParameterError where persona_clusters names a cluster that is not there."""
        for name in set(clusters) - set(self.names):
            told = f"persona_clusters names {name!r}, and there is no such cluster."
            there = f"some of {', '.join(self.names)}"
            raise ParameterError(told, expected=there, remedy=suggest(name, self.names))

    def case_sql(self) -> str:
        """A CASE expression over the viewers columns that gives the cluster's name."""
        *ruled, rest = self.clusters
        whens = " ".join(f"WHEN {conditions.rounded(c.when)} THEN '{c.name}'" for c in ruled)
        return f"CASE {whens} ELSE '{rest.name}' END" if ruled else f"'{rest.name}'"

    def thresholds(self) -> list[tuple[str, str, str, float]]:
        """(cluster, column, comparison, number) of each comparison with a number."""
        ruled = self.clusters[:-1]
        return [(c.name, *limit) for c in ruled for limit in conditions.thresholds(c.when)]

    def warnings(self) -> list[str]:
        """What looks like a slip in the rules: a percent compared with 1 or less."""
        return [
            f"Cluster {name} compares {column} with {number:g}: percents run from 0 to 100."
            for name, column, _, number in self.thresholds()
            if "percent" in column and 0 < number <= 1
        ]

    def replace(
        self, cluster: str, column: str, value: float, *, was: float | None = None
    ) -> "ClusterRules":
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
            what = f"Cluster {cluster!r} compares no column {column!r} with a number."
            raise ParameterError(what, expected=f"one of {there or 'no threshold at all'}")
        changed, place = list(self.clusters), self.names.index(cluster)
        when = conditions.move(changed[place].when, column, value, was)
        changed[place] = changed[place].model_copy(update={"when": when})
        return self.model_copy(update={"clusters": changed})

    def save(self, path: str | Path) -> None:
        """Write the rules as a clusters file, which loads to the same rules."""
        with files.replace_file(Path(path)) as staged:
            YAML().dump(self.model_dump(mode="json", exclude_defaults=True), staged)


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
    return parse(owner.read_owner_text(found, "Clusters file"), source=found.name)


def find_file(path: Path, folder: Path | None) -> Path:
    """A clusters file by its path: in the run folder, here, or in the project."""
    for place in (*filter(None, [folder]), Path.cwd(), project_root()):
        if os.path.isfile(place / path):  # an absolute path stays itself
            return place / path
    raise ParameterError(f"Clusters file {path} is not there.")


@cache
def parse(text: str, *, source: str = "clusters file") -> ClusterRules:
    """Check the text of a clusters file; see :func:`load`."""
    fail = owner.Fail(f"Clusters file {source}")
    owner.refuse_leaks(text, fail)
    read = owner.read_part(ClusterRules, owner.read_yaml(text, fail), fail)
    return read.model_copy(update={"source": source})
