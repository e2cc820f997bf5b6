"""Each figure of Mave's text looked up in the data that was sent, for its cluster and its measure.

A figure is *found*, *derived* by one operation on the same measure of clusters (sum, difference,
ratio), or *not in the data*. Found says that the number stands there for that cluster, not that
the sentence is true.
"""

from __future__ import annotations

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

KINDS = {
    "": {"count", "number"}, "percent": {"percent"}, "fraction": {"percent"},
    "hours": {"hours"}, "minutes": {"minutes"},
}  # fmt: skip
"""Kinds of number that a unit may stand for."""
MEANT = {"people": {"size", "identified", "new people"}, "new": {"new", "new people"}}
"""What else a word may name beside its own measure."""
MAIN = {"size", "identified", "completion", "videos", "visits", "drop"}  # where no measure is named
COMMON = ("viewer", "watcher", "visitor", "user")  # last words of titles that any text has
THEY = re.compile(r"\b(?:they|them|their|these|this)\b", re.I)
JOINED = re.compile(r"\s*(?:,|and|&|or|\+|,\s*and)\s*(?:the\s|\d[\d,]*\s)?")
ATTACHED = re.compile(rf"[\s*_-]*(?:(?:{VOCABULARY['between']})[\s*_]+)*")
SENTENCE = re.compile(r"(?:[\W_]*\d{1,2}[.)]\s)?.+?(?:[.!?](?=\s)|$)")
CLAUSE_END = re.compile(r"[,;:](?=\s)|[()|]|\s[–—-]\s")
PERCENTILE = re.compile(r"\b(?:or more|or less|or fewer|between|at least|at most)\b", re.I)
LIMIT_BEFORE = re.compile(
    r"(?:under|below|before|less than|over|above|more than|[<>≤≥]=?)\s*$", re.I
)
LIMIT_AFTER = re.compile(r"\s?(?:or (?:more|less|fewer)|and (?:more|above))\b", re.I)


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
        self.facts = [Fact(ALL, "size", "count", data.get("total_viewers") or 0), *sent]
        for measure in {fact.measure for fact in sent}:
            for kind in ("count", "hours"):
                same = [fact.value for fact in sent if (fact.measure, fact.kind) == (measure, kind)]
                self.facts.append(Fact(ALL, measure, kind, sum(same), DERIVED))
                if kind == "count" and measure != "size":
                    share = 100 * sum(same) / max(data.get("total_viewers") or 0, 1)
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
            for match in SENTENCE.finditer(line[0]):
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
    words = r"s?\s".join(first) + r"s?\s" if first else ""
    return rf"(?:{words}){'?' if last.lower() not in COMMON else ''}{last}s?"


class _Sentence:
    """One sentence: the clusters and measures that it names, and where."""

    def __init__(self, data: SentData, text: str, context: set[str]):
        self.data, self.text, self.context = data, text, context
        self.clusters = list(data.named.finditer(text))
        taken = {place for match in self.clusters for place in range(*match.span())}
        self.cues = [cue for cue in data.cues.finditer(text) if cue.start() not in taken]
        self.titles = {title for title in data.titles if _is_quoted(title, text)}

    def judge(self, figure: Figure) -> str:
        """The verdict on a figure; "" for a limit of the rules and for hours of no viewing."""
        before, after = self.text[: figure.start], self.text[figure.end :]
        limit = any(value in self.data.limits for value, _ in figure.readings)
        if (
            limit
            and figure.unit != "fraction"
            and (LIMIT_BEFORE.search(before) or LIMIT_AFTER.match(after))
        ):
            return ""
        if figure.unit in ("hours", "minutes") and not re.search(r"watch|spen[dt]|view", self.text):
            return ""
        if figure.unit == "fraction" and PERCENTILE.search(self.text):
            return DERIVED  # a quarter of them saw 9 videos or more: the 9 is looked up
        clusters, measures = self._whose(figure), self._measures(figure)
        kinds = KINDS.get(figure.unit, set())
        if figure.unit == "times" and "visits" in measures:
            kinds = {"number"}  # come back 3.5 times
        known = [fact for fact in self.data.facts if fact.measure in measures]
        for fact in known:
            if (
                fact.cluster in clusters
                and fact.kind in kinds
                and (how := _close(figure, fact.value))
            ):
                return max(how, fact.verdict, key=(FOUND, DERIVED).index)
        return DERIVED if any(_close(figure, x) for x in self._results(figure, known)) else MISSING

    def _whose(self, figure: Figure) -> set[str]:
        """The clusters that a figure is about."""
        before = [match for match in self.clusters if match.end() <= figure.start]
        after = [match for match in self.clusters if match.start() >= figure.end]
        every = (
            {ALL}
            if re.search(r"\bof (?:the |all |your )?[*_]*$", self.text[: figure.start])
            else set()
        )
        if after and ATTACHED.fullmatch(self.text[figure.end : after[0].start()]):
            return every | {after[0].lastgroup}  # 64 of the 402 Bouncers
        if before and not (self.context and THEY.search(self.text, before[-1].end(), figure.start)):
            found = {before[-1].lastgroup}
            for left, right in zip(before[-2::-1], before[:0:-1], strict=False):
                if not JOINED.fullmatch(self.text[left.end() : right.start()]):
                    break
                found.add(left.lastgroup)
            return every | found
        return {ALL} | (self.context or {match.lastgroup for match in after[:1]})

    def _measures(self, figure: Figure) -> set[str]:
        """The measures that a figure may give: what follows it at once, else what is named near."""
        ends = [0, *(match.end() for match in CLAUSE_END.finditer(self.text)), len(self.text)]
        left = max(end for end in ends if end <= figure.start)
        right = min(end for end in ends if end >= figure.end)
        if self.titles:
            return self.titles
        share = figure.unit in ("percent", "fraction")
        for cue in self.cues:
            between = self.text[figure.end : cue.start()]
            far = cue.start() < figure.end or share and cue.lastgroup == "size"
            if not far and ATTACHED.fullmatch(between):
                return MEANT.get(cue.lastgroup, {cue.lastgroup})
        for cues in ([c for c in self.cues if left <= c.start() < right], self.cues):
            named = {name for cue in cues for name in MEANT.get(cue.lastgroup, {cue.lastgroup})}
            if "other" in named:
                return {"other"}
            if named - {"size"}:
                videos = self.data.titles if "completion" in named and not figure.unit else set()
                return named | videos | {"size"}
            if named and figure.unit in ("", "percent"):
                break  # "30 viewers at 90 %": what a later clause names is not meant
        return {"size"} if figure.unit == "times" else MAIN

    def _results(self, figure: Figure, known: list[Fact]) -> Iterator[float]:
        """Sums, differences and ratios of one measure of the clusters that are named."""
        named = {match.lastgroup for match in self.clusters}
        named |= self.context if THEY.search(self.text) or not named else set()
        compared = bool(re.search(r"\b(?:more|fewer|less|than|difference|gap)\b", self.text))
        by_kind: dict[tuple[str, str], dict[str, float]] = {}
        for fact in known:  # the mean of a cluster stands before its percentiles
            by_kind.setdefault((fact.measure, fact.kind), {}).setdefault(fact.cluster, fact.value)
        for (_, kind), values in by_kind.items():
            picked = [value for name, value in values.items() if name in named]
            if kind == "count" and figure.unit == "":
                yield sum(picked)
            if figure.unit in ("percent", "fraction") and kind in ("count", "hours"):
                yield from (100 * part / values[ALL] for part in (sum(picked), *picked) if part)
            for one, other in permutations(picked, 2):
                if figure.unit in ("times", "fraction") and other:
                    yield one / other * (100 if figure.unit == "fraction" else 1)
                if (figure.unit, kind) in {
                    ("points", "percent"),
                    ("" if compared else None, "count"),
                }:
                    yield one - other


def _is_quoted(title: str, text: str) -> bool:
    """Whether a text names a video: in quotes, or by three words or more."""
    quotes = "" if len(title.split()) > 2 else "[“\"‘'*_]"
    return bool(
        re.search(
            quotes + re.escape(title) + quotes.replace("“", "”").replace("‘", "’"), text, re.I
        )
    )


def _close(figure: Figure, fact: float) -> str:
    """Whether a figure says a number as it is written, or about it; "" if neither."""
    for value, half in figure.readings:
        share = figure.unit == "fraction"
        if not share and not figure.hedge and abs(value - fact) <= half + 1e-9 * abs(fact):
            return FOUND
        if figure.hedge or share:
            reach = min(CLOSE_SHARE, value / 10) if share else max(CLOSE * value, half)
            low = value - reach * (2 if figure.hedge == "under" else figure.hedge != "over")
            high = value + reach * (2 if figure.hedge == "over" else figure.hedge != "under")
            if low - half <= fact <= high + half:
                return DERIVED
    return ""
