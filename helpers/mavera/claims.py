"""Each figure of Mave's text looked up in the data that was sent, for its cluster and its measure.

A figure is *found*, *derived* by one operation (sum, difference, ratio) on one measure of clusters,
or on the videos or countries of one, or *not in the data*. Found says that the number stands there
for that cluster, not that the sentence is true. The words that name measures stand in
``texts/words.yml``.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import Any

from babel import Locale

from helpers.mavera.figures import (
    DERIVED,
    FOUND,
    GRAMMAR,
    MISSING,
    VOCABULARY,
    Figure,
    compare,
    find_figures,
    find_passages,
)

ALL = "*"  # in the place of a cluster, none of which can be called so: all viewers
SHARES = ("percent", "fraction")
# Kind of numbers and unit of a figure that may be their difference, as of counts.
COMPARED = (("percent", "points"), ("number", ""), ("minutes", "minutes"))


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
    family: str = ""  # what it is one of: countries, top_videos


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
        sizes = {row["cluster"]: row["viewers"] for row in rows if row.get("viewers")}
        total = data.get("total_viewers") or sum(sizes.values())
        self.sizes = sizes | {ALL: total}
        self.facts = [Fact(ALL, "size", "count", total), *sent]
        self.counts = [fact for fact in sent if fact.kind == "count"]
        counts = [fact for fact in self.counts if fact.measure != "size"]
        for measure in dict.fromkeys(fact.measure for fact in counts):
            same = sum(fact.value for fact in counts if fact.measure == measure)
            counts.append(Fact(ALL, measure, "count", same, DERIVED))
        for fact in counts:
            share = 100 * fact.value / max(self.sizes.get(fact.cluster, total), 1)
            self.facts += [fact, replace(fact, kind="percent", value=share, verdict=DERIVED)]
        self.titles = {fact.measure for fact in sent if fact.family == "top_videos"}
        self.titled = re.compile("|".join(map(re.escape, self.titles)) or "$^", re.I)
        names = self.titles | set(re.findall(r"[A-Z]\w+ \d+", "|".join(self.titles)))
        names |= {title for title in titles.values() if re.search(r"\d", title)}
        self.names = sorted((name for name in names if not name.isdigit()), key=len, reverse=True)
        codes = {fact.measure for fact in sent if fact.family == "countries"}
        countries = {code: _country(code) for code in codes}
        self.cues = _named_groups(countries | VOCABULARY["measures"])
        self.named = _named_groups(_patterns(titles))
        rules = " ".join(str(row.get("rule")) for row in rows)
        limits = re.findall(r"(\w+)\s*[<>=]+\s*(\d+)", rules)
        self.limits = {("percent" in column, float(number)) for column, number in limits}

    def check(self, text: str, cluster: str = "") -> list[Claim]:
        """The figures of a text, each with its verdict.

        Parameters
        ----------
        text : str
            Markdown.
        cluster : str
            The cluster whose section the text is.
        """
        claims, named, topic, last = [], set(), set(), ""
        counted = "|".join(("videos", "visits", self.named.pattern))
        for line, start, lead, words in find_passages(text):
            goes_on = line == last or GRAMMAR["goes on"].search(words)
            said = _Sentence(self, lead + words, cluster, named, topic if goes_on else set())
            for figure in find_figures(said.text, names=self.names, counted=counted):
                place = figure.start - len(lead)
                if place >= 0 and (verdict := said.judge(figure)):
                    claims.append(Claim(figure.text, line, verdict, start + place))
            last, topic = line, said.titles | _meant(said.cues)
            named = said.said | said.they
        return claims


def _facts(
    row: dict[str, Any], cluster: str, measure: str = "", kind: str = "", family: str = ""
) -> Iterator[Fact]:
    for key, value in row.items():
        name, of = VOCABULARY["fields"].get(key, (key, kind))
        if isinstance(value, list):
            for part in value:
                yield from _facts(part, cluster, part.get("title") or part.get("name"), family=key)
        elif isinstance(value, dict):
            yield from _facts(value, cluster, name, of)
        elif isinstance(value, int | float):
            value *= 100 if key.endswith("share") else 1
            yield Fact(cluster, measure or name, of, value, family=family)


def _named_groups(patterns: dict[str, str]) -> re.Pattern:
    groups = (rf"(?P<{name}>(?<!\w)(?:{pattern})(?!\w))" for name, pattern in patterns.items())
    return re.compile("|".join(groups) or "$^", re.I)


def _country(code: str) -> str:
    """A country's code, its name and its people: IN, India, Indian."""
    name = re.sub(r" \(.*| SAR .*", "", Locale("en").territories.get(code, code))
    stem = re.escape(name[:-1] if len(name) > 4 else name)
    return "|".join([rf"(?-i:{code}|{stem}\w*)", *VOCABULARY["countries"].get(code, [])])


def _patterns(titles: dict[str, str]) -> dict[str, str]:
    """Of each title, the longest first, so that none is taken for one that it begins with.

    In the singular too; its last word, or "the X group", where no other title or text has the word.
    """
    words = {
        name: [word.removesuffix("s") for word in title.lower().split()]
        for name, title in sorted(titles.items(), key=lambda item: -len(item[1]))
        if title
    }
    told = Counter(word for title in words.values() for word in set(title))
    common, patterns = {*VOCABULARY["common"], *(word for word in told if told[word] > 1)}, {}
    for name, title in words.items():
        *first, last = map(re.escape, title)
        whole = "".join(rf"{word}s?\s" for word in first)
        patterns[name] = rf"(?:{whole}){'?' * (title[-1] not in common)}{last}s?"
        if first and title[0] not in common:
            patterns[name] += rf"|{first[0]}\s(?:group|cluster|segment|audience|viewers?)"
    return patterns


class _Sentence:
    """One sentence: the clusters and measures that it names, and where.

    Parameters
    ----------
    data : SentData
    text : str
    section : str
        The cluster whose section it is in, or "".
    named : set of str
        The clusters that were named last.
    topic : set of str
        The measures and titles that the sentence before it in its line is about.
    """

    def __init__(self, data: SentData, text: str, section: str, named: set[str], topic: set[str]):
        self.data, self.text, self.section, self.topic = data, text, section, topic
        self.holds = {name for name, pattern in GRAMMAR.items() if pattern.search(text)}
        self.clauses = [match.span() for match in GRAMMAR["clause"].finditer(text)]
        self.clusters = list(data.named.finditer(text))
        self.said = {match.lastgroup for match in self.clusters}
        covered = [*self.clusters, *data.titled.finditer(text)]
        taken = {place for match in covered for place in range(*match.span())}
        self.cues = [cue for cue in data.cues.finditer(text) if cue.start() not in taken]
        self.titles = {title for title in data.titles if _is_named(title, text)}
        self.titles |= topic & data.titles
        self.context = {section} if section else named
        about_them = section or "they" in self.holds or not self.clusters
        self.they = self.context if about_them else set()

    def judge(self, figure: Figure) -> str:
        """The verdict on a figure; "" for a limit of the rules."""
        before, after = self.text[max(0, figure.start - 30) : figure.start], self.text[figure.end :]
        values = {value for value, _ in figure.readings}
        near_limit = GRAMMAR["limit before"].search(before) or GRAMMAR["limit after"].match(after)
        limits = {({"percent": True, "": False}.get(figure.unit), value) for value in values}
        if near_limit and limits & self.data.limits:
            return ""
        if figure.unit == "fraction" and values & {25, 50, 75} and "percentile" in self.holds:
            return DERIVED  # a quarter of them saw 9 videos or more: the 9 is looked up
        left, right = next((c for c in self.clauses if c[0] <= figure.start < c[1]), (0, 0))
        clusters, measures = self._whose(figure), self._measures(figure, left, right)
        known = [fact for fact in self.data.facts if fact.measure in measures]
        if "mean" in self.holds:  # the mean of a cluster stands before its percentiles
            means = {(f.cluster, f.measure, f.kind, f.family and f.value): f for f in known[::-1]}
            known = list(means.values())
        verdict = self._look_up(figure, known, clusters)
        # Such digits rarely agree by chance: they may be of a measure that is not named here.
        is_precise = re.search(r"\d\d[1-9]|[1-9]\d[.,]\d", figure.text)
        if verdict == MISSING and is_precise:
            verdict = self._look_up(figure, self.data.facts, clusters | self.they | {ALL})
        supposed = GRAMMAR["supposed"].search(self.text, left, right)
        is_goal = supposed and not GRAMMAR["baseline"].search(before)
        return MISSING if verdict == DERIVED and is_goal else verdict

    def _look_up(self, figure: Figure, known: list[Fact], clusters: set[str]) -> str:
        is_cell = "|" in self.text and not figure.unit  # the unit may stand at a column's head
        kinds = VOCABULARY["kinds"].get("cell" if is_cell else figure.unit, [])
        if figure.unit == "times" and any(fact.measure == "visits" for fact in known):
            kinds = ["number"]  # come back 3.5 times
        for fact in known:
            close = compare(figure, fact.value) if fact.kind in kinds else ""
            if close and fact.cluster in clusters:
                return DERIVED if DERIVED in (close, fact.verdict) else FOUND
        return DERIVED if any(compare(figure, x) for x in self._results(figure, known)) else MISSING

    def _whose(self, figure: Figure) -> set[str]:
        """The clusters that a figure is about."""
        before = {match.lastgroup for match in self.clusters if match.end() <= figure.start}
        after = [match for match in self.clusters if match.start() >= figure.end]
        if after and self._follows(figure, after[0]):
            return {after[0].lastgroup}  # 64 of the 402 Bouncers
        named = before | self.they if before else self.context
        named = named or {match.lastgroup for match in after[:1]}
        is_share = figure.unit in SHARES and "all" not in self.holds
        return named if is_share and (before or self.section) else named | {ALL}

    def _follows(self, figure: Figure, word: re.Match) -> bool:
        """Whether a word is what the figure counts."""
        counted = GRAMMAR["between a number and what it counts"]
        return bool(counted.fullmatch(self.text, figure.end, word.start()))

    def _measures(self, figure: Figure, left: int, right: int) -> set[str]:
        """The measures that a figure may give, by its clause."""
        never = set(VOCABULARY["never"].get(figure.unit, []))
        for cue in self.cues:
            counted = cue.lastgroup not in ("size", "whole") and _meant([cue]) - never
            if counted and self._follows(figure, cue):
                return counted | self.titles
        always = set(VOCABULARY["always"].get(figure.unit, []))
        far = {cue: max(cue.start() - figure.end, figure.start - cue.end()) for cue in self.cues}
        by_distance = sorted(far, key=far.get)
        in_clause = [cue for cue in by_distance if left <= cue.start() < right]
        for cues in (in_clause, by_distance):
            meant = [_meant([cue]) - never for cue in cues]
            telling = [names for names in meant if names - {"size"}]
            others = [names for names in telling if "other" not in names]
            if telling and "other" in telling[0] and (cues is in_clause or not others):
                if figure.unit and GRAMMAR["baseline"].search(self.text, 0, figure.start):
                    return set().union(always, self.titles, *meant)
                return {"other"}
            if others:
                return set().union(always, self.titles, *meant)
            never |= {"other"} if cues else set()  # "30 viewers at 90 %, worth $5,000 each"
        usual = set(VOCABULARY["main"]) | self.topic
        return ({"size"} if figure.unit == "times" else always | usual) | self.titles

    def _results(self, figure: Figure, known: list[Fact]) -> Iterator[float]:
        """Sums, differences, ratios of one measure, or of videos or countries of a cluster."""
        told = self.titles | {cue.lastgroup for cue in self.cues}
        if "several" in self.holds:
            told |= {fact.measure for fact in known if fact.family}
        groups: dict[tuple[str, ...], dict[Any, float]] = {}
        for fact in known:
            if fact.cluster in self.said | self.they | {ALL}:
                group = groups.setdefault((fact.kind, fact.measure), {})
                group.setdefault(fact.cluster, fact.value)
            if fact.cluster in self.said | self.they and fact.family and fact.measure in told:
                group = groups.setdefault((fact.kind, fact.family, fact.cluster), {})
                group.setdefault(fact.measure, fact.value)
        if figure.unit == "points":  # 74 % of a video, 6 points over the cluster's mean
            for fact in known:
                if fact.kind == "percent" and fact.cluster in self.said | self.they:
                    groups.setdefault(("percent", "", fact.cluster), {})[fact] = fact.value
        grows = figure.unit == "percent" and GRAMMAR["grows"].match(self.text, figure.end)
        for (kind, measure, *_), values in groups.items():
            yield from self._rest(figure, kind, values)
            total, unit = values.pop(ALL, 0), figure.unit
            picked = list(values.values())
            sums = {sum(part) for n in {1, 2, 3, len(picked)} for part in combinations(picked, n)}
            if "several" in self.holds and kind == "count":  # the first two clusters
                every = [f.value for f in self.data.counts if f.measure == measure] or picked
                sums |= {sum(some) for size in (2, 3) for some in combinations(every, size)}
            of_all = measure in ("size", "hours") or "all" in self.holds
            adds_up = kind == "count" and unit in ("", "hours")
            if adds_up:
                yield from sums
            if kind == "count" and unit in SHARES and of_all and total:
                yield from (100 * part / total for part in [*picked, *sums])
            if kind == "percent" and unit in SHARES and measure in ("countries", "top_videos"):
                yield from sums
            for one, other in permutations(picked, 2):
                if other and (unit == "times" or "of what" in self.holds):
                    yield (100 if unit in SHARES else 1) * one / other
                if adds_up or unit == "open" or (kind, unit) in COMPARED:
                    yield one - other
                if grows and other:
                    yield abs(100 * one / other - 100)

    def _rest(self, figure: Figure, kind: str, values: dict[str, float]) -> Iterator[float]:
        """Those who are not: 354 of 402 are not identified, if 48 are."""
        if "rest" in self.holds:
            if kind == "percent" and figure.unit in SHARES:
                yield from (100 - value for value in values.values())
            if kind == "count" and not figure.unit:
                left = {
                    name: self.data.sizes.get(name, 0) - value for name, value in values.items()
                }
                yield from (*left.values(), sum(left.values()) - left.get(ALL, 0))


def _meant(cues: list[re.Match]) -> set[str]:
    meant = VOCABULARY["meant"]
    return {name for cue in cues for name in meant.get(cue.lastgroup, [cue.lastgroup])}


def _is_named(title: str, text: str) -> bool:
    """Whether a text names a video: in quotes, or by the stem of one of its words."""
    text = text.replace("\\|", "|")  # as a table writes it
    stems = [re.findall(r"\b(?:\w{3,5}|[A-Z]{2}\b)", part) for part in (title, text)]
    words, said = ({stem.lower().rstrip("s") for stem in part} for part in stems)
    is_quoted = re.search(f"[“”\"‘’'*_]{re.escape(title)}[“”\"‘’'*_]", text, re.I)
    return bool(is_quoted or words & said - set(VOCABULARY["common"]))
