"""Figures as a text writes them: counts, shares, multiples and amounts, in digits or in words.

Durations, dates, list numbers, names with digits, thresholds ("five or more videos") and numbers of
things to make ("3 e-mails") are no figures: they say nothing of the data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LOW = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
LOW += "sixteen seventeen eighteen nineteen"
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
WORDS = {word: number for number, word in enumerate(LOW.split(), 1)}
WORDS |= {word: 10 * number for number, word in enumerate(TENS.split(), 2)}
FRACTIONS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "tenth": 10}
MULTIPLES = {"twice": 2, "double": 2, "triple": 3, "quadruple": 4}
SCALES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "bn": 1e9, "billion": 1e9}
HEDGES = {
    "about": r"about|around|roughly|approximately|some|close to|[≈~]",
    "under": r"nearly|almost|under|fewer than|less than|not quite",
    "over": r"over|more than|at least|upwards of",
}
GONE, PAD, SHARE = "\x00", "\x01", "\x02"  # what is no figure; the rest of a word; a fraction's %

_WORD = f"(?:{'|'.join(sorted(WORDS, key=len, reverse=True))})"
_NUMBER = rf"\b(?:\d+(?:\.\d+)?|{_WORD})"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_LABEL = "step|phase|tier|option|part|chapter|section|week|day|month|year|level|stage|cluster|touch"
_LABEL += "|figure|table|version|priority|question|lesson|no\\.|minute|top|first|last|next|past"
_THING = "e-?mails|messages|calls|touch(?:es|points)|posts|clips|slides|steps|parts|chapters|topics"
_THING += "|questions|pages|stories|ads|versions|openings|webinars|reasons|ideas"
NO_FIGURES = [
    re.compile(pattern, re.I | re.M)
    for pattern in (
        r"\]\([^)\s]*\)|<?\bhttps?://[^\s)>\]]+|\bwww\.\S+|\[\^?\d{1,3}\]",  # links, references
        r"^[ \t>*_#|+-]*\(?\d{1,2}[.):](?=[\s*_])|(?<=; )\d\.(?=\s)|(?<![\w(])\d\)(?=\s)",  # lists
        r"\b\d{4}-\d\d(?:-\d\d)?\b|\b\d{1,2}([./])\d{1,2}\1\d{2,4}\b",  # dates
        rf"\b\d{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?{_MONTH}(?:\s\d{{4}})?\b",
        rf"\b{_MONTH}\s\d{{1,2}}\b(?:,?\s\d{{4}})?",
        r"(?<![\d.,$€£])\b20\d\d\b(?![.,]?\d|\s*%|\s[a-z]+s\b)",
        r"\b\d{1,2}:\d\d(?:\s?[ap]m)?\b|\b\d{1,2}\s?[ap]\.?m\b|\b24/7\b",  # times of day
        rf"\b(?:{_LABEL})s?[\s#-]{{1,2}}{_NUMBER}\b(?!\s?(?:%|percent))",  # step 2, the top 3
        r"\b\d+(?:st|nd|rd|th|p|G)\b|\b\d+(?:\.\d+){2,}\b|\bages?d?\s\d+",
        rf"{_NUMBER}[\s-](?:[a-z]+\s)?(?:seconds?|days?|weeks?|months?|years?)\b",
        rf"\b(?:within|in|after)\s{_NUMBER}\s(?:hours?|minutes?)\b|\b(?:within|in|per)\sa\squarter\b",
        rf"{_NUMBER}-(?!(?:{_WORD}|fold|{'|'.join(FRACTIONS)})s?\b)[a-z]+\b",  # a 3-minute demo
        rf"{_NUMBER}\sor\s(?:more|fewer|less)\s(?:[a-z]+\s)?(?:videos|visits|times)\b",
        rf"{_NUMBER}\s(?:[a-z-]+\s)?(?:{_THING})\b",
        rf"(?:{_NUMBER}(?:\stimes)?|twice)\s?(?:a|per)\s(?:day|week|month|year)\b",
    )
]
SPELT = re.compile(
    rf"\b(?:(?P<part>\d+|{_WORD})\s(?:in|out\sof)\s(?:every\s)?(?P<whole>[1-9]\d*|{_WORD})"
    rf"|half|(?P<parts>an?|one|two|three)[\s-](?P<fraction>{'|'.join(FRACTIONS)})s?"
    rf"|(?P<multiple>{'|'.join(MULTIPLES)})|(?P<dozens>an?|two|three)\sdozen"
    rf"|(?:(?P<hundreds>an?|{_WORD})\shundred(?:\s(?:and\s)?)?)?(?P<words>{_WORD}(?:-{_WORD})?)?)\b",
    re.I,
)
_DIGITS = r"(?:\d{1,3}(?:[,.\u00a0\u202f ]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:[.,]\d+)?)"
FIGURE = re.compile(
    rf"(?<![\w#/@.,:{GONE}])(?<![a-z]-)(?P<money>(?:US)?[$€£¥]\s?|\b(?:USD|EUR|GBP)\s)?"
    rf"(?:(?P<low>{_DIGITS})\s?[-–]\s?)?(?P<number>{_DIGITS})"
    rf"(?P<scale>\s?(?:k|m|bn)\b|{PAD}*\s(?:thousand|million|billion)\b)?{PAD}*"
    rf"(?:(?P<fraction>{SHARE})|(?P<points>[\s-](?:percentage\s)?points?\b|\spp\b)"
    r"|(?P<percent>\s?%|[\s-]percent\b|\sper\scent\b)|(?P<times>x|\s?×|-?fold\b|\stimes\b)"
    r"|(?P<money2>\s(?:USD|EUR|GBP|dollars|euros|pounds)\b)|(?P<hours>\shours)|(?P<minutes>\sminutes))?"
    rf"{PAD}*(?!\w)|\b(?P<trend>doubled|tripled|quadrupled|halved)\b",
    re.I,
)
UNITS = ("fraction", "points", "percent", "times", "money", "hours", "minutes", "trend")


@dataclass(frozen=True)
class Figure:
    """A figure at ``start`` to ``end`` of a text.

    Attributes
    ----------
    readings : tuple of (float, float)
        What it may stand for, with half of the last place written: 1.218 is read in two ways.
    unit : str
        "", "percent", "fraction" (a percent too, in words), "points", "times", "money", "hours",
        "minutes", or "trend" (has doubled).
    hedge : str
        "", "about", "under" (nearly) or "over" (more than).
    """

    start: int
    end: int
    text: str
    readings: tuple[tuple[float, float], ...]
    unit: str = ""
    hedge: str = ""


def find_figures(text: str, *, names: Iterable[str] = (), counted: str = "x") -> Iterator[Figure]:
    """The figures of a text, in order; a range is two figures of one place.

    Parameters
    ----------
    text : str
        Markdown.
    names : iterable of str
        Names with digits, such as titles of videos, that are no figures.
    counted : str
        Regular expression of what is counted: a number up to twelve in words is one before it alone.
    """
    plain = text
    for pattern in [re.compile(re.escape(name), re.I) for name in names] + NO_FIGURES:
        plain = pattern.sub(lambda match: GONE * len(match[0]), plain)
    prose = re.compile(rf"(?!\s(?:percent|times|{counted}))", re.I)
    plain = SPELT.sub(lambda match: _in_digits(match, prose), plain)
    for match in FIGURE.finditer(plain):
        start, end = match.span()
        before = plain[max(0, start - 30) : start]
        hedge = [name for name, words in HEDGES.items()
                 if re.search(rf"\b(?:{words})\s*[*_]*$", before, re.I)]  # fmt: skip
        unit = next((name for name in UNITS if match[name]), "money" if match["money2"] else "")
        scale = SCALES.get((match["scale"] or "").strip(PAD + " ").lower(), 1)
        for number in [n for n in (match["low"], match["number"]) if n] or [""]:
            readings = tuple((v * scale, half * scale) for v, half in _readings(number))
            yield Figure(start, end, text[start:end], readings, unit, "".join(hedge[:1]))


def _in_digits(match: re.Match, prose: re.Pattern) -> str:
    """Words as digits, in as many characters."""
    word = {name: (match[name] or "").lower() for name in match.re.groupindex}

    def number(text: str) -> int:
        return int(text) if text.isdigit() else sum(WORDS.get(w, 1) for w in text.split("-"))

    if match[0].lower() == "half":
        said = f"50{SHARE}"
    elif word["part"]:
        said = f"{100 * number(word['part']) / number(word['whole']):.1f}{SHARE}"
    elif word["fraction"]:
        said = f"{100 * number(word['parts']) / FRACTIONS[word['fraction']]:.1f}{SHARE}"
    elif word["multiple"]:
        said = f"{MULTIPLES[word['multiple']]}x"
    elif word["dozens"]:
        said = str(12 * number(word["dozens"]))
    elif word["hundreds"]:
        said = str(100 * number(word["hundreds"]) + (number(word["words"]) if word["words"] else 0))
    elif (
        not word["words"] or number(word["words"]) <= 12 and prose.match(match.string, match.end())
    ):
        return match[0]
    else:
        said = str(number(word["words"]))
    return said.ljust(len(match[0]), PAD)


def _readings(text: str) -> list[tuple[float, float]]:
    """What digits may stand for, with half of the last place: 1.218 is read in two ways."""
    digits = re.sub(r"[\u00a0\u202f ]", ",", text)
    if re.fullmatch(r"\d{1,3}([,.]\d{3})+(\.\d+)?", digits) and digits.count(".") != 1:
        return [(float(re.sub(r"[,.]", "", digits)), 0.5)]
    whole, _, places = digits.replace(",", ".").rpartition(".")
    read = [(float(f"{whole.replace('.', '')}.{places}"), 0.5 * 10.0 ** -len(places))] if whole else [
        (float(places), 0.5) for _ in places[:1]
    ]  # fmt: skip
    joined = re.fullmatch(r"(\d{1,3})\.(\d{3})", digits)
    return [(float(joined[1] + joined[2]), 0.5), *read] if joined else read
