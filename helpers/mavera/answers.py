"""Text from outside, made safe to show: Mave's Markdown, its parts, its figures marked."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt

from helpers.mavera import claims, payloads

TAGS = {
    "p", "br", "hr", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "strong", "em", "s", "code",
    "pre", "blockquote", "table", "thead", "tbody", "tr", "th", "td", "a",
}  # fmt: skip
MARKED = '<mark class="unsupported" title="not in the data that was sent">'
_WRAP = ' style="white-space: pre-wrap"'
_START, _END = "\ue000", "\ue001"  # private-use signs that stand for the mark's tags
_CLOSING = re.compile(r"closing|conclusion|most valuable|one action|bottom line|overall", re.I)
_HEADING = re.compile(r"^(#{1,6})[ \t]+(.*?)[ \t#]*$|^(\*\*|__)([^*_\n]{2,80})\3:?[ \t]*$", re.M)


class Shown:
    """HTML for a notebook's cell; its text where HTML cannot be shown."""

    def __init__(self, html: str):
        self.html = html

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        spaced = re.sub(r"</(td|th)>", "  ", self.html)
        spaced = re.sub(r"</(p|h\d|li|tr|dt|dd|article|summary|caption)>", "\n", spaced)
        return re.sub(r"\n\s*\n+", "\n", nh3.clean(spaced, tags=set())).strip()


class Text(str):
    """A text that a notebook shows as it stands, a long block of JSON in it folded away."""

    def _repr_html_(self) -> str:
        words, _, rest = self.partition("```json\n")
        data, _, end = rest.partition("\n```")
        shown = f"<pre{_WRAP}>{html.escape(words.strip())}</pre>"
        if data:
            shown += folded(f"The data that go with it, {len(data):,} characters of JSON", data)
        return shown + (f"<pre{_WRAP}>{html.escape(end.strip())}</pre>" if end.strip() else "")


def folded(summary: str, text: str) -> str:
    """HTML of a text that opens at a click on its summary."""
    return (
        f"<details><summary>{html.escape(summary)}</summary>"
        f"<pre{_WRAP}>{html.escape(text)}</pre></details>\n"
    )


def markdown_html(text: str, unsupported: Collection[str] = (), *, top: int = 4) -> str:
    """Markdown from outside as HTML: no HTML of its own, no image, http(s) links only.

    Parameters
    ----------
    text : str
        Markdown.
    unsupported : collection of str
        Figures to mark, as :func:`helpers.mavera.claims.unsupported` lists them.
    top : int
        Level that the text's highest heading becomes, 2 to 6.
    """
    text = re.sub("[\ue000\ue001]", "", text)
    for figure in reversed(claims.figures(text) if unsupported else []):
        if figure.text in unsupported:
            marked = _START + figure.text + _END
            text = text[: figure.start] + marked + text[figure.end :]
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    tokens = parser.parse(text)
    levels = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
    shift = top - min(levels, default=top)
    for token in tokens:
        if token.type.startswith("heading_"):
            token.tag = f"h{min(6, int(token.tag[1]) + shift)}"
    clean = nh3.clean(
        parser.renderer.render(tokens, parser.options, {}),
        tags=TAGS,
        attributes={"a": {"href"}},
        url_schemes={"http", "https"},
        link_rel="noopener noreferrer nofollow",
    )
    return clean.replace(_START, MARKED).replace(_END, "</mark>")


def links(sources: Iterable[dict] | None) -> list[dict[str, str]]:
    """Sources of an answer with an http(s) address, title and address, each once."""
    found = {}
    for source in sources or []:
        url = source.get("url") if isinstance(source, dict) else None
        if not isinstance(url, str) or not re.fullmatch(r"https?://[^\s\"'<>\\]{1,500}", url):
            continue
        try:
            host = urlsplit(url).hostname
        except ValueError:
            continue
        if host and "@" not in url.split("/")[2]:
            found[url] = {"title": payloads.clean(source.get("title") or host, 160), "url": url}
    return list(found.values())


def is_clarifying(text: str) -> bool:
    """Whether an answer only asks back: short, ends with a question, has no headings."""
    plain = text.strip()
    return len(plain) <= 800 and plain.endswith("?") and not _HEADING.search(plain)


def sections(
    text: str, titles: dict[str, str], points: Iterable[str] = ()
) -> tuple[dict[str, str], str | None]:
    """An answer by cluster, and its closing.

    Parameters
    ----------
    text : str
        Markdown with the clusters' titles as headings.
    titles : dict
        Cluster to title.
    points : iterable of str
        Headings inside of a cluster's section, at whatever level they were written.

    Returns
    -------
    dict of cluster to Markdown without its heading, and the text under the last heading that is no
    cluster's (None when there is none).
    """
    inner = [_plain(point) for point in points]
    parts: dict[str, str] = {}
    closing, cluster, level, start = None, None, 0, 0
    for match in [*_HEADING.finditer(text), None]:
        name = (match[2] or match[4] or "") if match else ""
        depth = len(match[1] or "#" * 7) if match else 0  # a line in bold is the lowest heading
        named = _cluster_of(name, titles)
        if match:
            within = any(point in _plain(name) for point in inner)
            ends = depth <= level and not within or bool(parts or cluster) and _CLOSING.search(name)
            if not (ends or named and not cluster):
                continue
        piece = text[start : match.start() if match else None].strip()
        if cluster:
            parts[cluster] = f"{parts.get(cluster, '')}\n\n{piece}".strip()
        elif parts:
            closing = piece
        if match:
            cluster, level, start = named, depth, match.end()
    return parts, closing or None


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold().replace("_", " ")))


def _cluster_of(heading: str, titles: dict[str, str]) -> str | None:
    """The cluster whose title, or name, the heading begins with after numbers and signs."""
    plain = re.sub(r"^(?:cluster )?(?:\d+ )*", "", _plain(heading))
    found = [
        (len(known), name)
        for name, title in titles.items()
        for known in {_plain(title), _plain(name)}
        if known and re.match(rf"(?:the )?{re.escape(known)}\b", plain)
    ]
    return max(found)[1] if found else None


def excerpt(answer: str, figures: list[str], *, lines: int = 3, length: int = 160) -> list[str]:
    """The first lines of an answer as plain text; figures that the data don't hold are marked."""
    plain = [re.sub(r"[*`>#]+|^[-\s]+", "", line).strip() for line in answer.splitlines()]
    kept = [payloads.clean(line, length) for line in plain if line][:lines]
    for figure in sorted(set(figures), key=len, reverse=True):
        marked = re.compile(rf"(?<![\w.]){re.escape(figure)}(?!\w)")
        kept = [marked.sub(f"{figure} (not in the data)", line) for line in kept]
    return kept
