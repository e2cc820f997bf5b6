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
        sizes = {row["cluster"]: row["viewers"] for row in rows if row.get("viewers")}
        total = data.get("total_viewers") or sum(sizes.values())
        self.facts = [Fact(ALL, "size", "count", total), *sent]
        counts = [fact for fact in sent if fact.kind == "count" and fact.measure != "size"]
        for measure in {fact.measure for fact in counts}:
            same = sum(fact.value for fact in counts if fact.measure == measure)
            counts.append(Fact(ALL, measure, "count", same, DERIVED))
        for fact in counts:
            share = 100 * fact.value / max(sizes.get(fact.cluster, total), 1)
            self.facts += [fact, Fact(fact.cluster, fact.measure, "percent", share, DERIVED)]
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
                    context = {named.lastgroup for named in said.clusters} | said.they
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
            yield Fact(cluster, measure or name, of, value * (100 if key.endswith("share") else 1))


def _anonymous(row: dict[str, Any]) -> Iterator[Fact]:
    size, known = row.get("viewers"), row.get("identified_viewers")
    if size and known is not None:
        yield Fact(row["cluster"], "anonymous", "count", size - known, DERIVED)


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
        self.titles = {title for title in data.titles if _is_named(title, text)}
        self.they = context if GRAMMAR["they"].search(text) or not self.clusters else set()

    def judge(self, figure: Figure) -> str:
        """The verdict on a figure; "" for a limit of the rules."""
        before, after = self.text[: figure.start], self.text[figure.end :]
        near_limit = GRAMMAR["limit before"].search(before) or GRAMMAR["limit after"].match(after)
        fraction, values = figure.unit == "fraction", {value for value, _ in figure.readings}
        if near_limit and not fraction and self.data.limits & values:
            return ""
        if fraction and values & {25, 50, 75} and GRAMMAR["percentile"].search(self.text):
            return DERIVED  # a quarter of them saw 9 videos or more: the 9 is looked up
        clusters, measures = self._whose(figure), self._measures(figure) | self.titles
        kinds = VOCABULARY["kinds"].get(figure.unit or ("cell" if "|" in self.text else ""), [])
        if figure.unit == "times" and "visits" in measures:
            kinds = ["number"]  # come back 3.5 times
        known = [fact for fact in self.data.facts if fact.measure in measures]
        if GRAMMAR["mean"].search(self.text):  # the mean of a cluster stands before its percentiles
            known = {(f.cluster, f.measure, f.kind): f for f in reversed(known)}.values()
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
        named = before | self.they if before else self.context
        named = named or {match.lastgroup for match in after[:1]}
        is_share = figure.unit in ("percent", "fraction") and not GRAMMAR["all"].search(self.text)
        return named if is_share and named else named | {ALL}

    def _follows(self, figure: Figure, word: re.Match) -> bool:
        """Whether a word is what the figure counts."""
        counted = GRAMMAR["between a number and what it counts"]
        return bool(counted.fullmatch(self.text, figure.end, word.start()))

    def _measures(self, figure: Figure) -> set[str]:
        """The measures that a figure may give: what follows it at once, else what is named."""
        always = set(VOCABULARY["always"].get(figure.unit, []))
        for cue in self.cues:
            if self._follows(figure, cue) and cue.lastgroup != "size":
                return _meant([cue])
        never = set(VOCABULARY["never"].get(figure.unit, []))
        clauses = [match.span() for match in GRAMMAR["clause"].finditer(self.text)]
        left, right = next((c for c in clauses if c[0] <= figure.start < c[1]), (0, 0))
        for cues in ([cue for cue in self.cues if left <= cue.start() < right], self.cues):
            named = _meant(cues) - never
            if named - {"size"}:
                return {"other"} if "other" in named else named | always
            never |= named and {"other"}  # "30 viewers at 90 %, worth $5,000 each"
        return {"size"} if figure.unit == "times" else always | set(VOCABULARY["main"])

    def _results(self, figure: Figure, known: list[Fact]) -> Iterator[float]:
        """Sums, differences and ratios of one measure of the clusters that are named."""
        named = {match.lastgroup for match in self.clusters} | self.they
        by_kind: dict[tuple[str, str], dict[str, float]] = {}
        for fact in known:  # the mean of a cluster stands before its percentiles
            by_kind.setdefault((fact.measure, fact.kind), {}).setdefault(fact.cluster, fact.value)
        for (measure, kind), values in by_kind.items():
            picked = [value for name, value in values.items() if name in named]
            adds_up = kind == "count" and figure.unit in ("", "hours")
            if adds_up:
                yield sum(picked)
            of_all = kind == "count" and (measure == "size" or GRAMMAR["all"].search(self.text))
            if of_all and figure.unit in ("percent", "fraction") and any(picked):
                yield 100 * sum(picked) / values[ALL]
            for one, other in permutations(picked, 2):
                if figure.unit == "times" and other:
                    yield one / other
                if adds_up or (kind, figure.unit) in (("percent", "points"), ("number", "")):
                    yield one - other


def _meant(cues: list[re.Match]) -> set[str]:
    meant = VOCABULARY["meant"]
    return {name for cue in cues for name in meant.get(cue.lastgroup, [cue.lastgroup])}


def _is_named(title: str, text: str) -> bool:
    """Whether a text names a video: in quotes, or by the stem of one of its longer words."""
    words, said = (set(re.findall(r"\b\w{4,6}", part.lower())) for part in (title, text))
    quoted = re.search(f"[“”\"‘’'*_]{re.escape(title)}[“”\"‘’'*_]", text, re.I)
    return bool(quoted or words & said - set(VOCABULARY["common"]))


def _close(figure: Figure, fact: float) -> str:
    """Whether a figure says a number as it is written, or about it; "" if neither."""
    fraction = figure.unit == "fraction"
    for value, half in figure.readings:
        away = abs(value - fact) - half - 1e-9 * abs(fact)
        if away <= 0 and not fraction and not figure.hedged:
            return FOUND
        if away <= (CLOSE_SHARE if fraction else CLOSE * value) * (figure.hedged + fraction):
            return DERIVED
    return ""
