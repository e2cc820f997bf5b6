"""Text from outside, made safe to show: Mave's Markdown, its parts, its figures marked."""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import nh3
from markdown_it import MarkdownIt

from helpers.core.privacy import clean_line, clean_text
from helpers.mavera.claims import MISSING, Claim

TOP = 4  # level that a text's highest heading becomes
BOLD = 7  # level of a line in bold: below all headings
TAGS = "p br hr h2 h3 h4 h5 h6 ul ol li strong em s code pre blockquote"
TAGS += " table thead tbody tr th td a"
MARKED = f'<mark class="unsupported" title="{MISSING}">'
_START, _END = "\ue000", "\ue001"  # private-use signs that stand for the mark's tags
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
_ADDRESS = re.compile(r"https?://([a-z0-9.:-]+)([/?#][^\s\"'<>\\]{0,500})?", re.I | re.A)
_HEADING = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t#]*|(\*\*|__)([^*_]{2,80})\3:?[ \t]*")


@dataclass(frozen=True)
class Source:
    """An address that Mave gives as its source."""

    title: str
    url: str
    host: str


class Shown:
    """HTML for a notebook's cell; its text where HTML cannot be shown."""

    def __init__(self, html: str, text: str = ""):
        self.html, self.text = html, text or to_text(html)

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def to_text(shown: str) -> str:
    """HTML as lines of plain text."""
    spaced = re.sub(r"</(td|th)>", "  ", shown)
    spaced = re.sub(r"</(p|h\d|li|tr|dt|dd|article|summary|caption)>", "\n", spaced)
    return re.sub(r"\n\s*\n+", "\n", html.unescape(nh3.clean(spaced, tags=set()))).strip()


def markdown_html(text: str, figures: Sequence[Claim] = ()) -> str:
    """Markdown from outside as HTML: no HTML of its own, no image; the host beside each link.

    Parameters
    ----------
    text : str
        Markdown.
    figures : sequence of Claim
        Figures that were looked up; those not in the data are marked in their line, or wherever
        they stand where they have none.
    """
    text = clean_text(re.sub(f"[{_START}{_END}]", "", text))
    tokens = _PARSER.parse(_mark(text, figures, _START, _END))
    levels = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
    shift = TOP - min(levels, default=TOP)
    for token in tokens:
        if token.type.startswith("heading_"):
            token.tag = f"h{min(6, int(token.tag[1]) + shift)}"
    clean = nh3.clean(
        _PARSER.renderer.render(tokens, _PARSER.options, {}),
        tags={*TAGS.split()},
        attributes={"a": {"href"}},
        url_schemes={"http", "https"},
        link_rel="noopener noreferrer nofollow",
    )
    clean = re.sub("<a [^>]*>(.*?)</a>", _with_host, clean, flags=re.S)
    return clean.replace(_START, MARKED).replace(_END, "</mark>")


def _with_host(link: re.Match) -> str:
    """A link with its host beside it; its text alone where there is none, or a user before it."""
    host = re.match(r'<a href="https?://([^/?#"@]+)["/?#]', link[0])
    return f"{link[0]} ({host[1]})" if host else link[1]


def _mark(text: str, figures: Sequence[Claim], before: str, after: str) -> str:
    """The text with signs around each figure that is not in the data, in its line."""
    lines = text.split("\n")
    for place, line in enumerate(lines):
        here = [claim for claim in figures if claim.line in ("", line.strip())]
        wrong = {claim.text for claim in here if claim.verdict == MISSING}
        if wrong:
            words = "|".join(re.escape(figure) for figure in sorted(wrong, key=len, reverse=True))
            pattern = rf"(?<![\w./=&?#%-])(?:{words})(?!\w)"
            lines[place] = re.sub(pattern, lambda match: f"{before}{match[0]}{after}", line)
    return "\n".join(lines)


def excerpt(
    answer: str, figures: Sequence[Claim] = (), lines: int = 3, length: int = 160
) -> list[str]:
    """The first lines of an answer as plain text; figures that are not in the data are marked."""
    marked = _mark(clean_text(answer), figures, "", f" [{MISSING}]")
    marked = re.sub(r"(?m)^#{1,6}\s.*$", "", marked).strip() or marked  # headings say little
    plain = re.sub(r"</?[a-z][^<>]*>", "", to_text(markdown_html(marked)), flags=re.I)
    return [clean_line(line, length) for line in plain.split("\n")[:lines]]


def links(sources: object) -> list[Source]:
    """Sources of an answer that have an http(s) address, each once."""
    found = {}
    for row in sources if isinstance(sources, list) else ():
        url = str(row.get("url")) if isinstance(row, dict) else ""
        if match := _ADDRESS.fullmatch(url):
            title = clean_line(row.get("title") or match[1], 160)
            found[url] = Source(title=title, url=url, host=match[1])
    return list(found.values())


@dataclass
class Piece:
    """A part of an answer under its heading; ``cluster`` is "" for what is of no cluster."""

    cluster: str = ""
    heading: str = ""
    depth: int = BOLD
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines).strip()


def asks_back(text: str, pieces: list[Piece] | None) -> bool:
    """Whether an answer only asks: it is empty, a short question, or questions on no cluster."""
    headings = any(_HEADING.fullmatch(line) for line in text.split("\n"))
    is_question = len(text) <= 800 and text.endswith("?") and not headings
    of_none = pieces is not None and not any(piece.cluster for piece in pieces)
    return not text or is_question or (of_none and len(text) <= 2000 and "?" in text)


def split_answer(text: str, titles: dict[str, str], points: Iterable[str] = ()) -> list[Piece]:
    """An answer by cluster, in its order.

    Parameters
    ----------
    text : str
        Markdown with the clusters' titles as headings.
    titles : dict
        Cluster to title.
    points : iterable of str
        Headings inside of a cluster's section, at whatever level they were written.
    """
    inner = [_plain(point) for point in points]
    pieces = [Piece()]
    for line in text.split("\n"):
        match, last = _HEADING.fullmatch(line), pieces[-1]
        name = (match[2] or match[4] or "") if match else ""
        named = _cluster_of(name, titles)
        depth = len(match[1]) if match and match[1] else BOLD
        is_inner = depth > last.depth or any(point in _plain(name) for point in inner)
        begins = match and not (last.cluster and is_inner)
        if begins and (named or len(pieces) > 1):
            pieces.append(Piece(named, line, depth))
        else:
            last.lines.append(line)
    return pieces


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold().replace("_", " ")))


def _cluster_of(heading: str, titles: dict[str, str]) -> str:
    """The cluster whose title, or name, the heading begins with after numbers and signs."""
    plain = re.sub(r"^(?:cluster )?(?:\d+ )*(?:the )?", "", _plain(heading))
    names = {_plain(text): name for name, title in titles.items() for text in (name, title)}
    longest = sorted(names, key=len, reverse=True)
    return next((names[text] for text in longest if f"{plain} ".startswith(f"{text} ")), "")
