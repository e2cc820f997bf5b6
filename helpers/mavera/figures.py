"""Figures as a text writes them: counts, shares, multiples and amounts, in digits or in words.

Durations, dates, list numbers, names with digits, rules ("five or more videos") and numbers of
things to make ("3 e-mails") are no figures: they say nothing of the data. Which words tell these
stands in ``texts/words.yml``.
"""

import re
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from helpers.core.files import read_package_yaml

FOUND, DERIVED, MISSING = "found", "derived", "not in the data"
CLOSE = 0.05  # how far "about 400" may be from what it stands for: a twentieth of it
CLOSE_SHARES = {"fraction": 2.6, "percent": 1}  # the same [points]: 48 % is half, 45 % is not
LONG = 2000  # characters of a row of a table that are read by cell; a longer one is prose
SMALL = 12  # "two reasons" is prose: words up to this are figures only before what is counted
GONE, PAD, SHARE = "\x00", "\x01", "\x02"  # what is no figure; the rest of a word; a fraction's %


def _read_words() -> dict[str, Any]:
    words = deepcopy(read_package_yaml("mavera/texts/words.yml"))
    parts = {"word": f"(?a:{'|'.join(sorted(words['numbers'], key=len, reverse=True))})"}
    parts["number"] = rf"(?<![$€£.,])\b(?:\d+(?:\.\d+)?|{parts['word']})"
    parts |= {"month": words["month"], "share": SHARE}
    for group in ("measures", "units", "no_figures", "grammar"):
        for name, pattern in words[group].items():
            pattern = re.sub(r"\{(\w+)\}", lambda m: parts.get(m[1], m[0]), pattern)
            words[group][name] = re.sub(r"\s*\n\s*", "", pattern)
    return words | parts


VOCABULARY = _read_words()
_WORD = VOCABULARY["word"]
_DIGITS = r"(?:\d{1,3}(?:[,\u00a0\u202f ]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:[.,]\d+)?)"
GRAMMAR = {name: re.compile(pattern, re.I) for name, pattern in VOCABULARY["grammar"].items()}
NO_FIGURES = [re.compile(p, re.I | re.M) for p in VOCABULARY["no_figures"].values()]
SPELT = {re.compile(rf"\b(?:{p})\b", re.I): said for p, said in VOCABULARY["spelt"].items()}
ONE_IN = re.compile(
    rf"\b(\d{{1,3}}|{_WORD})\s(?:in|out\sof)\s(?:every\s)?([1-9]\d{{,2}}|{_WORD})\b", re.I
)
NUMBER = re.compile(
    rf"\b(?:(?P<hundreds>an?|{_WORD})\shundred(?:\s(?:and\s)?(?P<more>{_WORD}(?:-{_WORD})?))?"
    rf"|(?P<words>{_WORD}(?:-{_WORD})?))\b",
    re.I,
)
FIGURE = re.compile(
    rf"(?<![\w#/@.,:{GONE}])(?<![a-z]-)(?P<sign>(?:US)?[$€£¥]\s?|\b(?:USD|EUR|GBP)\s)?"
    rf"(?:(?P<low>{_DIGITS})\s?(?:[-–]|(?:to|and)\s(?=\d+(?:\.\d+)?\s?(?:%|percent)))\s?)?(?P<number>{_DIGITS})"
    rf"(?P<scale>\s?(?:k|m|bn)\b|{PAD}*\s(?:thousand|million|billion)\b)?{PAD}*"
    rf"(?:{'|'.join(f'(?P<{name}>{unit})' for name, unit in VOCABULARY['units'].items())})?"
    rf"{PAD}*(?!\w)|\b(?P<trend>(?:double|triple|quadruple|halve)[ds])\b",
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
        "", one of the units of ``words.yml``; a fraction is a percent in words; open, such as 0.7,
        may be a share or some minutes; trend is "has doubled".
    hedged : bool
        Whether it stands for a number about as large: about, nearly, more than.
    """

    start: int
    end: int
    text: str
    readings: tuple[tuple[float, float], ...]
    unit: str = ""
    hedged: bool = False


def find_passages(text: str) -> Iterator[tuple[str, int, str, str]]:
    """Sentences and cells of tables: line, place, what stands before and over a cell, the words."""
    heads: list[str] = []
    for line in re.finditer(r".+", text):
        is_row = line[0].startswith("|") and len(line[0]) < LONG
        cells = list(re.finditer(r"(?<=(?<!\\)\|)(?:\\.|[^|\\])*", line[0])) if is_row else []
        if not (cells and heads):
            for match in GRAMMAR["sentence"].finditer(line[0]):
                yield line[0].strip(), line.start() + match.start(), "", match[0]
        label = next((cell[0] for cell in cells if re.search(r"[a-z]{2}", cell[0])), "")
        for cell, head in zip(cells, heads, strict=False):
            both = " ".join(heads) if GRAMMAR["difference"].search(head) else head
            lead = f"{label}|" * (label != cell[0]) + f"{both}|"
            yield line[0].strip(), line.start() + cell.start(), lead, cell[0]
        heads = cells and (heads or [cell[0] for cell in cells])


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
    escaped = [re.escape(name).replace("\\|", r"\\?\|") for name in names if name]  # as in a table
    called = [re.compile(rf"(?<!\w){name}(?!\w)", re.I) for name in escaped]
    for pattern in called + NO_FIGURES:
        plain = pattern.sub(lambda match: GONE * len(match[0]), plain)
    plain = _in_digits(plain, re.compile(rf"\s(?:percent|times|to\sone|{counted})", re.I))
    for match in FIGURE.finditer(plain):
        before = plain[max(0, match.start() - 30) : match.start()]
        unit = next((name for name in (*VOCABULARY["units"], "trend") if match[name]), "")
        unit = "money" if match["sign"] else unit
        scale = VOCABULARY["scales"].get((match["scale"] or "").strip(PAD + " ").lower(), 1)
        for number in [n for n in (match["low"], match["number"]) if n] or [""]:
            is_share = not unit and re.match(r"0[.,]\d", number)  # shares are sent as 0.17
            times = 100 if is_share else scale
            readings = tuple((value * times, half * times) for value, half in _readings(number))
            readings += tuple(_readings(number)) if is_share else ()
            written, hedged = text[slice(*match.span())], bool(GRAMMAR["hedge"].search(before))
            of = "open" if is_share else unit  # a share, or some minutes
            yield Figure(*match.span(), written, readings, of, hedged)


def compare(figure: Figure, fact: float) -> str:
    """Whether a figure says a number as it is written, or about it; "" if neither."""
    fraction = figure.unit == "fraction"
    for value, half in figure.readings:
        away = abs(value - fact) - half - 1e-9 * abs(fact)
        if away <= 0 and not fraction and not figure.hedged:
            return FOUND
        about = CLOSE_SHARES.get(figure.unit, CLOSE * value)
        if away <= about * (figure.hedged + fraction):
            return DERIVED
    return ""


def _in_digits(plain: str, counted: re.Pattern) -> str:
    """Numbers in words as digits, in as many characters; prose as it is."""

    def number(match: re.Match) -> str:
        said = match.groupdict("")
        value = 100 * _value(said["hundreds"]) + _value(said["more"] or said["words"])
        if value == 1 or value <= SMALL and not counted.match(plain, match.end()):
            return match[0]
        return f"{value}".ljust(len(match[0]), PAD)

    for pattern, digits in SPELT.items():
        said = digits.replace("F", SHARE)
        plain = pattern.sub(lambda match, said=said: said.ljust(len(match[0]), PAD), plain)
    plain = ONE_IN.sub(_share, plain)
    return NUMBER.sub(number, plain)


def _share(match: re.Match) -> str:
    """Two in five as a percent; 10 out of 15 are two counts."""
    part, whole = _value(match[1]), _value(match[2])
    if part >= whole or 20 < whole != 100:
        return match[0]
    return f"{100 * part / whole:.3g}{SHARE}".ljust(len(match[0]), PAD)


def _value(text: str) -> int:
    """Of digits, or of words that add up; "a" is one, and nothing is 0."""
    known = VOCABULARY["numbers"] | {"a": 1, "an": 1, "": 0}
    return int(text) if text.isdigit() else sum(known[word] for word in text.lower().split("-"))


def _readings(text: str) -> list[tuple[float, float]]:
    """What digits may stand for, with half of the last place: 1.218 is read in two ways."""
    digits = re.sub(r"[\u00a0\u202f ]", ",", text)
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", digits):
        return [(float(digits.replace(",", "")), 0.5)]
    whole, _, places = digits.replace(",", ".").partition(".")
    if not whole:
        return []
    read = [(float(f"{whole}.{places}"), 0.5 * 10.0 ** -len(places))]
    is_thousands = re.fullmatch(r"\d{1,3}\.\d{3}", digits)
    return [(float(whole + places), 0.5), *read] if is_thousands else read
