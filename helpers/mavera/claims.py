"""Figures in Mave's text that the data sent do not hold.

A figure is a count, a share, a percent or an amount. Durations, dates, ordinals, list numbers,
names with digits (Q3, B2B) and thresholds of the rules are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    r"|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b\.?"
)
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_PEOPLE = r"(?:viewers?|visitors?|people|persons?|users?|sessions?|visits?|views?|plays?|leads?)"
MASKS = [
    re.compile(pattern, flags)
    for pattern, flags in (
        (r"\]\([^)\s]*(?:\s\"[^\"]*\")?\)|<?\bhttps?://[^\s)>\]]+|\bwww\.[^\s)>\]]+", 0),  # links
        (r"\[\^?\d{1,3}\]", 0),  # references
        (r"^[ \t>*_#|+-]*\(?\d{1,2}[.):](?=[\s*_]|$)", re.M),  # list numbers
        (r"^#+[ \t*_]*\d{1,2}(?=[ \t]+[A-Z])(?![ \t]+" + _PEOPLE + ")", re.M | re.I),
        (r"(?<![\w(])\d\)(?=\s)", 0),
        (r"\b\d{4}-\d{2}(?:-\d{2})?(?:T[\d:.]+Z?)?\b", 0),  # dates and times
        (r"\b\d{1,2}([./])\d{1,2}\1(?:\d{4}|\d{2})\b", 0),
        (rf"\b{_MONTH}\s+{_DAY}\b(?:\s*[-–]\s*\d{{1,2}}\b)?(?:,?\s+\d{{4}}\b)?", 0),
        (rf"\b(?:\d{{1,2}}\s*[-–]\s*)?{_DAY}\s+(?:of\s+)?{_MONTH}(?:\s+\d{{4}}\b)?", 0),
        (rf"(?<![\d.,$€£])\b(?:19|20)\d\d\b(?![.,]?\d|\s*%|\s+{_PEOPLE}\b)", re.I),
        (r"\b\d{1,2}(?::\d{2}){1,2}(?:\s*[ap]\.?m\b)?", re.I),
        (r"\b(?:\d{1,2}\s*(?:[-–]|to|and)\s*)?\d{1,2}\s?[ap]\.?m\b", re.I),
        (r"\b24/7\b|\b\d+(?:\.\d+){2,}\b|\d[\ufe0f\u20e3]+", 0),
        (r"\b(?:aged?|ages)\s+\d{1,2}(?:\s*(?:[-–]|to|and)\s*\d{1,2})?", re.I),
    )
]  # fmt: skip
NUMBER = re.compile(
    r"(?<![A-Za-z0-9#/@.,:])(?<![A-Za-z]-)(?<![A-Za-z0-9]_)"
    r"(?P<currency>(?:US)?[$€£¥]\s?|\b(?:USD|EUR|GBP)\s)?"
    r"(?P<digits>\d{1,3}(?:[,\u00a0\u202f]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:[.,]\d+)?)"
    r"(?P<scale>\s?(?:k|K|M|m|bn|B)\b|\s(?:thousand|million|billion)\b)?"
    r"(?P<unit>\s?%|[\s-](?:percent(?:age)?(?:[\s-]points?)?|per\scent|pp)\b|\s?[x×](?![a-z])|-?fold\b"
    r"|\s(?:USD|EUR|GBP|dollars?|euros?|pounds?)\b)?"
)
SCALES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "b": 1e9, "bn": 1e9}
SCALES["billion"] = 1e9
DURATION = re.compile(
    r"(?:[\s-]*(?:\+|or (?:more|less|fewer)))?[\s-]*"
    r"(?:(?:business|working|full|calendar|more|short)[\s-])?(?:(?:milli)?seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|quarters?"
    r"|years?|yrs?|ms|s|h|d)\b",
    re.I,
)
LABEL = re.compile(
    r"\b(?:step|phase|tier|option|part|chapter|section|week|day|month|year|quarter|level|stage"
    r"|persona|cluster|segment|group|e-?mail|touch(?:point)?|figure|table|version|priority|point"
    r"|item|no\.|number|question|action|episode|lesson|module|act|round|wave|series|rank|fortune"
    r"|soc|iso|top)s?[\s:*_-]*(?:\d+\s*(?:,|&|and|or|to|[-–])\s*)*$",
    re.I,
)
BEFORE = re.compile(
    r"(?:\b(?:under|below|less than|fewer than|over|above|more than|at least|at most|up to|minimum"
    r"(?: of)?|beyond|past|reach(?:es|ed)?|exceed(?:s|ed|ing)?|threshold(?: of)?)|[≥≤<>]=?)"
    r"\s*[*_]*$",
    re.I,
)
AFTER = re.compile(
    r"[*_]*(?:\s?\+|(?:\s+\w+)?\s+or\s+(?:more|fewer|less|above|higher|over|below)\b"
    r"|\s+and\s+(?:above|over|up|more)\b|\s+(?:completion|mark|threshold|line|cut-?off)\b"
    r"|\s+of\s+(?:each|every|a|the|their)\s+(?:one|video)\b)",
    re.I,
)
BEHAVIOUR = re.compile(
    r"[*_]*(?:\s?\+|\s+or\s+(?:more|fewer|less))\s+(?:\w+\s+)?(?:videos?|visits?|sessions?|times)\b"
    r"|[*_]*\s+(?:videos?|visits?|sessions?)\s+or\s+(?:more|fewer|less)\b",
    re.I,
)
ABOUT = re.compile(
    r"(?:\b(?:about|around|roughly|nearly|almost|approximately|approx\.?|some|over|more than"
    r"|close to|just under)|[~≈])\s*[*_]*$",
    re.I,
)


@dataclass(frozen=True)
class Figure:
    """One figure as written, at ``start`` to ``end`` of the text, with the numbers it gives."""

    start: int
    end: int
    text: str
    numbers: tuple[re.Match, ...]
    about: bool = False


@dataclass(frozen=True)
class Held:
    """What the data hold: percentages (0–100), all plain numbers, thresholds, quoted names."""

    percents: tuple[float, ...] = ()
    plain: tuple[float, ...] = ()
    rules: frozenset[tuple[float, bool]] = frozenset()
    names: tuple[str, ...] = ()


def held(data: Any) -> Held:
    """Numbers and names of the data block that was sent."""
    percents, plain, rules, names = [], [], set(), []
    for key, value in _leaves(data):
        if isinstance(value, str):
            if key in ("title", "name") and re.search(r"\d", value):
                names.append(value)
            for column, number in (
                re.findall(r"(\w+) *[<>=]+ *(\d+(?:\.\d+)?)", value) if (key == "rule") else ()
            ):
                rules.add((float(number), "percent" in column))
            if key == "description":
                for match in NUMBER.finditer(value):
                    into = percents if _is_percent(match) else plain
                    into += [number for number, _ in _readings(match)]
        elif "share" in key:
            percents.append(value * 100)
            plain.append(value)
        else:
            plain.append(value)
            if "percent" in key:
                percents.append(value)
    names.sort(key=len, reverse=True)
    return Held(tuple(percents), (*plain, *percents), frozenset(rules), tuple(names))


def _leaves(data: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _leaves(value, name if name not in ("p10", "p50", "p90") else key)
    elif isinstance(data, list):
        for value in data:
            yield from _leaves(value, key)
    elif isinstance(data, str | int | float) and not isinstance(data, bool):
        yield key, data


def unsupported(text: str, data: Any) -> list[str]:
    """Figures of a text that the data do not hold after rounding, as written, each once.

    Parameters
    ----------
    text : str
        Markdown.
    data : JSON content
        The data block that was sent; keys with ``share`` run from 0 to 1, with ``percent`` to 100.

    Examples
    --------
    >>> unsupported("89 of 1,300 viewers (82.4 %)", {"viewers": 89, "avg_percent_watched": 82.41})
    ['1,300']
    """
    known = held(data)
    wrong = [figure.text for figure in figures(text, known) if not _holds(figure, known)]
    return list(dict.fromkeys(wrong))


def figures(text: str, known: Held | None = None) -> list[Figure]:
    """All figures of a text, in order, whether the data hold them or not."""
    known, masked = known or Held(), text
    if "(1)" in text and "(2)" in text:
        masked = re.sub(r"\(\d\)", "   ", masked)
    for name in known.names:
        masked = re.sub(re.escape(name), lambda m: " " * len(m[0]), masked, flags=re.I)
    for mask in MASKS:
        masked = mask.sub(lambda match: " " * len(match[0]), masked)
    found = []
    for group in _groups(masked):
        start, end = group[0].start(), group[-1].end()
        left, right = masked[max(0, start - 40) : start], masked[end : end + 40]
        if not _is_other(group[-1], left, right, known):
            about = bool(ABOUT.search(left))
            found.append(Figure(start, end, text[start:end], tuple(group), about))
    return found


def _groups(masked: str) -> Iterator[list[re.Match]]:
    """Numbers, a range (10–15 %) or a ratio (1 in 4) together as one figure."""
    group: list[re.Match] = []
    for match in NUMBER.finditer(masked):
        between = masked[group[-1].end() : match.start()] if group else ""
        lone = len(group) == 1 and not (group[0]["unit"] or "").strip(" %")
        ratio = re.fullmatch(r"\s(?:in|out of(?: every)?|in every)\s|/", between)
        span = re.fullmatch(r"\s?[-–—]\s?|\sto\s", between) or (
            between == " and " and masked[: group[0].start()].lower().endswith("between ")
        )
        if lone and (span or (ratio and not match["unit"])):
            group.append(match)
            continue
        if group:
            yield group
        group = [match]
    if group:
        yield group


def _is_other(match: re.Match, left: str, right: str, known: Held) -> bool:
    """Whether a number is no figure: an ordinal, a duration, a label, a threshold of a rule."""
    unit = (match["unit"] or "").strip()
    bare = not unit and not match["currency"] and not match["scale"]
    if bare and (DURATION.match(right) or re.match(r"(?:st|nd|rd|th)\b", right)):
        return True
    if bare and (re.match(r"[A-Za-z]", right) or LABEL.search(left)):
        return True  # 1080p, 5G; Step 2, top 3
    if bare and re.match(r"-(?!viewer|visitor|person)[A-Za-z]", right):
        return True  # a 3-part series
    if unit in ("x", "×") and re.match(r"\s*(?:a|per|/)\s*(?:day|week|month|year)", right):
        return True
    if _is_percent(match) and re.match(r"\s+(?:points?|percentile|quantile)\b", right):
        return True
    if match["currency"] or match["scale"]:
        return False
    if bare and BEHAVIOUR.match(right):
        return True
    threshold = (_readings(match)[0][0], _is_percent(match)) in known.rules
    return threshold and bool(BEFORE.search(left) or AFTER.match(right))


def _is_percent(match: re.Match) -> bool:
    return bool(re.search(r"%|per|pp", match["unit"] or ""))


def _readings(match: re.Match) -> list[tuple[float, float]]:
    """(value, half of its last place) of a number as written; 1.247 may be read in two ways."""
    digits = re.sub(r"[\u00a0\u202f]", ",", match["digits"])
    scale = SCALES.get((match["scale"] or "").strip().lower(), 1.0)
    texts = [digits.replace(",", "")] if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", digits) else [
        digits.replace(",", ".")
    ]  # fmt: skip
    if re.fullmatch(r"\d{1,3}\.\d{3}", digits):
        texts.append(digits.replace(".", ""))
    return [
        (float(text) * scale, 0.5 * scale * 10.0 ** -len(text.partition(".")[2])) for text in texts
    ]


def _holds(figure: Figure, known: Held) -> bool:
    last = figure.numbers[-1]
    if re.search(r"[$€£¥]|USD|EUR|GBP|dollar|euro|pound|[x×]|fold", figure.text):
        return False  # no amount and no multiple is among the data
    percent = _is_percent(last)
    each = [_one_holds(number, known, figure.about, percent) for number in figure.numbers]
    if all(each):
        return True
    if len(each) == 2 and re.search(r"\bin\b|out of|/", figure.text):
        part, whole = (_readings(number)[0][0] for number in figure.numbers)
        return whole > 0 and any(abs(x - 100 * part / whole) <= 10 / whole for x in known.percents)
    return False


def _one_holds(number: re.Match, known: Held, about: bool, percent: bool) -> bool:
    values = known.percents if percent else known.plain
    for value, half in _readings(number):
        zeros = len(number["digits"]) - len(number["digits"].rstrip("0"))
        if about and "." not in number["digits"] and (percent or value >= 100):
            half = max(half, 0.5 * 10 ** min(zeros, 1 if percent else 6))
        if any(abs(x - value) <= half + 1e-9 * max(1, value) for x in values):
            return True
    return False
