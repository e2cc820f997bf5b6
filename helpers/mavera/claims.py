"""Each figure of Mave's text looked up in the data that was sent, for its cluster and its measure.

A figure is *found*, *derived* by one operation on the same measure of clusters (sum, difference,
ratio), or *not in the data*. Found says that the number stands there for that cluster, not that
the sentence is true. The words that name measures stand in ``texts/words.yml``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from helpers.mavera.figures import VOCABULARY, Figure, find_figures

FOUND, DERIVED, MISSING = "found", "derived", "not in the data"
ALL = "all"  # in the place of a cluster: all viewers
CLOSE = 0.05  # how far "about 400" may be from what it stands for: a twentieth of it
CLOSE_SHARE = 2.6  # the same for a fraction [points]: 48 % is half in prose, and 45 % is not
GRAMMAR = {name: re.compile(pattern, re.I) for name, pattern in VOCABULARY["grammar"].items()}


@dataclass(frozen=True)
class Claim:
    """A figure as written, at ``start`` of its text, the line it stands in, what became of it."""

    text: str
    line: str
    verdict: str
    start: int


@dataclass(frozen=True)
class Fact:
    """A number that was sent, or that follows at once, such as the sum over all clusters."""

    cluster: str
    measure: str
    kind: str
    value: float
    verdict: str = FOUND


class SentData:
    """The numbers that were sent, by cluster and measure, and the names a text may give them.

    Parameters
    ----------
    data : dict
        The data block of a question, as JSON.
    """

    def __init__(self, data: dict[str, Any]):
        rows = [*data.get("clusters", []), *data.get("news", [])]
        titles = {row["cluster"]: row["title"] for row in data.get("clusters", [])}
        sent = [fact for row in rows for fact in _facts(row, row["cluster"])]
        sent += [fact for row in rows for fact in _anonymous(row)]
        total = data.get("total_viewers") or sum(row.get("viewers") or 0 for row in rows)
        self.facts = [Fact(ALL, "size", "count", total), *sent]
        counted = {fact.measure for fact in sent if fact.kind == "count"} - {"size"}
        for measure in counted:
            same = [f.value for f in sent if (f.measure, f.kind) == (measure, "count")]
            self.facts.append(Fact(ALL, measure, "count", sum(same), DERIVED))
            share = 100 * sum(same) / max(total, 1)
            self.facts.append(Fact(ALL, measure, "percent", share, DERIVED))
        others = {fact.measure for fact in sent} - set(VOCABULARY["measures"]) - {"new people"}
        self.titles = {name for name in others if len(name) > 2}
        countries = {name: f"(?-i:{name})" for name in others - self.titles if name.isalpha()}
        self.cues = _named_groups(VOCABULARY["measures"] | countries)
        self.named = _named_groups({name: _pattern(title) for name, title in titles.items()})
        rules = " ".join(str(row.get("rule")) for row in rows)
        self.limits = {float(number) for number in re.findall(r"[<>=]\s*(\d+)", rules)}

    def check(self, text: str, cluster: str = "") -> list[Claim]:
        """The figures of a text, each with its verdict.

        Parameters
        ----------
        text : str
            Markdown.
        cluster : str
            The cluster whose section the text is.
        """
        claims, context = [], {cluster} - {""}
        counted = "|".join(("videos", "visits", self.named.pattern))
        for line in re.finditer(r".+", text):
            for match in GRAMMAR["sentence"].finditer(line[0]):
                said = _Sentence(self, match[0], context)
                for figure in find_figures(match[0], names=self.titles, counted=counted):
                    if verdict := said.judge(figure):
                        start = line.start() + match.start() + figure.start
                        claims.append(Claim(figure.text, line[0].strip(), verdict, start))
                if said.clusters and not cluster:
                    context = {named.lastgroup for named in said.clusters}
        return claims


def _facts(row: dict[str, Any], cluster: str, measure: str = "", kind: str = "") -> Iterator[Fact]:
    for key, value in row.items():
        name, of = VOCABULARY["fields"].get(key, (key, kind))
        if isinstance(value, list):
            for part in value:
                yield from _facts(part, cluster, part.get("title") or part.get("name"))
        elif isinstance(value, dict):
            yield from _facts(value, cluster, name, of)
        elif isinstance(value, int | float):
            percent = value * 100 if key == "share" or key.endswith("_share") else value
            yield Fact(cluster, measure or name, of, percent)


def _anonymous(row: dict[str, Any]) -> Iterator[Fact]:
    size, known = row.get("viewers"), row.get("identified_viewers")
    if size and known is not None:
        yield Fact(row["cluster"], "anonymous", "count", size - known, DERIVED)
        yield Fact(row["cluster"], "anonymous", "percent", 100 - 100 * known / size, DERIVED)


def _named_groups(patterns: dict[str, str]) -> re.Pattern:
    groups = (rf"(?P<{name}>\b(?:{pattern})\b)" for name, pattern in patterns.items())
    return re.compile("|".join(groups) or "$^", re.I)


def _pattern(title: str) -> str:
    """A title, in the singular too, or its last word alone where no other text has it."""
    *first, last = (re.escape(word.removesuffix("s")) for word in title.split())
    words = "".join(rf"{word}s?\s" for word in first)
    return rf"(?:{words}){'?' if last.lower() not in VOCABULARY['common'] else ''}{last}s?"


class _Sentence:
    """One sentence: the clusters and measures that it names, and where."""

    def __init__(self, data: SentData, text: str, context: set[str]):
        self.data, self.text, self.context = data, text, context
        self.clusters = list(data.named.finditer(text))
        taken = {place for match in self.clusters for place in range(*match.span())}
        self.cues = [cue for cue in data.cues.finditer(text) if cue.start() not in taken]
        self.titles = {title for title in data.titles if _is_quoted(title, text)}

    def judge(self, figure: Figure) -> str:
        """The verdict on a figure; "" for a limit of the rules."""
        before, after = self.text[: figure.start], self.text[figure.end :]
        near_limit = GRAMMAR["limit before"].search(before) or GRAMMAR["limit after"].match(after)
        fraction, values = figure.unit == "fraction", {value for value, _ in figure.readings}
        if near_limit and not fraction and self.data.limits & values:
            return ""
        if fraction and GRAMMAR["percentile"].search(self.text):
            return DERIVED  # a quarter of them saw 9 videos or more: the 9 is looked up
        clusters, measures = self._whose(figure), self._measures(figure)
        kinds = VOCABULARY["kinds"].get(figure.unit, [])
        if figure.unit == "times" and "visits" in measures:
            kinds = ["number"]  # come back 3.5 times
        known = [fact for fact in self.data.facts if fact.measure in measures]
        for fact in known:
            close = _close(figure, fact.value) if fact.kind in kinds else ""
            if close and fact.cluster in clusters:
                return DERIVED if DERIVED in (close, fact.verdict) else FOUND
        return DERIVED if any(_close(figure, x) for x in self._results(figure, known)) else MISSING

    def _whose(self, figure: Figure) -> set[str]:
        """The clusters that a figure is about."""
        before = {match.lastgroup for match in self.clusters if match.end() <= figure.start}
        after = [match for match in self.clusters if match.start() >= figure.end]
        if after and self._follows(figure, after[0]):
            return {after[0].lastgroup}  # 64 of the 402 Bouncers
        return before or {ALL} | (self.context or {match.lastgroup for match in after[:1]})

    def _follows(self, figure: Figure, word: re.Match) -> bool:
        """Whether a word is what the figure counts."""
        between = self.text[figure.end : word.start()]
        counted = GRAMMAR["between a number and what it counts"].fullmatch(between)
        return bool(word.start() >= figure.end and counted)

    def _measures(self, figure: Figure) -> set[str]:
        """The measures that a figure may give: what follows it at once, else what is named."""
        if self.titles:
            return self.titles
        share = figure.unit in ("percent", "fraction")
        for cue in self.cues:
            if self._follows(figure, cue) and not (share and cue.lastgroup == "size"):
                return _meant([cue])
        clauses = [match.span() for match in GRAMMAR["clause"].finditer(self.text)]
        left, right = next((c for c in clauses if c[0] <= figure.start < c[1]), (0, 0))
        for cues in ([cue for cue in self.cues if left <= cue.start() < right], self.cues):
            named = _meant(cues)
            if "other" in named:
                return {"other"}
            if named - {"size"}:
                videos = self.data.titles if "completion" in named and not figure.unit else set()
                return named | videos | {"size"}
            if named:
                break  # "30 viewers at 90 %": what a later clause names is not meant
        return {"size"} if figure.unit == "times" else set(VOCABULARY["main"])

    def _results(self, figure: Figure, known: list[Fact]) -> Iterator[float]:
        """Sums, differences and ratios of one measure of the clusters that are named."""
        named = {match.lastgroup for match in self.clusters}
        if GRAMMAR["they"].search(self.text) or not named:
            named |= self.context
        by_kind: dict[tuple[str, str], dict[str, float]] = {}
        for fact in known:  # the mean of a cluster stands before its percentiles
            by_kind.setdefault((fact.measure, fact.kind), {}).setdefault(fact.cluster, fact.value)
        for (_, kind), values in by_kind.items():
            picked = [value for name, value in values.items() if name in named]
            if (kind, figure.unit) == ("count", ""):
                yield sum(picked)
            if kind == "count" and figure.unit in ("percent", "fraction") and any(picked):
                yield 100 * sum(picked) / values[ALL]
            for one, other in permutations(picked, 2):
                if figure.unit == "times" and other:
                    yield one / other
                if (kind, figure.unit) in (("percent", "points"), ("count", "")):
                    yield one - other


def _meant(cues: list[re.Match]) -> set[str]:
    names = (VOCABULARY["meant"].get(cue.lastgroup, [cue.lastgroup]) for cue in cues)
    return {name for group in names for name in group}


def _is_quoted(title: str, text: str) -> bool:
    """Whether a text names a video: in quotes, or by three words or more."""
    quote = "" if len(title.split()) > 2 else "[“”\"‘’'*_]"
    return bool(re.search(f"{quote}{re.escape(title)}{quote}", text, re.I))


def _close(figure: Figure, fact: float) -> str:
    """Whether a figure says a number as it is written, or about it; "" if neither."""
    fraction = figure.unit == "fraction"
    for value, half in figure.readings:
        away = abs(value - fact) - half - 1e-9 * abs(fact)
        if away <= 0 and not fraction and not figure.hedged:
            return FOUND
        if away <= (CLOSE_SHARE if fraction else CLOSE * value) and (fraction or figure.hedged):
            return DERIVED
    return ""
