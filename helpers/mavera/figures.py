"""Figures as a text writes them: counts, shares, multiples and amounts, in digits or in words.

Durations, dates, list numbers, names with digits, rules ("five or more videos") and numbers of
things to make ("3 e-mails") are no figures: they say nothing of the data. Which words tell these
stands in ``texts/words.yml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

from ruamel.yaml import YAML

SMALL = 12  # "two reasons" is prose: words up to this are figures only before what is counted
GONE, PAD, SHARE = "\x00", "\x01", "\x02"  # what is no figure; the rest of a word; a fraction's %
UNITS = ("fraction", "points", "percent", "times", "money", "hours", "minutes", "trend")


def _read_words() -> dict[str, Any]:
    text = resources.files("helpers.mavera").joinpath("texts", "words.yml").read_text("utf-8")
    words = YAML(typ="safe").load(text)
    parts = {"word": f"(?:{'|'.join(sorted(words['numbers'], key=len, reverse=True))})"}
    parts["number"] = rf"\b(?:\d+(?:\.\d+)?|{parts['word']})"
    parts |= {"fraction": f"(?:{'|'.join(words['fractions'])})", "month": words["month"]}
    for group in ("measures", "hedges", "no_figures", "grammar"):
        for name, pattern in words[group].items():
            pattern = re.sub(r"\{(\w+)\}", lambda m: parts.get(m[1], m[0]), pattern)
            words[group][name] = re.sub(r"\s*\n\s*", "", pattern)
    return words | parts


VOCABULARY = _read_words()
_WORD, _FRACTION = VOCABULARY["word"], VOCABULARY["fraction"]
_DIGITS = r"(?:\d{1,3}(?:[,.\u00a0\u202f ]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:[.,]\d+)?)"
HEDGES = {
    name: re.compile(rf"\b(?:{words})\s*[*_]*$", re.I)
    for name, words in VOCABULARY["hedges"].items()
}
NO_FIGURES = [re.compile(p, re.I | re.M) for p in VOCABULARY["no_figures"].values()]
SPELT = re.compile(
    rf"\b(?:(?P<part>\d+|{_WORD})\s(?:in|out\sof)\s(?:every\s)?(?P<whole>[1-9]\d*|{_WORD})"
    rf"|half|(?P<parts>an?|one|two|three)[\s-](?P<fraction>{_FRACTION})s?"
    rf"|(?P<multiple>{'|'.join(VOCABULARY['multiples'])})|(?P<dozens>an?|two|three)\sdozen"
    rf"|(?P<hundreds>an?|{_WORD})\shundred(?:\s(?:and\s)?(?P<more>{_WORD}(?:-{_WORD})?))?"
    rf"|(?P<words>{_WORD}(?:-{_WORD})?))\b",
    re.I,
)
FIGURE = re.compile(
    rf"(?<![\w#/@.,:{GONE}])(?<![a-z]-)(?P<sign>(?:US)?[$€£¥]\s?|\b(?:USD|EUR|GBP)\s)?"
    rf"(?:(?P<low>{_DIGITS})\s?[-–]\s?)?(?P<number>{_DIGITS})"
    rf"(?P<scale>\s?(?:k|m|bn)\b|{PAD}*\s(?:thousand|million|billion)\b)?{PAD}*"
    rf"(?:(?P<fraction>{SHARE})|(?P<points>[\s-](?:percentage\s)?points?\b|\spp\b)"
    r"|(?P<percent>\s?%|[\s-]percent\b|\sper\scent\b)|(?P<times>x|\s?×|-?fold\b|\stimes\b)"
    r"|(?P<money>\s(?:USD|EUR|GBP|dollars|euros|pounds)\b)|(?P<hours>\shours)|(?P<minutes>\sminutes))?"
    rf"{PAD}*(?!\w)|\b(?P<trend>doubled|tripled|quadrupled|halved)\b",
    re.I,
)


@dataclass(frozen=True)
class Figure:
    """A figure at ``start`` to ``end`` of a text.

    Attributes
    ----------
    readings : tuple of (float, float)
        What it may stand for, with half of the last place written: 1.218 is read in two ways.
    unit : str
        "" or one of :data:`UNITS`; a fraction is a percent in words, a trend is "has doubled".
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
        Regular expression of what is counted: a small number in words is a figure before it alone.
    """
    plain = text
    for pattern in [re.compile(re.escape(name), re.I) for name in names] + NO_FIGURES:
        plain = pattern.sub(lambda match: GONE * len(match[0]), plain)
    counted = re.compile(rf"\s(?:percent|times|{counted})", re.I)
    plain = SPELT.sub(lambda match: _in_digits(match, counted), plain)
    for match in FIGURE.finditer(plain):
        before = plain[max(0, match.start() - 30) : match.start()]
        hedge = next((name for name, words in HEDGES.items() if words.search(before)), "")
        unit = next((name for name in UNITS if match[name]), "money" if match["sign"] else "")
        scale = VOCABULARY["scales"].get((match["scale"] or "").strip(PAD + " ").lower(), 1)
        for number in [n for n in (match["low"], match["number"]) if n] or [""]:
            readings = tuple((value * scale, half * scale) for value, half in _readings(number))
            is_share = not unit and "." in number and readings[0][0] < 1  # 0.17 is 17 %
            if is_share:
                readings = tuple((100 * value, 100 * half) for value, half in readings)
            unit_now = "percent" if is_share else unit
            yield Figure(*match.span(), text[slice(*match.span())], readings, unit_now, hedge)


def _in_digits(match: re.Match, counted: re.Pattern) -> str:
    """Words as digits, in as many characters; prose as it is."""
    word = {name: (match[name] or "").lower() for name in match.re.groupindex}
    if word["part"]:
        said = f"{100 * _value(word['part']) / _value(word['whole']):.3g}{SHARE}"
    elif word["fraction"]:
        said = (
            f"{100 * _value(word['parts']) / VOCABULARY['fractions'][word['fraction']]:.3g}{SHARE}"
        )
    elif match[0].lower() == "half":
        said = f"50{SHARE}"
    elif word["multiple"]:
        said = f"{VOCABULARY['multiples'][word['multiple']]}x"
    elif word["dozens"]:
        said = f"{12 * _value(word['dozens'])}"
    elif word["hundreds"]:
        said = f"{100 * _value(word['hundreds']) + _value(word['more'])}"
    elif _value(word["words"]) > SMALL or counted.match(match.string, match.end()):
        said = f"{_value(word['words'])}"
    else:
        return match[0]
    return said.ljust(len(match[0]), PAD)


def _value(text: str) -> int:
    """Of digits, or of words that add up; "a" is one, and nothing is 0."""
    known = VOCABULARY["numbers"] | {"a": 1, "an": 1, "": 0}
    return int(text) if text.isdigit() else sum(known[word] for word in text.split("-"))


def _readings(text: str) -> list[tuple[float, float]]:
    """What digits may stand for, with half of the last place: 1.218 is read in two ways."""
    digits = re.sub(r"[\u00a0\u202f ]", ",", text)
    if re.fullmatch(r"\d{1,3}([,.]\d{3})+(\.\d+)?", digits) and digits.count(".") != 1:
        return [(float(re.sub(r"[,.]", "", digits)), 0.5)]
    whole, _, places = digits.replace(",", ".").rpartition(".")
    if not whole:
        return [(float(places), 0.5)] if places else []
    read = [(float(f"{whole.replace('.', '')}.{places}"), 0.5 * 10.0 ** -len(places))]
    is_thousands = re.fullmatch(r"\d{1,3}\.\d{3}", digits)
    return [(float(digits.replace(".", "")), 0.5), *read] if is_thousands else read
